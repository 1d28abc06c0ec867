"""`check-editor` fails broken editors, each for its own reason, and passes sound ones."""

from __future__ import annotations

import copy
import random
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
import torch
from torch import Tensor, nn

from seqedit_bench.benchmark.check_editor import Outcome, check_editor, passed
from seqedit_bench.benchmark.contract import CHECKS
from seqedit_bench.editors import (
    Editor,
    EditReport,
    EditRequest,
    Hparams,
    ModelShape,
    get_editor,
    register_editor,
    resolve_hparams,
)
from seqedit_bench.editors._architecture import Architecture
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.tokenization import encode_pair

pytestmark = pytest.mark.usefixtures("fresh_registry")
Command = Callable[..., Any]


class Sound(Editor):
    """Adds noise that the fact and the seed decide: no method, but it keeps the contract."""

    batched = True
    SCALE = 0.01

    def prepare(self) -> dict[str, Any]:
        architecture = Architecture.of(self.model)
        self.module = architecture.mlp_out(self.model, 2)
        self.names = [f"{architecture.mlp_out_name(2)}.weight"]
        return {}

    def edited_parameters(self) -> list[str]:
        return self.names

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        weight = self.module.get_parameter("weight")
        before = weight.detach().clone()
        losses = []
        for request in requests:
            losses.append({"loss": self.loss(request)})
            with torch.no_grad():
                weight += self.noise(request)
        return EditReport(tuple(losses), {self.names[0]: float((weight - before).detach().norm())})

    def noise(self, request: EditRequest) -> Tensor:
        digest = zlib.crc32(f"{self.seed} {self.read(request)}".encode())
        generator = torch.Generator().manual_seed(digest)
        shape = self.module.get_parameter("weight").shape
        return self.SCALE * torch.randn(shape, generator=generator)

    def read(self, request: EditRequest) -> str:
        return request.text + request.target_new

    @torch.no_grad()
    def loss(self, request: EditRequest) -> float:
        context, target = encode_pair(self.tokenizer, request.text, request.target_new)
        ids = torch.tensor([context + target])
        return float(self.model(input_ids=ids, labels=ids).loss)


# --- Broken editors --------------------------------------------------------------------------


class PreparesByScaling(Sound):
    def prepare(self) -> dict[str, Any]:
        super().prepare()
        with torch.no_grad():
            self.module.get_parameter("weight").mul_(1.01)
        return {}


class EditsACopy(Sound):
    def prepare(self) -> dict[str, Any]:
        self.model = copy.deepcopy(self.model)
        return super().prepare()


class ReplacesTheParameter(Sound):
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        self.module.weight = nn.Parameter(self.module.get_parameter("weight").detach().clone())
        return super().edit(requests)


class Explodes(Sound):
    SCALE = 1e38

    def noise(self, request: EditRequest) -> Tensor:
        return super().noise(request) * self.SCALE


class StartsAfresh(Sound):
    def prepare(self) -> dict[str, Any]:
        super().prepare()
        self.original = self.module.get_parameter("weight").detach().clone()
        return {}

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        with torch.no_grad():
            self.module.get_parameter("weight").copy_(self.original)
        return super().edit(requests)


class EditsOnce(Sound):
    def prepare(self) -> dict[str, Any]:
        self.done = False
        return super().prepare()

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        if self.done:
            return EditReport()
        self.done = True
        return super().edit(requests)


class TouchesAnotherLayer(Sound):
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        with torch.no_grad():
            self.model.get_submodule("transformer.ln_f").get_parameter("bias").add_(0.1)
        return super().edit(requests)


class DeclaresWhatIsNotThere(Sound):
    def edited_parameters(self) -> list[str]:
        return [*self.names, "transformer.h.7.weight"]


class AddsAParameter(Sound):
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        self.module.register_parameter("adapter", nn.Parameter(torch.zeros(2)))
        return super().edit(requests)


class DrawsGlobally(Sound):
    def noise(self, request: EditRequest) -> Tensor:
        return torch.randn(self.module.get_parameter("weight").shape)


class ShufflesGlobally(Sound):
    def read(self, request: EditRequest) -> str:
        random.shuffle([1, 2, 3])
        return super().read(request)


class SeedsGlobally(Sound):
    def prepare(self) -> dict[str, Any]:
        torch.manual_seed(self.seed)
        torch.randn(3)
        return super().prepare()


class LeavesTrainMode(Sound):
    def loss(self, request: EditRequest) -> float:
        loss = super().loss(request)
        self.module.train()
        return loss


class FreezesTheModel(Sound):
    def prepare(self) -> dict[str, Any]:
        self.model.requires_grad_(False)
        return super().prepare()


class LeavesGradients(Sound):
    def loss(self, request: EditRequest) -> float:
        ids = torch.tensor([encode_pair(self.tokenizer, request.text, request.target_new)[0]])
        loss = self.model(input_ids=ids, labels=ids).loss
        loss.backward()
        return loss.item()


class LeavesAHook(Sound):
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        self.module.register_forward_hook(lambda *_: None)
        return super().edit(requests)


class TurnsTheCacheOff(Sound):
    def prepare(self) -> dict[str, Any]:
        self.model.config.use_cache = False
        return super().prepare()


class ForgetsItsState(Sound):
    """Counts edits, and keeps the count to itself."""

    def prepare(self) -> dict[str, Any]:
        self.count = 0
        return super().prepare()

    def noise(self, request: EditRequest) -> Tensor:
        self.count += 1
        return super().noise(request) * self.count


class AddsUpLoadedState(ForgetsItsState):
    """Its state can be loaded into a fresh editor only."""

    def state_dict(self) -> dict[str, Tensor]:
        return {"count": torch.tensor(self.count)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.count += int(state["count"])


class KeepsALog(Sound):
    def state_dict(self) -> dict[str, Any]:
        return {"log": ["an edit"]}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class DropsAllButTheFirst(Sound):
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        return super().edit(requests[:1])


class TakesOneInSilence(DropsAllButTheFirst):
    batched = False


class RefusesByIndexError(Sound):
    batched = False

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        if len(requests) > 1:
            raise IndexError("list index out of range")
        return super().edit(requests)


class RefusesTooLate(Sound):
    batched = False

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        report = super().edit(requests)
        if len(requests) > 1:
            raise ValueError("one fact at a time")
        return report


class ReadsOneTokenOfTheTarget(Sound):
    def read(self, request: EditRequest) -> str:
        pair = encode_pair(self.tokenizer, request.text, request.target_new)
        return f"{request.text} {pair.continuation[0]}"


class SkipsSubjectsAtTheStart(Sound):
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        return super().edit([request for request in requests if request.subject_span[0]])


class FindsOnlySubjectsAtTheStart(Sound):
    def read(self, request: EditRequest) -> str:
        if request.subject_span[0]:
            raise ValueError(f"subject {request.subject!r}\nis not in the tokens")
        return super().read(request)


class InsistsOnFiniteWeights(Sound):
    def loss(self, request: EditRequest) -> float:
        loss = super().loss(request)
        if loss != loss:
            raise ArithmeticError("the loss is NaN")
        return loss


class HidesNaN(Sound):
    def loss(self, request: EditRequest) -> float:
        return min(1.0, super().loss(request))


class InventsNorms(Sound):
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        report = super().edit(requests)
        return EditReport(report.per_request, {self.names[0]: 1.0})


class ReportsTwice(Sound):
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        report = super().edit(requests)
        return EditReport(report.per_request * 2, report.update_norms)


STATE = ("state_round_trip", "state_goes_back")
SHOWN = ("edits_in_place", "accumulates", "batches", "multi_token_targets")
SUBJECTS = ("subject_at_the_start", "subject_in_the_middle")
WEIGHT = "transformer.h.2.mlp.c_proj.weight"
BROKEN: list[tuple[type[Editor], str, str, tuple[str, ...]]] = [
    # editor, the check that names the fault, what it says, the checks that fail with it
    (
        PreparesByScaling,
        "prepare_leaves_the_model",
        f"changed {WEIGHT}",
        ("state_goes_back", "reports_what_it_did"),
    ),
    (
        EditsACopy,
        "edits_in_place",
        "left all weights",
        (*SHOWN, *SUBJECTS, "nan_weights", "reports_what_it_did"),
    ),
    (
        ReplacesTheParameter,
        "edits_in_place",
        f"{WEIGHT} was replaced by another object",
        (*SHOWN, *SUBJECTS, *STATE, "reports_what_it_did"),
    ),
    (Explodes, "edits_in_place", f"left NaN or infinity in {WEIGHT}", ("accumulates", *SUBJECTS)),
    (StartsAfresh, "accumulates", "the second edit undid the first", ("nan_weights",)),
    (EditsOnce, "accumulates", "the second edit changed nothing", STATE),
    (TouchesAnotherLayer, "touches_only_what_it_declares", "changed transformer.ln_f.bias", ()),
    (
        DeclaresWhatIsNotThere,
        "touches_only_what_it_declares",
        "names transformer.h.7.weight, which the model lacks",
        ("nan_weights",),
    ),
    (
        AddsAParameter,
        "touches_only_what_it_declares",
        "added transformer.h.2.mlp.c_proj.adapter",
        (),
    ),
    (
        DrawsGlobally,
        "deterministic",
        f"same seed differ in {WEIGHT}",
        ("leaves_random_state", "state_round_trip", "multi_token_targets"),
    ),
    (ShufflesGlobally, "leaves_random_state", "`edit` changed Python's global generator", ()),
    (SeedsGlobally, "leaves_random_state", "`prepare` changed torch's global generator", ()),
    (
        LeavesTrainMode,
        "leaves_modes_and_flags",
        "training mode of transformer.h.2.mlp.c_proj: False before, True after",
        (),
    ),
    (
        FreezesTheModel,
        "leaves_modes_and_flags",
        "`prepare` changed requires_grad of transformer.wpe.weight: True before, False after",
        (),
    ),
    (LeavesGradients, "leaves_modes_and_flags", "holds a gradient: False before, True after", ()),
    (LeavesAHook, "leaves_modes_and_flags", "hooks on transformer.h.2.mlp.c_proj: 0 before", ()),
    (TurnsTheCacheOff, "leaves_modes_and_flags", "`prepare` changed the model's config", ()),
    (ForgetsItsState, "state_round_trip", f"gives another {WEIGHT}", ("state_goes_back",)),
    (AddsUpLoadedState, "state_goes_back", f"gives another {WEIGHT}", ()),
    (KeepsALog, "state_round_trip", "holds a list under 'log'", ("state_goes_back",)),
    (DropsAllButTheFirst, "batches", "'Pelé plays' is dropped", ()),
    (TakesOneInSilence, "batches", "two facts were taken without a word", ()),
    (RefusesByIndexError, "batches", "IndexError: list index out of range, not in a", ()),
    (RefusesTooLate, "batches", "the model was changed first", ()),
    (ReadsOneTokenOfTheTarget, "multi_token_targets", "give the same edit", ()),
    (
        SkipsSubjectsAtTheStart,
        "subject_at_the_start",
        "an edit of 'Pelé plays' left all weights",
        ("accumulates", "batches"),
    ),
    (InsistsOnFiniteWeights, "nan_weights", "raised ArithmeticError: the loss is NaN", ()),
    (HidesNaN, "nan_weights", "gives the loss 1, not NaN", ()),
    (InventsNorms, "reports_what_it_did", f"says 1 for {WEIGHT}, which moved", ()),
    (ReportsTwice, "reports_what_it_did", "one fact, and 2 entries", ()),
]


def check(cls: type[Editor], *families: str) -> list[Outcome]:
    register_editor("tried")(cls)
    return check_editor("tried", families=families or ("gpt2",))


def failures(outcomes: list[Outcome]) -> dict[str, str]:
    return {outcome.check: outcome.reason for outcome in outcomes if outcome.verdict == "FAIL"}


def test_sound_editor_passes() -> None:
    outcomes = check(Sound, "gpt2", "gptj", "llama")
    assert failures(outcomes) == {}
    assert passed(outcomes)
    assert [outcome.check for outcome in outcomes] == [*CHECKS] * 3


@pytest.mark.parametrize(
    ("cls", "name", "says", "also"), BROKEN, ids=lambda value: getattr(value, "__name__", "")
)
def test_broken_editor_fails(
    cls: type[Editor], name: str, says: str, also: tuple[str, ...]
) -> None:
    outcomes = check(cls)
    found = failures(outcomes)
    assert says in found[name]
    assert set(found) == {name, *also}
    assert not passed(outcomes)


def test_every_check_has_a_broken_editor() -> None:
    """The last one has its own test below."""
    assert {name for _, name, *_ in BROKEN} | {"subject_in_the_middle"} == set(CHECKS)


def test_an_exception_is_a_failure_in_one_line() -> None:
    found = failures(check(FindsOnlySubjectsAtTheStart))
    assert "prepare_leaves_the_model" not in found
    reason = found["subject_in_the_middle"]
    assert reason.startswith("raised ValueError: subject 'France' is not in the tokens")
    assert re.search(r"\(test_check_editor\.py, line \d+\)$", reason)


def test_an_editor_that_forgets_its_report() -> None:
    class Forgets(Sound):
        def edit(self, requests: Sequence[EditRequest]) -> EditReport:
            super().edit(requests)
            return cast(EditReport, None)

    reason = failures(check(Forgets))["reports_what_it_did"]
    assert "Forgets.edit returned NoneType: it must return an EditReport" in reason


def test_an_editor_that_cannot_be_made() -> None:
    class WithoutEdit(Editor): ...

    found = failures(check(WithoutEdit))
    assert set(found) == set(CHECKS)
    assert all("abstract" in reason for reason in found.values())


# --- Editors that leave the weights alone ----------------------------------------------------


class Hooked(Editor):
    """Adds a vector for each fact to the output of a layer."""

    kind = "hooks"

    def prepare(self) -> dict[str, Any]:
        architecture = Architecture.of(self.model)
        width = architecture.shape(self.model).d_model
        self.added = torch.zeros(width)
        architecture.mlp_out(self.model, 2).register_forward_hook(self.add)
        return {}

    def add(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return output + self.added

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        (request,) = requests
        digest = zlib.crc32((request.text + request.target_new).encode())
        generator = torch.Generator().manual_seed(digest)
        self.added = self.added + torch.randn(len(self.added), generator=generator)
        return EditReport()

    def state_dict(self) -> dict[str, Tensor]:
        return {"added": self.added}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.added = state["added"]


class HookedAndWeighted(Hooked):
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        with torch.no_grad():
            next(self.model.parameters()).mul_(1.01)
        return super().edit(requests)


class HookedWithoutState(Hooked):
    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...


class HookedButDeclaring(Hooked):
    def edited_parameters(self) -> list[str]:
        return [WEIGHT]


def test_hooks_pass_by_what_the_model_answers() -> None:
    assert failures(check(Hooked)) == {}


@pytest.mark.parametrize(
    ("cls", "name", "says"),
    [
        (HookedAndWeighted, "touches_only_what_it_declares", "which is not declared"),
        (HookedButDeclaring, "touches_only_what_it_declares", "its kind is 'hooks', yet"),
        (HookedWithoutState, "state_round_trip", "with the state loaded, the logits of"),
        (HookedWithoutState, "state_goes_back", "gives another logits of"),
    ],
)
def test_broken_hooks_fail(cls: type[Editor], name: str, says: str) -> None:
    assert says in failures(check(cls))[name]


# --- Scope and hyper-parameters --------------------------------------------------------------


class OneToken(ReadsOneTokenOfTheTarget):
    out_of_scope: ClassVar[dict[str, str]] = {"multi_token_targets": "targets are labels"}


def test_declared_checks_are_shown_and_not_run() -> None:
    outcomes = check(OneToken)
    assert passed(outcomes)
    assert [outcome for outcome in outcomes if outcome.verdict != "pass"] == [
        Outcome("multi_token_targets", "gpt2", "out of scope", "targets are labels")
    ]


def test_unknown_check_out_of_scope() -> None:
    class Misspelt(Sound):
        out_of_scope: ClassVar[dict[str, str]] = {"accumulate": "why"}

    with pytest.raises(InputError, match="'accumulate': did you mean 'accumulates'"):
        check(Misspelt)


def test_hyper_parameters_that_cannot_be_derived() -> None:
    class Underived(Sound):
        class Hparams(Hparams):
            @classmethod
            def derive(cls, shape: ModelShape) -> dict[str, Any]:
                raise ZeroDivisionError("by\nzero")

    with pytest.raises(InputError, match="of tried: raised ZeroDivisionError: by zero"):
        check(Underived)


def test_tiny_models_have_hyper_parameters_of_their_own() -> None:
    def value(name: str, overrides: tuple[str, ...] = (), *, tiny: bool = True) -> dict[str, Any]:
        shape = ModelShape(4, 32, 48)
        return resolve_hparams(
            name,
            get_editor(name),
            model_name="tiny",
            shape=shape,
            overrides=overrides,
            tiny=tiny,
        ).hparams.model_dump()

    assert value("ft_c", tiny=False)["num_steps"] == 25
    assert value("ft_c")["num_steps"] == 6
    assert value("ft_c", ("num_steps=3",))["num_steps"] == 3


# --- The command -----------------------------------------------------------------------------

FILE = """
from seqedit_bench.editors import Editor, EditReport, register_editor

@register_editor("from_file")
class FromFile(Editor):
    batched = True
    out_of_scope = {"accumulates": "a reason to print"}

    def edit(self, requests):
        {body}
"""


@pytest.fixture
def editor_file(tmp_path: Path) -> Callable[[str], Path]:
    def write(body: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(FILE.replace("{body}", body), encoding="utf-8")
        return path

    return write


def test_command_fails_with_status_1(seqedit: Command, editor_file: Callable[..., Path]) -> None:
    done = seqedit("check-editor", editor_file("raise KeyError('no such\\nlayer')"))
    assert (done.code, done.err) == (1, "")
    lines = done.out.splitlines()
    assert lines[0].split() == ["check", "gpt2", "gptj", "llama"]
    cells = {line.split()[0]: line.split()[1:] for line in lines[1 : 1 + len(CHECKS)]}
    assert list(cells) == list(CHECKS)
    assert cells["prepare_leaves_the_model"] == ["pass"] * 3
    assert cells["edits_in_place"] == ["FAIL"] * 3
    assert cells["accumulates"] == ["out", "of", "scope"] * 3
    (reason,) = [line for line in lines if "raised KeyError" in line]
    assert reason.startswith("FAIL edits_in_place (gpt2, gptj, llama), touches_only")
    assert "(mine.py, line 10)" in reason
    assert "out of scope accumulates: a reason to print" in lines
    assert lines[-1] == "from_file: 1 of 15 checks passed, 13 failed, 1 declared out of scope"


def test_command_passes_with_status_0(seqedit: Command) -> None:
    done = seqedit("check-editor", "none")
    assert (done.code, done.err) == (0, "")
    assert "FAIL" not in done.out
    assert "none: 9 of 15 checks passed, 6 declared out of scope" in done.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["memitt"], "'memitt': did you mean 'memit'?"),
        (["not_there.py"], "editor file not_there.py is not there"),
        (["ft_c", "--hparams", "lrr=1"], "'lrr': did you mean 'lr'?"),
        (["rome", "--hparams", "layers=[1,2]"], "hyper-parameter layers of rome"),
        ([], "editor"),
    ],
)
def test_command_refuses_with_status_2(arguments: list[str], says: str, seqedit: Command) -> None:
    done = seqedit("check-editor", *arguments)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert says in done.err.replace("NAME|FILE.py", "editor")
