"""The edits of a run that went worst, and what the model wrote before and after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ..analysis.journal import EditLine, RunJournal
from ..analysis.records import Analysis
from ..analysis.series import finite, norms

MOST = 6
_TEXTS = 3
_LONGEST = 400


class Sample(NamedTuple):
    """A prompt and what the model made of it."""

    prompt: str
    before: str
    after: str
    between: str
    """Which two models these are."""


class WorstEdit(NamedTuple):
    """An edit to look at."""

    edit: int
    why: str
    subject: str
    before_subject: str
    """The prompt up to the subject."""
    after_subject: str
    target_new: str
    target_true: str
    norm: float | None
    ratio: float | None
    division_factor: float | None
    neighborhood: float | None
    """NS right after the edit."""
    written: str
    """What the model wrote after the prompt, right after the edit."""
    samples: list[Sample]


def worst_edits(run: RunJournal, found: Analysis) -> list[WorstEdit]:
    """Choose at most six edits: confirmed spikes, other spikes, the largest, failures."""
    chosen: dict[int, str] = {}
    for edit, why in _candidates(run, found):
        if len(chosen) < MOST:
            chosen.setdefault(edit, why)
    ratios = {spike.edit: spike.ratio for spike in found.spikes}
    sizes = norms(run)
    return [
        _told(run, run.edits[edit - 1], chosen[edit], ratios.get(edit), sizes) for edit in chosen
    ]


def _candidates(run: RunJournal, found: Analysis) -> Iterator[tuple[int, str]]:
    spikes = sorted(found.spikes, key=lambda spike: -spike.size)
    for spike in spikes:
        if spike.confirmation.confirmed:
            yield spike.edit, "the model broke here"
    for spike in spikes[:3]:
        yield spike.edit, "spike"
    sizes = norms(run)
    for at in sorted(range(len(sizes)), key=lambda at: -sizes[at])[:2]:
        yield at + 1, "one of the largest updates"
    for line in run.edits:
        if line.metrics.get("es", line.metrics.get("efficacy", 1.0)) in (0.0, None):
            yield line.edit, "not learned"
    neighbors = [line for line in run.edits if line.metrics.get("ns") is not None]
    for line in sorted(neighbors, key=lambda line: line.metrics["ns"] or 0.0)[:2]:
        yield line.edit, "neighbors lost"


def _told(
    run: RunJournal, line: EditLine, why: str, ratio: float | None, sizes: list[float]
) -> WorstEdit:
    before, _, after = line.prompt.partition("{}")
    written = line.texts.get("counterfact_free", [""])
    norm = sizes[line.edit - 1] if sizes else None
    return WorstEdit(
        line.edit,
        why,
        line.subject,
        before,
        after,
        line.target_new.strip(),
        (line.target_true or "").strip(),
        finite(norm),
        ratio,
        line.editor.get("division_factor"),
        line.metrics.get("ns"),
        written[0][:_LONGEST] if written else "",
        [*_replayed(run, line), *_around(run, line.edit)][:_TEXTS],
    )


def _replayed(run: RunJournal, line: EditLine) -> Iterator[Sample]:
    """Return what a replay of the edit on the pristine model wrote."""
    for replay in run.replays:
        if replay.kind == "recorded" and replay.edit == line.edit:
            prompt = replay.prompt.replace("{}", replay.subject)
            for task, texts in replay.texts.items():
                for index, text in enumerate(texts):
                    before = replay.texts_before.get(task, [])[index : index + 1]
                    yield Sample(
                        prompt if task == "counterfact_free" else task,
                        (before or [""])[0][:_LONGEST],
                        text[:_LONGEST],
                        "the unedited model, and the model with this edit alone",
                    )


def _around(run: RunJournal, edit: int) -> Iterator[Sample]:
    """Return fixed prompts continued at the checkpoints before and after an edit."""
    asked = [line for line in run.checkpoints if line.texts]
    before = [line for line in asked if line.edits < edit]
    after = [line for line in asked if line.edits >= edit]
    if not before or not after:
        return
    earlier, later = before[-1], after[0]
    for task, texts in later.texts.items():
        old = {text.get("prompt"): text.get("text", "") for text in earlier.texts.get(task, [])}
        for text in texts:
            prompt = text.get("prompt", "")
            if prompt in old:
                yield Sample(
                    prompt,
                    old[prompt][:_LONGEST],
                    text.get("text", "")[:_LONGEST],
                    f"after {earlier.edits} and after {later.edits} edits",
                )


class Written(NamedTuple):
    """A fixed prompt, continued by the unedited model and at the end."""

    prompt: str
    texts: list[tuple[str, str]]
    """When, and what."""


def written(run: RunJournal, most: int = 4) -> list[Written]:
    """Return what the model writes along the run: at the start, in the middle, at the end."""
    asked = [line for line in run.checkpoints if line.texts]
    if len(asked) < 2:
        return []
    chosen = [asked[0], asked[len(asked) // 2], asked[-1]] if len(asked) > 2 else asked
    found: dict[str, list[tuple[str, str]]] = {}
    for line in chosen:
        when = f"after {line.edits} edits" if line.edits else "unedited"
        for texts in line.texts.values():
            for text in texts[:most]:
                found.setdefault(text.get("prompt", ""), []).append(
                    (when, text.get("text", "")[:_LONGEST])
                )
    return [Written(prompt, texts) for prompt, texts in found.items()][:most]
