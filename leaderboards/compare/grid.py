"""A comparison as headings and cells of text, before it takes the form of any format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..analysis.records import Estimate
from ..sparkline import sparkline
from .comparison import Cell, Comparison, Mark, Row, scale
from .metrics import Metric

CURVE = "curve"


@dataclass(frozen=True, slots=True)
class Text:
    """What stands in a cell."""

    value: str
    interval: str = ""
    delta: str = ""
    """Difference to the editor `none`."""
    mark: Mark = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of text; names in it can be anything."""

    title: str
    headings: list[str]
    """Of the columns after the first."""
    labels: list[str]
    """The first column: editors."""
    rows: list[list[Text]]
    captions: list[str]
    """Lines below the table."""


def overview(comparison: Comparison) -> Grid:
    """Lay out many metrics: a column each, with interval and difference to `none` in its cells."""
    facts = [fact for fact in _FACTS if _tells(fact[1], comparison)]
    curves = _curves(comparison)
    has_curves = any(text.strip() for text in curves)
    headings = [name for name, _ in facts]
    headings += [_heading(metric) for metric in comparison.metrics]
    rows = []
    for row, curve in zip(comparison.rows, curves, strict=True):
        texts = [Text(read(row)) for _, read in facts]
        texts += [
            _text(cell, metric) for cell, metric in zip(row.cells, comparison.metrics, strict=True)
        ]
        rows.append(texts + [Text(curve)] * has_curves)
    return Grid(
        _title(comparison),
        headings + [f"{comparison.curve.heading} {CURVE}"] * has_curves,
        [row.group.label for row in comparison.rows],
        rows,
        [_caption(comparison), *comparison.notes],
    )


def in_depth(comparison: Comparison) -> Grid:
    """Lay out the first metric with everything that is known about it."""
    (metric, *_) = comparison.metrics
    curves = _curves(comparison)
    has_curves = any(text.strip() for text in curves)
    headings = [_heading(metric), "95 %", "of", "to best", "95 %", "pairs"]
    control = comparison.control is not None
    if control:
        headings += ["to none", "95 %", "pairs"]
    facts = [fact for fact in _FACTS if _tells(fact[1], comparison)]
    rows = []
    for row, curve in zip(comparison.rows, curves, strict=True):
        cell = row.cells[0]
        number = cell.number
        texts = [Text(read(row)) for _, read in facts]
        texts += [
            Text(_value(cell, metric), mark=cell.mark),
            Text(_interval(number, metric)),
            Text(str(number.count or "-")),
            *_difference(cell.to_best, metric),
            *(_difference(cell.to_control, metric) if control else ()),
        ]
        rows.append(texts + [Text(curve)] * has_curves)
    unit = f" in {metric.unit}" if metric.unit else ""
    caption = (
        f"{metric.name}{unit}. {_marks(comparison)}of: facts (learned ones, for what is kept) or "
        "samples; to best, to none: paired differences over the facts, or samples, in common"
    )
    return Grid(
        _title(comparison),
        [
            *(name for name, _ in facts),
            *headings,
            *([f"{comparison.curve.heading} {CURVE}"] * has_curves),
        ],
        [row.group.label for row in comparison.rows],
        rows,
        [f"{caption}.", *comparison.notes],
    )


_FACTS: list[tuple[str, Callable[[Row], str]]] = [
    ("edits", lambda row: _span([member.edits for member in row.group.members])),
    ("samples", lambda row: _listed(row.group.samples)),
    ("seeds", lambda row: _listed(sorted({it.run.result.seed for it in row.group.members}))),
]
"""What is said of each row where rows differ in it, and else in the title."""


def _tells(read: Callable[[Row], str], comparison: Comparison) -> bool:
    return len({read(row) for row in comparison.rows}) > 1


def _span(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low}-{high}"


def _listed(values: list[int]) -> str:
    """Return numbers in short.

    Example:
        >>> _listed([1, 2, 3]), _listed([0, 2])
        ('1-3', '0,2')
    """
    if len(values) > 2 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]}-{values[-1]}"
    return ",".join(map(str, values))


def _title(comparison: Comparison) -> str:
    first = comparison.first
    protocol = first.protocol
    parts = [
        first.model.name,
        f"suite {first.suite.versioned}",
        f"{first.data.source} data",
    ]
    row = comparison.rows[0]
    if protocol.batch_size > 1 or protocol.mode == "batch-single":
        parts.append(f"{protocol.mode}, {protocol.batch_size} a call")
    same = {name: read(row) for name, read in _FACTS if not _tells(read, comparison)}
    if "edits" in same:
        whole = comparison.asked is None or str(comparison.asked) == same["edits"]
        of_them = "" if whole else f" of {comparison.asked}"
        parts.append(f"{same['edits']}{of_them} edits")
    if "samples" in same:
        several = len(row.group.samples) > 1
        parts.append(f"sample{'s' * several} {same['samples']}")
    return ", ".join(parts)


def _heading(metric: Metric) -> str:
    return f"{metric.heading}, GiB" if metric.shape == "memory" else metric.heading


def _caption(comparison: Comparison) -> str:
    control = comparison.control is not None and len(comparison.rows) > 1
    told = ["shares in percent, mean over samples, below it its 95 % interval"]
    if control:
        told.append("signed: difference to none")
    shown = {metric.name for metric in comparison.metrics}
    if any(name.startswith("kept_") for name in shown):
        told.append("kept: of edits that worked at once, those that still do at the end")
    if "f1" in shown:
        told.append("F1: mean over downstream tasks at the end")
    if "moved" in shown:
        told.append("moved: relative distance of the matrix that moved furthest")
    if "collapse" in shown:
        told.append("collapse: edits before it")
    if _single(comparison):
        told.append("numbers of whole runs have an interval from two samples on")
    return f"{_marks(comparison)}{'; '.join(told)}."


def _single(comparison: Comparison) -> bool:
    """Return whether some number of whole runs is that of one run only."""
    return any(
        cell.number.count == 1 and cell.number.low is None
        for row in comparison.rows
        for cell in row.cells
    )


def _marks(comparison: Comparison) -> str:
    marks = {cell.mark for row in comparison.rows for cell in row.cells}
    aside = ", none aside" if comparison.control else ""
    told = [f"* best{aside}"] * ("best" in marks)
    told += ["~ tied: the paired interval to the best covers zero"] * ("tied" in marks)
    return f"{'; '.join(told)}. " if told else ""


def _text(cell: Cell, metric: Metric) -> Text:
    delta = ""
    if cell.to_control is not None and metric.shape == "share":
        delta = _signed(cell.to_control.value, metric)
    return Text(_value(cell, metric), _interval(cell.number, metric), delta, cell.mark)


def _value(cell: Cell, metric: Metric) -> str:
    text = metric.text(cell.number.value)
    return f">{text}" if cell.open_ended and cell.number.value is not None else text


def _interval(found: Estimate, metric: Metric) -> str:
    if found.low is None or found.high is None:
        return ""
    low, high = metric.text(found.low), metric.text(found.high)
    return f"{low}…{high}" if low.startswith("-") or high.startswith("-") else f"{low}-{high}"


def _signed(value: float | None, metric: Metric) -> str:
    """Return a difference with its sign; nothing where there is none."""
    if value is None:
        return ""
    text = metric.text(value)
    return text if text.startswith("-") else f"+{text}"


def _difference(found: Estimate | None, metric: Metric) -> list[Text]:
    if found is None or found.value is None:
        return [Text(""), Text(""), Text("")]
    low, high = _signed(found.low, metric), _signed(found.high, metric)
    return [
        Text(_signed(found.value, metric)),
        Text(f"{low}…{high}" if low and high else ""),
        Text(str(found.count)),
    ]


def _curves(comparison: Comparison) -> list[str]:
    low, high = scale(comparison)
    return [sparkline(row.curve, low, high) for row in comparison.rows]
