"""The curves of the board: how each number went along the edits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from ..analysis.series import EXACT, finite
from ..compare.downstream import downstream_kept
from ..compare.values import moved
from ..curves import harmonic_mean
from ..entry import Entry
from ..report.chart import Chart, Level, Line, Scale, is_drawable
from .measures import BY_KEY
from .rows import Row

_MOST_POINTS = 200

Points = dict[int, float | None]
"""Values by edits done."""
Read = Callable[[Entry], Points]


class Kind(NamedTuple):
    """A curve that entries have."""

    name: str
    title: str
    unit: str
    note: str
    read: Read
    fine: Read
    """The same of each run, in more detail."""
    scale: Scale = "percent"
    baseline: tuple[str, ...] = ()
    """Metrics of the unedited model to compare with, the first that there is."""


def _immediate(names: Sequence[str], *, fine: bool = False) -> Read:
    def read(entry: Entry) -> Points:
        curves = entry.result.curves.immediate
        curve = next((curves[name] for name in names if name in curves), None)
        if curve is None:
            return {}
        values = curve.mean_5 if fine else curve.mean_50
        return dict(zip(curve.edits, values, strict=True))

    return read


def kept(entry: Entry) -> Points:
    """Return instant retention of exact edits."""
    curves = entry.result.curves.retention
    curve = next((curves[name] for name in EXACT if name in curves), None)
    return dict(zip(curve.edits, curve.instant, strict=True)) if curve else {}


def running_s(entry: Entry) -> Points:
    """Return S of the last fifty edits."""
    parts = [_immediate(names)(entry) for names in _SCORES]
    return {
        at: harmonic_mean([value for value in values if value is not None])
        for at in parts[0]
        if None not in (values := [part.get(at) for part in parts])
    }


def _downstream(entry: Entry) -> Points:
    return dict(downstream_kept(entry.result))


def _perplexity(entry: Entry) -> Points:
    task = entry.result.curves.tasks.get("heldout_perplexity")
    if task is None or "word_perplexity" not in task.metrics:
        return {}
    return dict(zip(task.edits, task.metrics["word_perplexity"], strict=True))


def _distance(entry: Entry) -> Points:
    """Return how far the matrix that moved furthest has; nothing of editors that move none."""
    return dict(moved(entry.result)) if entry.result.curves.distance else {}


_SCORES = tuple(BY_KEY[key].metrics for key in ("es", "ps", "ns"))
KINDS = (
    *(
        Kind(
            name,
            title,
            "%",
            f"{note}; mean of the last 50 edits",
            _immediate(names),
            _immediate(names, fine=True),
            baseline=names,
        )
        for name, title, note, names in (
            ("es", "Efficacy (ES)", "the new object is likelier than the old one", _SCORES[0]),
            ("ps", "Paraphrase (PS)", "so it is in other words", _SCORES[1]),
            ("ns", "Neighborhood (NS)", "other subjects keep their object", _SCORES[2]),
        )
    ),
    Kind(
        "kept",
        "Retention",
        "%",
        "of edits given word for word at once: those still given",
        kept,
        kept,
    ),
    Kind(
        "downstream",
        "Downstream kept",
        "%",
        "of the F1 above a constant answer that the unedited model has",
        _downstream,
        _downstream,
    ),
    Kind(
        "perplexity",
        "Perplexity",
        "a word, log",
        "of a text that no edit is about",
        _perplexity,
        _perplexity,
        "log",
    ),
    Kind(
        "distance",
        "Distance",
        "relative",
        "change of the matrix that moved furthest, relative to its norm",
        _distance,
        _distance,
        "linear",
    ),
)


def mean_points(entries: Sequence[Entry], read: Read) -> Points:
    """Return the mean over runs, wherever any of them was measured."""
    found = [read(entry) for entry in entries]
    places = sorted({at for points in found for at in points})
    means: Points = {}
    for at in places:
        values = [finite(points[at]) for points in found if at in points]
        known = [value for value in values if value is not None]
        # A run that has no number there would make the others look like all.
        means[at] = fmean(known) if len(known) == len(values) else None
    return means


def row_charts(row: Row) -> list[Chart]:
    """Return the charts of a row: the mean of its runs is line 0, each run one of those after."""
    charts = []
    for kind in KINDS:
        name = "mean" if len(row.runs) > 1 else row.run_names[0]
        lines = [_line(0, name, mean_points(row.entries, kind.read))]
        several = len(row.runs) > 1 or kind.fine is not kind.read
        for at, entry in enumerate(row.entries if several else ()):
            what = "" if kind.fine is kind.read else ", last 5"
            lines.append(_line(1 + at, f"{row.run_names[at]}{what}", kind.fine(entry)))
        if chart := _chart(kind, kind.name, lines, _levels(kind, row)):
            charts.append(chart)
    return charts


def rows_charts(rows: Sequence[Row], prefix: str) -> list[Chart]:
    """Return the charts of several rows over each other, a line a row in their order."""
    made = (
        _chart(
            kind,
            f"{prefix}{kind.name}",
            [
                _line(at, row.label, mean_points(row.entries, kind.read))
                for at, row in enumerate(rows)
            ],
            _levels(kind, rows[0]),
        )
        for kind in KINDS
    )
    return [chart for chart in made if chart]


def _chart(kind: Kind, name: str, lines: list[Line], levels: list[Level]) -> Chart | None:
    scale, unit = kind.scale, kind.unit
    known = [value for line in lines for value in line.values if value is not None]
    if not known or (scale == "log" and max(known) <= 0):
        return None
    values = [value for value in known if value]
    if scale == "linear" and values and min(values) > 0 and max(values) > 100 * min(values):
        scale, unit = "log", f"{unit}, log"
    return Chart(name, kind.title, unit, kind.note, lines, scale=scale, levels=levels)


def _levels(kind: Kind, row: Row) -> list[Level]:
    found = row.unedited(kind.baseline)
    return [Level(found, "unedited")] if is_drawable(found) else []


def _line(run: int, label: str, points: Points) -> Line:
    """Return a line of at most so many points, the last one always among them."""
    edits = list(points)
    kept_places = edits[:: -(math.ceil(len(edits) / _MOST_POINTS) or 1)][::-1]
    values = [value if is_drawable(value := points[at]) else None for at in kept_places]
    return Line(run, label, kept_places, values)


def collapses(row: Row) -> Iterator[tuple[int, str]]:
    """Yield the edits that broke the model, each with the run in which it did."""
    for name, found in zip(row.run_names, row.survived, strict=True):
        if found.collapsed:
            yield found.edits + 1, f"{name}: collapse at edit {found.edits + 1}"


class Sparkline(NamedTuple):
    """S and retention along the edits, small."""

    s: str
    kept: str
    collapses: list[float]
    """Where the model was broken."""
    words: str


SPARK_WIDTH, SPARK_HEIGHT = 88, 26


def sparkline(row: Row) -> Sparkline:
    """Draw how S and retention went, for a cell of the table."""
    total = row.first.result.protocol.num_edits

    def path(points: Points) -> str:
        places = [
            (2 + (SPARK_WIDTH - 4) * min(1.0, at / total), value)
            for at, value in points.items()
            if value is not None
        ]
        heights = [(x, 3 + (SPARK_HEIGHT - 6) * (1 - min(1.0, max(0.0, v)))) for x, v in places]
        return "".join(f"{'L' if at else 'M'}{x:.4g},{y:.3g}" for at, (x, y) in enumerate(heights))

    s, still = mean_points(row.entries, running_s), mean_points(row.entries, kept)
    words = "; ".join(
        f"{name} {_percent(points, 0)} at first, {_percent(points, -1)} at the end"
        for name, points in (("S", s), ("kept exact", still))
        if points
    )
    marks = [2 + (SPARK_WIDTH - 4) * min(1.0, edit / total) for edit, _ in collapses(row)]
    return Sparkline(path(s), path(still), marks, words or "not measured")


def _percent(points: Points, at: int) -> str:
    value = list(points.values())[at]
    return "-" if value is None else f"{100 * value:.0f} %"
