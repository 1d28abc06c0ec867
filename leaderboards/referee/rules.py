"""Which runs are taken: known protocol, whole, clean, and such that others can repeat them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from .._letters import unseen
from ..entry import Card, Submission
from ..known import Known, Protocol
from ..results import SKIPPED, EditorInfo, Result
from .problem import Problem, short

_TASKS_OF = {"counterfact": ("counterfact_", "retention"), "zsre": ("zsre_",)}
"""How tasks about edits begin, by family; a run leaves out those of other families."""
_EDITOR = re.compile(r"([a-z][a-z0-9_]*)(\+[a-z][a-z0-9_]*)*")
"""Names that can be registered, wrappers before the last."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def refusals(result: Result, known: Known) -> Iterator[Problem]:
    """Yield every reason not to take a result, and what to do about it."""
    yield from _protocol(result, known)
    yield from _length(result, known)
    yield from _provenance(result)
    yield from _model(result, known)
    yield from _editor(result.editor, known)


def _protocol(result: Result, known: Known) -> Iterator[Problem]:
    suite = result.suite
    protocol = known.protocol(suite)
    if protocol is None:
        yield Problem(
            "suite",
            f"{suite.versioned} is no protocol of this leaderboard: measure with one of "
            f"{known.listed()}",
        )
        return
    if protocol.sha256 != suite.sha256:
        yield Problem(
            "suite.sha256",
            f"{suite.versioned} was run from another file than that version's: run the "
            "suite as it comes with the package",
        )
        return
    if protocol.data_source == "bundled" != result.data.source:
        yield Problem(
            "data.source",
            f"{suite.versioned} is about bundled data: run it without --data-source and --data-dir",
        )
    asked = result.protocol
    for name, reason in asked.not_measured.items():
        if reason == SKIPPED:
            yield Problem(
                f"protocol.not_measured.{name}", f"{name} was {SKIPPED}: run it without --skip"
            )
    if asked.limits:
        yield Problem(
            "protocol.limits",
            f"{', '.join(sorted(asked.limits))}: not all documents were asked: run it without "
            "--downstream-limit",
        )
    yield from _as_the_suite_says(result, protocol)


def _as_the_suite_says(result: Result, protocol: Protocol) -> Iterator[Problem]:
    """Yield where a run asked otherwise than its suite; more at checkpoints is allowed."""
    asked, where = result.protocol, result.suite.versioned
    named = {*protocol.each_edit, *protocol.checkpoint}
    other = {name for name in named if _of_other_edits(name, result.data.edits)}
    absent = other | set(asked.not_measured)
    wanted = [name for name in protocol.each_edit if name not in absent]
    if asked.each_edit != wanted:
        yield Problem("protocol.each_edit", f"{where} asks {', '.join(wanted)}")
    for name, every in protocol.checkpoint.items():
        if name not in absent and asked.checkpoint.get(name) != every:
            yield Problem(f"protocol.checkpoint.{name}", f"{where} asks it every {every} edits")
    if asked.start_end != [name for name in protocol.start_end if name not in absent]:
        yield Problem("protocol.start_end", f"{where} asks {', '.join(protocol.start_end) or '-'}")
    if asked.smoothing != protocol.smoothing:
        yield Problem("protocol.smoothing", f"that of {where} is {protocol.smoothing}")
    baseline = min(protocol.baseline_records, asked.num_edits)
    if result.summary.baseline_records != baseline:
        yield Problem(
            "summary.baseline_records",
            f"is {result.summary.baseline_records}, and {where} asks {baseline}",
        )
    beside = protocol.single_edit and "single_edit" not in absent
    if beside != (result.summary.single_edits is not None):
        yield Problem("summary.single_edits", f"{where} {'asks them' if beside else 'has none'}")


def is_about_edits(task: str) -> bool:
    """Return whether a task's documents are edits.

    Example:
        >>> is_about_edits("retention"), is_about_edits("sst2_ll")
        (True, False)
    """
    return task.startswith(tuple(each for prefixes in _TASKS_OF.values() for each in prefixes))


def _of_other_edits(task: str, stream: str) -> bool:
    """Return whether a task asks about edits of another family than a stream's.

    Example:
        >>> _of_other_edits("zsre_retention", "counterfact-edits")
        True
        >>> _of_other_edits("sst2_ll", "zsre")
        False
    """
    return any(
        task.startswith(prefixes)
        for family, prefixes in _TASKS_OF.items()
        if family != stream.partition("-")[0]
    )


def _length(result: Result, known: Known) -> Iterator[Problem]:
    ending, asked = result.ending, result.protocol.num_edits
    if ending.stopped is not None:
        yield Problem(
            "ending.stopped",
            f"the run was stopped ({short(ending.stopped)}): run it without --stop-on-collapse",
        )
    elif ending.edits_done != asked:
        yield Problem(
            "ending.edits_done", f"{ending.edits_done} of {asked} edits were made: finish the run"
        )
    protocol = known.protocol(result.suite)
    if protocol is not None and asked < protocol.num_edits:
        yield Problem(
            "protocol.num_edits",
            f"{asked} edits are fewer than the {protocol.num_edits} of "
            f"{result.suite.versioned}: run at least so many",
        )


def _provenance(result: Result) -> Iterator[Problem]:
    found = result.provenance
    if found.get("dirty"):
        yield Problem(
            "provenance.dirty",
            "the run was made from a checkout with uncommitted changes of the code: commit or undo "
            "them, and run again",
        )
    resumed = found.get("resumed", [])
    if not isinstance(resumed, list) or any(
        not isinstance(each, dict) or each.get("forced") for each in resumed
    ):
        yield Problem(
            "provenance.resumed",
            "the run was gone on with by --force after something had changed: run it again",
        )
    if found.get("include_sha256") is not None:
        yield Problem(
            "provenance.include_sha256",
            "tasks of its own were used: run it without --include-path",
        )


def _model(result: Result, known: Known) -> Iterator[Problem]:
    """Yield where others could not tell which model it is."""
    model = result.model
    if model.name in known.models:
        weights = known.models[model.name].get(model.dtype)
        if model.revision is not None:
            yield Problem("model.revision", f"{model.name} comes with a package and has none")
        if model.weights_sha256 != weights:
            yield Problem("model.weights_sha256", f"is not that of {model.name} in {model.dtype}")
    elif model.revision is None:
        yield Problem(
            "model.revision",
            f"nobody else can tell which model {short(model.name)} is: name it by its hub id, so "
            f"that its revision is recorded, or use one of {', '.join(sorted(known.models))}",
        )
    else:
        if not _COMMIT.fullmatch(model.revision):
            yield Problem("model.revision", f"{short(model.revision)} is no commit of the hub")
        if not _HUB_ID.fullmatch(model.name):
            yield Problem("model.name", f"{short(model.name)} is no id of the hub")


def _editor(editor: EditorInfo, known: Known) -> Iterator[Problem]:
    """Yield where an editor is not what its name says; its card is looked at elsewhere."""
    if not _EDITOR.fullmatch(editor.name):
        yield Problem(
            "editor.name",
            f"{short(editor.name)}: lower-case letters, digits and '_', wrappers before it with a "
            "'+'",
        )
    if not editor.code_sha256:
        yield Problem(
            "editor.code_sha256",
            "the editor's code has no file whose digest could be kept: put it into one",
        )
    if not known.is_ours(editor.name):
        return
    *wrappers, base = editor.name.split("+")
    settings = {base: {k: v for k, v in editor.hparams.items() if k not in wrappers}}
    for part, values in (settings | {name: editor.hparams.get(name) for name in wrappers}).items():
        names = sorted(values) if isinstance(values, dict) else []
        versions = [each.hparams for each in known.own.editors[part]]
        if names not in versions:
            odd = sorted({*names} ^ {*versions[-1]})
            yield Problem(
                "editor.hparams", f"differ from those of {part} by {short(', '.join(odd))}"
            )


def text_problems(submission: Submission) -> Iterator[Problem]:
    """Yield the texts of a submission that say other than is seen, or nothing."""
    card = submission.card
    texts = {"team": submission.team, "card.needs": " ".join(card.needs)}
    for name in ("name", "summary", "paper", "licence"):
        texts[f"card.{name}"] = getattr(card, name) or ""
    for name, text in texts.items():
        if hidden := unseen(text):
            sign = f"U+{ord(hidden[0]):04X} ({unicodedata.name(hidden[0], 'control')})"
            better = ": write a space" if hidden[0].isspace() else ""
            yield Problem(f"submission.{name}", f"has {sign}, which cannot be seen{better}")
        elif text != text.strip():
            yield Problem(f"submission.{name}", f"{short(text)} has spaces at an end")
    if not any(letter.isalpha() for letter in submission.team):
        yield Problem("submission.team", f"{short(submission.team)} has no letter")


def card_problems(card: Card, result: Result, known: Known) -> Iterator[Problem]:
    """Yield where a card does not fit the editor of the run."""
    editor, at = result.editor, "submission.card"
    if card.name != editor.name:
        yield Problem(f"{at}.name", f"is {short(card.name)}, and the run's is {short(editor.name)}")
    if card.kind != editor.kind:
        yield Problem(f"{at}.kind", f"is {card.kind}, and the run's editor is {editor.kind}")
    if sorted(card.needs) != sorted(editor.needs):
        yield Problem(
            f"{at}.needs",
            f"is {', '.join(card.needs) or 'nothing'}, and the run's editor needs "
            f"{', '.join(editor.needs) or 'nothing'}",
        )
    if known.is_ours(editor.name):
        yield from _own_card(card, known.cards(editor.name))
        return
    for name, value in (("code", card.code), ("licence", card.licence)):
        if value is None:
            yield Problem(
                f"{at}.{name}", f"an editor that is not of this project says its {name}: fill it in"
            )


def _own_card(card: Card, versions: list[Card]) -> Iterator[Problem]:
    """Yield where the card of an editor of ours is none that it has had."""
    if card in versions:
        return
    own = versions[-1].model_dump()
    for name, value in card.model_dump().items():
        if value != own[name]:
            yield Problem(
                f"submission.card.{name}", f"is {short(value)}, and ours says {short(own[name])}"
            )
