"""What holds for every editor, whatever it does: one function for each check.

A check gets an editor on tiny models and returns, or raises `CheckFailed` with what it observed.
An exception of the editor's own is the caller's to catch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from ..editors import EditRequest
from .trial import (
    FACTS,
    MIDDLE,
    NORTH,
    START,
    Attempt,
    Seen,
    Trial,
    differing,
    distance,
    disturb_random_states,
    random_states,
)

TRACE_LEFT = 0.01
"""Share of the first edit's change that must be left after the second."""
NORM_TOLERANCE = 1e-3
"""Relative error that a reported norm may have: editors compute in float64, weights are float32."""


class CheckFailed(Exception):
    """What was observed, in one line."""


class Check(NamedTuple):
    """One thing that holds for every editor."""

    name: str
    """Key of `Editor.out_of_scope`."""
    title: str
    """What the contract says, in one line."""
    run: Callable[[Trial], None]


CHECKS: dict[str, Check] = {}
"""All checks, in the order they are shown."""
_Run = TypeVar("_Run", bound=Callable[..., None])


def _check(title: str) -> Callable[[_Run], _Run]:
    def register(run: _Run) -> _Run:
        CHECKS[run.__name__] = Check(run.__name__, title, run)
        return run

    return register


@_check("`prepare` reads the model and leaves it as it is")
def prepare_leaves_the_model(trial: Trial) -> None:
    """A run measures the unedited model after `prepare`: what that changed would go unseen."""
    seen = trial.prepared().see()
    if names := differing(trial.unedited.tensors, seen.tensors):
        raise CheckFailed(f"`prepare` changed {_some(names)}")
    if names := differing(trial.unedited.answers, seen.answers):
        raise CheckFailed(f"after `prepare` the logits of {_some(names)} are others")


@_check("`edit` changes the live model itself, and finitely")
def edits_in_place(trial: Trial) -> None:
    """The runner measures the model it holds: an edited copy, or a new parameter, is lost."""
    seen = trial.after([MIDDLE])
    if seen.replaced:
        raise CheckFailed(f"{_some(seen.replaced)} was replaced by another object, not edited")
    _shows(trial, MIDDLE)


@_check("edits add up: only the runner puts weights back")
def accumulates(trial: Trial) -> None:
    """A benchmark of sequences means nothing if each edit starts from the unedited model."""
    first, second = trial.after([MIDDLE]), trial.after([START])
    both = trial.after([MIDDLE], [START])
    if not differing(trial.effect(first), trial.effect(both)):
        raise CheckFailed("the second edit changed nothing")
    moved = distance(trial.effect(first), trial.effect(trial.unedited))
    left = distance(trial.effect(both), trial.effect(second))
    if not left > TRACE_LEFT * moved:
        raise CheckFailed(
            f"the second edit undid the first: the first moves the model by {moved:.3g}, and two "
            f"edits end {left:.3g} from where the second alone ends"
        )


@_check("`edited_parameters` names all that edits change, and what it names exists")
def touches_only_what_it_declares(trial: Trial) -> None:
    """Distance and restoring see only declared parameters: others drift unnoticed for ever."""
    seen = trial.after([MIDDLE], [START])
    kind = trial.editor_class.kind
    if unknown := [name for name in seen.declared if name not in seen.tensors]:
        raise CheckFailed(
            f"`edited_parameters` names {_some(unknown)}, which the model lacks (of the names of "
            "tied weights it has one)"
        )
    if not trial.in_weights and seen.declared:
        raise CheckFailed(f"its kind is {kind!r}, yet it declares {_some(seen.declared)}")
    changed = differing(trial.unedited.tensors, seen.tensors)
    if undeclared := [name for name in changed if name not in seen.declared]:
        raise CheckFailed(f"edits changed {_some(undeclared)}, which is not declared")
    if trial.in_weights and seen.added:
        raise CheckFailed(f"its kind is 'weights', yet it added {_some(seen.added)}")


@_check("the seed it is given decides everything random in it")
def deterministic(trial: Trial) -> None:
    """A run must come out the same again, whatever else has drawn random numbers before it."""
    calls = [[MIDDLE], [START]]
    first = trial.after(*calls)
    attempt = Attempt(trial)
    disturb_random_states()
    attempt.prepare()
    for requests in calls:
        disturb_random_states()
        attempt.edit(requests)
    again = attempt.see()
    if names := _all_differing(first, again):
        raise CheckFailed(f"two runs with the same seed differ in {_some(names)}")


@_check("modes, gradients, hooks, config and tokenizer are left as found")
def leaves_modes_and_flags(trial: Trial) -> None:
    """What an editor leaves behind changes every measurement and every edit after it."""
    attempt = Attempt(trial)
    next(attempt.model.parameters()).requires_grad_(False)
    before = _settings(attempt)
    attempt.prepare()
    _same(before, _settings(attempt), "`prepare`")
    for fact in FACTS:
        attempt.edit([fact])
    _same(before, _settings(attempt), "`edit`")


@_check("global random generators are left as found")
def leaves_random_state(trial: Trial) -> None:
    """Tasks that sample would otherwise ask other questions with one editor than with another."""
    attempt = Attempt(trial)
    before = random_states()
    attempt.prepare()
    _same(before, random_states(), "`prepare`", show=False)
    for fact in FACTS:
        attempt.edit([fact])
    _same(before, random_states(), "`edit`", show=False)


@_check("`state_dict` and the weights are all that the next edit depends on")
def state_round_trip(trial: Trial, *, seed: int = 0) -> None:
    """An interrupted run goes on in a new process, with a fresh editor that takes this state.

    Args:
        trial: The editor.
        seed: Seed of the fresh editor.
    """
    first, second = trial.prepared(), trial.prepared(seed=seed)
    first.edit([MIDDLE])
    second.editor.load_state_dict(_through_a_file(first.editor.state_dict()))
    second.take_weights(first)
    if names := differing(first.see().answers, second.see().answers):
        raise CheckFailed(f"with the state loaded, the logits of {_some(names)} are others")
    first.edit([START])
    second.edit([START])
    if names := _all_differing(first.see(), second.see()):
        raise CheckFailed(f"with the state loaded, the next edit gives another {_some(names)}")


@_check("`load_state_dict` of an earlier state, with its weights, takes an editor back there")
def state_goes_back(trial: Trial) -> None:
    """Single edits are made on the restored model, one after another, by one editor."""
    attempt = trial.prepared()
    state = {name: tensor.clone() for name, tensor in attempt.editor.state_dict().items()}
    attempt.edit([MIDDLE])
    attempt.take_weights(Attempt(trial))
    attempt.editor.load_state_dict(state)
    attempt.edit([START])
    if names := _all_differing(trial.after([START]), attempt.see()):
        raise CheckFailed(f"taken back to the start, the next edit gives another {_some(names)}")


@_check("several facts in a call are all edited, or refused with a ValueError")
def batches(trial: Trial) -> None:
    """`--batch-size` hands over several facts: one that is dropped would count as forgotten."""
    if trial.editor_class.batched:
        both = trial.effect(trial.after([MIDDLE, START]))
        for kept, dropped in ((MIDDLE, START), (START, MIDDLE)):
            if not differing(trial.effect(trial.after([kept])), both):
                raise CheckFailed(
                    f"a call with two facts does what {kept.text!r} does alone: "
                    f"{dropped.text!r} is dropped"
                )
        return
    attempt = trial.prepared()
    try:
        attempt.edit([MIDDLE, START])
    except ValueError as error:
        if not str(error):
            raise CheckFailed("two facts are refused without a message") from error
    except Exception as error:
        raise CheckFailed(
            f"`batched` is False, and two facts end in {_one_line(error)}, not in a ValueError"
        ) from error
    else:
        raise CheckFailed("`batched` is False, yet two facts were taken without a word")
    if differing(trial.effect(trial.unedited), trial.effect(attempt.see())):
        raise CheckFailed("two facts were refused, but the model was changed first")


@_check("every token of the target counts")
def multi_token_targets(trial: Trial) -> None:
    """Few targets are one token: an editor that reads the first alone looks right on short ones."""
    south, north = trial.after([MIDDLE]), trial.after([NORTH])
    if not differing(trial.effect(south), trial.effect(north)):
        raise CheckFailed(
            f"{MIDDLE.target_new!r} and {NORTH.target_new!r} give the same edit: "
            "the tokens behind the first are not read"
        )


@_check("a subject at the very start of the prompt is edited")
def subject_at_the_start(trial: Trial) -> None:
    """There a byte-level token has no leading space, and without BOS nothing stands before it."""
    _shows(trial, START)


@_check("a subject in the middle of the prompt is edited")
def subject_in_the_middle(trial: Trial) -> None:
    """Behind a space the same name is other tokens than alone, and text follows it."""
    _shows(trial, MIDDLE)


@_check("a model whose weights are NaN is recorded, not raised")
def nan_weights(trial: Trial) -> None:
    """Sequences break models, and how they do is the result: the run must go on."""
    attempt = trial.prepared()
    attempt.poison()
    for fact in FACTS:
        for report in attempt.edit([fact]).per_request:
            if not math.isnan(loss := report.get("loss", math.nan)):
                raise CheckFailed(f"on NaN weights the report gives the loss {loss:.3g}, not NaN")


@_check("reports say what happened: one entry a fact, or none; true norms, or none")
def reports_what_it_did(trial: Trial) -> None:
    """The analysis of a run reads losses and norms from here, and trusts them."""
    seen = trial.after([MIDDLE])
    (report,) = seen.reports
    if len(report.per_request) not in (0, 1):
        raise CheckFailed(f"one fact, and {len(report.per_request)} entries in `per_request`")
    if unknown := [name for name in report.update_norms if name not in seen.tensors]:
        raise CheckFailed(f"`update_norms` names {_some(unknown)}, which the model lacks")
    for name, said in report.update_norms.items():
        moved = distance({name: seen.tensors[name]}, {name: trial.unedited.tensors[name]})
        if not math.isclose(said, moved, rel_tol=NORM_TOLERANCE, abs_tol=1e-12):
            raise CheckFailed(f"`update_norms` says {said:.4g} for {name}, which moved {moved:.4g}")


def _shows(trial: Trial, request: EditRequest) -> None:
    """Expect that one edit of a fresh model leaves a finite change where its kind leaves one."""
    effect = trial.effect(trial.after([request]))
    where = "weights" if trial.in_weights else "logits"
    if not differing(trial.effect(trial.unedited), effect):
        raise CheckFailed(f"an edit of {request.text!r} left all {where} of the model as they were")
    if broken := [name for name, tensor in effect.items() if not bool(tensor.isfinite().all())]:
        raise CheckFailed(f"an edit of {request.text!r} left NaN or infinity in {_some(broken)}")


def _all_differing(first: Seen, second: Seen) -> list[str]:
    answers = differing(first.answers, second.answers)
    return differing(first.tensors, second.tensors) + [f"logits of {text!r}" for text in answers]


def _settings(attempt: Attempt) -> dict[str, Any]:
    """Return everything an editor may switch and must switch back, by a name for people."""
    model, tokenizer = attempt.model, attempt.trial.tokenizer
    found: dict[str, Any] = {
        "torch.is_grad_enabled()": torch.is_grad_enabled(),
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "the model's config": str(model.config.to_dict()),
        "the size of the tokenizer": len(tokenizer),
        "the tokenizer's pad token": tokenizer.pad_token,
        "the tokenizer's padding side": tokenizer.padding_side,
    }
    for name, parameter in model.named_parameters():
        found[f"requires_grad of {name}"] = parameter.requires_grad
        found[f"whether {name} holds a gradient"] = parameter.grad is not None
    for name, module in model.named_modules():
        found[f"training mode of {name or 'the model'}"] = module.training
        if attempt.trial.in_weights:
            found[f"hooks on {name or 'the model'}"] = _hooks(module)
    return found


def _hooks(module: nn.Module) -> int:
    hooks = (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
    return sum(map(len, hooks)) + ("forward" in vars(module))


def _same(before: dict[str, Any], now: dict[str, Any], after: str, *, show: bool = True) -> None:
    for name, value in before.items():
        if now.get(name) != value:
            values = f": {value} before, {now.get(name)} after" if show else ""
            what = name if show else f"{name} global generator"
            raise CheckFailed(f"{after} changed {what}{values}")


def _through_a_file(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise CheckFailed(f"`state_dict` holds a {type(value).__name__} under {name!r}")
    # safetensors takes only dense tensors, no two of them in the same memory.
    return load(save({name: value.detach().clone().contiguous() for name, value in state.items()}))


def _some(names: Sequence[str]) -> str:
    """Return the first name, and how many more there are.

    Example:
        >>> _some(["a", "b", "c"])
        'a (and 2 more)'
    """
    return names[0] if len(names) == 1 else f"{names[0]} (and {len(names) - 1} more)"


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
