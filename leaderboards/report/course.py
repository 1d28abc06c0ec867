"""The charts of a report: how each number went along the edits, a line a run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from ..analysis.analyse import analyse
from ..analysis.constants import Constants
from ..analysis.journal import RunJournal
from ..analysis.properties import editor_label
from ..analysis.records import Analysis
from ..analysis.series import (
    EXACT,
    distances,
    downstream,
    finite,
    first_of,
    immediate,
    retained,
)
from ..curves import SMOOTHINGS
from .chart import Chart, Level, Line, Scale

_MOST_POINTS = 400


class Told(NamedTuple):
    """A run with its name in the report and its analysis."""

    label: str
    run: RunJournal
    found: Analysis


def tell(runs: Sequence[RunJournal], constants: Constants) -> list[Told]:
    """Analyse runs and name them: by editor; those of one editor by sample, or else by folder."""
    editors = [editor_label(run) for run in runs]
    with_sample = [f"{name}, sample {sample(run)}" for name, run in zip(editors, runs, strict=True)]
    with_folder = [f"{name} ({run.folder.name})" for name, run in zip(editors, runs, strict=True)]
    choices = (editors, with_sample)
    names = next((each for each in choices if len(set(each)) == len(runs)), with_folder)
    return [Told(name, run, analyse(run, constants)) for name, run in zip(names, runs, strict=True)]


def sample(run: RunJournal) -> object:
    """Return which edit order a run took."""
    return run.part("data").get("sample", "?")


class _Score(NamedTuple):
    name: str
    title: str
    note: str


_SCORES = (
    _Score("es", "Efficacy", "ES: the new object is likelier than the old one"),
    _Score("ps", "Paraphrase", "PS: so it is in other words"),
    _Score("ns", "Neighborhood", "NS: other subjects keep their object"),
    _Score("efficacy", "Efficacy", "tokens of the answer"),
    _Score("paraphrase", "Paraphrase", "tokens of the answer, other wording"),
    _Score("specificity", "Specificity", "tokens of unrelated answers"),
    _Score("free", "Free generation", "the model itself writes the new object"),
)


def charts(told: Sequence[Told]) -> list[Chart]:
    """Return the charts of these runs, those that nothing was measured for left out."""
    made = [
        *_scores(told),
        *_retention(told),
        *_downstream(told),
        *_perplexity(told),
        *_distance(told),
    ]
    return [chart for chart in made if any(_known(line) for line in chart.lines)]


def _known(line: Line) -> bool:
    return any(value is not None for value in line.values)


def _scores(told: Sequence[Told]) -> Iterator[Chart]:
    for score in _SCORES:
        lines, unedited = [], []
        for at, (label, run, _) in enumerate(told):
            if not any(score.name in edit.metrics for edit in run.edits):
                continue
            curve = SMOOTHINGS[_smoothing(run)](immediate(run, score.name))
            lines.append(_line(at, label, curve.edits, curve.mean_50))
            baseline = run.checkpoints[0].baseline if run.checkpoints else []
            values = [each[score.name] or 0.0 for each in baseline if score.name in each]
            unedited += [fmean(values)] if values else []
        levels = [Level(unedited[0], "unedited")] if unedited and _agree(unedited) else []
        note = f"{score.note}; mean of the last 50"
        yield Chart(score.name, score.title, "%", note, lines, levels=levels)


def _agree(values: Sequence[float]) -> bool:
    return max(values) - min(values) < 1e-6


def _smoothing(run: RunJournal) -> str:
    found = run.part("protocol").get("smoothing")
    return found if found in SMOOTHINGS else "buckets"


def _line(at: int, label: str, edits: Sequence[float], values: Sequence[float | None]) -> Line:
    """Return a line of at most so many points: more cannot be told apart."""
    step = math.ceil(len(edits) / _MOST_POINTS) or 1
    # The last point is always one of those that are kept.
    kept = sorted({*range(len(edits) - 1, -1, -step)})
    return Line(at, label, [edits[i] for i in kept], [finite(values[i]) for i in kept])


def _retention(told: Sequence[Told]) -> Iterator[Chart]:
    lines = []
    for at, (label, run, _) in enumerate(told):
        if name := first_of(run, EXACT):
            points = retained(run, name)
            lines.append(_line(at, label, points.edits, points.values))
    note = "of facts learned exactly: those the model still gives word for word"
    yield Chart("retention", "Retention", "%", note, lines)


def _downstream(told: Sequence[Told]) -> Iterator[Chart]:
    lines, floors, names = [], [], []
    for at, (label, run, analysis) in enumerate(told):
        found = downstream(run.checkpoints, analysis.constants.headroom)
        if found is not None:
            lines.append(_line(at, label, found.points.edits, found.points.values))
            names.append(tuple(found.tasks))
            floors += [found.floor] if found.floor is not None else []
    levels = [Level(floors[0], "constant answer")] if floors and _agree(floors) else []
    which = ", ".join(names[0]) if len(set(names)) == 1 else "tasks differ between runs"
    yield Chart(
        "downstream", "Downstream", "weighted F1, %", f"mean of {which}", lines, levels=levels
    )


def _perplexity(told: Sequence[Told]) -> Iterator[Chart]:
    lines = []
    for at, (label, run, _) in enumerate(told):
        asked = [
            (line.edits, metrics["word_perplexity"])
            for line in run.checkpoints
            for name, metrics in line.tasks.items()
            if name == "heldout_perplexity" and "word_perplexity" in metrics
        ]
        lines.append(_line(at, label, [done for done, _ in asked], [value for _, value in asked]))
    yield Chart(
        "perplexity", "Perplexity", "a word, log", "of a text no edit is about", lines, scale="log"
    )


def _distance(told: Sequence[Told]) -> Iterator[Chart]:
    """Draw the matrix that moved furthest, by edit."""
    lines = []
    for at, (label, run, _) in enumerate(told):
        matrices = list(distances(run).values())
        if not matrices:
            continue
        furthest = [finite(max(values)) for values in zip(*matrices, strict=True)]
        lines.append(_line(at, label, list(range(1, len(furthest) + 1)), furthest))
    values = [value for line in lines for value in line.values if value]
    scale: Scale = "log" if values and max(values) > 100 * min(values) else "linear"
    unit = "‖ΔW‖, log" if scale == "log" else "‖ΔW‖"
    note = "Frobenius norm of the furthest matrix's change"
    yield Chart("distance", "Distance", unit, note, lines, scale=scale)


def ages(told: Sequence[Told]) -> Chart | None:
    """Return the chart of what is kept by age; None where nothing was followed."""
    names: list[str] = []
    for each in told:
        for forgotten in each.found.forgetting[:1]:
            found = [group.name for group in forgotten.by_age]
            names = found if len(found) > len(names) else names
    lines = []
    for at, (label, _, found) in enumerate(told):
        for forgotten in found.forgetting[:1]:
            groups = [group for group in forgotten.by_age if group.name in names]
            kept = [group.retained for group in groups]
            lines.append(
                Line(
                    at,
                    label,
                    [float(names.index(group.name)) for group in groups],
                    [each.value for each in kept],
                    [each.low for each in kept],
                    [each.high for each in kept],
                )
            )
    if not lines or not names:
        return None
    return Chart(
        "ages",
        "What is left, by age",
        "%",
        "share of learned facts that still work, by edits made since; shaded: 95 %",
        lines,
        x_label="edits made since",
        x_names=[name.replace(" to ", "\N{EN DASH}") for name in names],
    )
