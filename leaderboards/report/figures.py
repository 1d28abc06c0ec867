"""Figures for a paper, in the order in which the paper shows its own.

What an editor does to the facts it writes (1), to those it wrote (2), to the rest of the model (3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .._axes import log_ticks, tick_text
from .._labels import clean, fit
from .._one_run import short_names
from .._panels import COLOURS, MARKERS
from ..analysis.constants import Constants
from ..analysis.journal import RunJournal
from ..analysis.series import EXACT, F1, FLOOR, finite, first_of, followed, immediate, success
from ..curves import buckets, retention
from ..plot import drawing, write_figure
from ..results import ResultError
from .course import Told, tell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 2.35, 1.75
_ACROSS = (4, 3, 5)
"""Panels to a row, about the width of a page; the first that leaves the fewest gaps."""
_COLLAPSE = "#606060"
_MOST_NAMED = 8
_SCORES = (
    ("es", "ES"),
    ("ps", "PS"),
    ("ns", "NS"),
    ("efficacy", "efficacy"),
    ("paraphrase", "paraphrase"),
    ("specificity", "specificity"),
)


class _Row(NamedTuple):
    """The same panel for every run."""

    label: str
    draw: Callable[[Axes, Told], None]
    log: bool = False
    legends: bool = False
    """Whether panels differ in what they show, so that each needs its own legend."""


def write_figures(
    runs: Sequence[RunJournal], folder: Path, constants: Constants | None = None
) -> list[Path]:
    """Write `figure1` to `figure3` as PNG and SVG, a column for each run.

    Args:
        runs: The runs.
        folder: Where to; made if it is not there.
        constants: Thresholds of the analysis, which places the collapse.

    Returns:
        The files.

    Raises:
        ResultError: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"{folder}: cannot be written: {error.strerror}") from None
    told = tell(runs, constants or Constants())
    rows = {
        "figure1": [_Row("right after each edit, %", _proficiency)],
        "figure2": [_Row("learned facts forgotten, %", _forgotten)],
        "figure3": [
            _Row("weighted F1, %", _downstream),
            _Row("‖ΔW‖ / entries", _distance, log=True, legends=True),
        ],
    }
    written: list[Path] = []
    with drawing():
        for name, each in rows.items():
            written += write_figure(_figure(told, each), folder / name)
    return written


def _figure(told: Sequence[Told], rows: Sequence[_Row]) -> Figure:
    """Lay out panels: a column a run, as many beside each other as a page takes."""
    from matplotlib.figure import Figure

    across = min(len(told), min(_ACROSS, key=lambda across: -len(told) % across))
    bands = [told[start : start + across] for start in range(0, len(told), across)]
    down = len(bands) * len(rows)
    size = (0.45 + across * _WIDTH, 0.25 + down * _HEIGHT)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharex="col" if len(bands) == 1 else False)
    for band, runs in enumerate(bands):
        for at, row in enumerate(rows):
            line = grid[band * len(rows) + at]
            for column, axes in enumerate(line):
                if column >= len(runs):
                    axes.set_axis_off()
                    continue
                _panel(axes, row, runs[column], first=column == 0, top=at == 0)
                if at == len(rows) - 1:
                    axes.set_xlabel("edits")
    return figure


def _panel(axes: Axes, row: _Row, told: Told, *, first: bool, top: bool) -> None:
    row.draw(axes, told)
    span = len(told.run.edits)
    axes.set_xlim(-0.02 * span, 1.02 * span)
    if row.log:
        _log_scale(axes)
    else:
        axes.set_ylim(-3, 103)
    collapse = told.found.collapse.edit
    if collapse is not None:
        axes.axvline(collapse, color=_COLLAPSE, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    if top:
        axes.set_title(fit(told.label, _WIDTH - 0.3, bold=True), loc="left", fontweight="bold")
    if first:
        axes.set_ylabel(row.label)
    if (first or row.legends) and 0 < len(axes.get_legend_handles_labels()[1]) <= _MOST_NAMED:
        axes.legend(frameon=False, fontsize=6, loc="best", handlelength=1.6, labelspacing=0.2)


def _log_scale(axes: Axes) -> None:
    """Give an axis ticks that are written without formulas, which our settings leave unparsed."""
    from matplotlib.ticker import FixedLocator, NullLocator

    heights = [float(height) for line in axes.lines for height in line.get_ydata()]  # type: ignore[arg-type]
    positive = [height for height in heights if 0 < height < math.inf]
    if not positive:
        return
    low, high = 0.8 * min(positive), 1.25 * max(positive)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator(log_ticks(low, high)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: tick_text(value))


def _proficiency(axes: Axes, told: Told) -> None:
    """Draw means of five edits thin and dashed, of fifty solid, as the paper's code does."""
    shown = [each for each in _SCORES if any(each[0] in line.metrics for line in told.run.edits)]
    for at, (name, text) in enumerate(shown):
        curve = buckets(immediate(told.run, name))
        thin = {"linewidth": 0.5, "linestyle": (0, (2, 1)), "alpha": 0.5}
        axes.plot(curve.edits, _percent(curve.mean_5), color=COLOURS[at], **thin)
        axes.plot(curve.edits, _percent(curve.mean_50), color=COLOURS[at], label=text)


def _percent(values: Sequence[float | None]) -> list[float]:
    return [100 * value for value in _drawn(values)]


def _drawn(values: Sequence[float | None]) -> list[float]:
    """Make of what cannot be drawn a gap."""
    known = map(finite, values)
    return [math.nan if value is None else value for value in known]


def _forgotten(axes: Axes, told: Told) -> None:
    """Draw the share of learned facts that are lost: once lost is lost (the paper), and now."""
    name = first_of(told.run, EXACT)
    asked = followed(told.run, name) if name else []
    if name is None or not asked:
        return
    at_edit = [value or 0.0 for value in immediate(told.run, name)]
    records = retention(at_edit, [now for _, now in asked])
    edits = [done for done, _ in asked]
    sticky = [1 - record.sticky if record.sticky is not None else None for record in records]
    instant = [1 - record.instant if record.instant is not None else None for record in records]
    axes.plot(edits, _percent(sticky), color=COLOURS[1], label="sticky (the paper)")
    axes.plot(edits, _percent(instant), color=COLOURS[0], linestyle="--", label="instant")


def _downstream(axes: Axes, told: Told) -> None:
    """Draw the weighted F1 of each task, and a constant answer's."""
    lines = told.run.checkpoints
    names = dict.fromkeys(name for line in lines for name, each in line.tasks.items() if F1 in each)
    for at, name in enumerate(names):
        asked = [line for line in lines if F1 in line.tasks.get(name, {})]
        values = _percent([success(line.tasks[name][F1]) for line in asked])
        edits = [line.edits for line in asked]
        axes.plot(
            edits,
            values,
            color=COLOURS[at % len(COLOURS)],
            marker=MARKERS[at % len(MARKERS)],
            markersize=2,
            label=clean(name),
        )
        floor = asked[0].tasks[name].get(FLOOR)
        if at == 0 and floor is not None:
            axes.axhline(100 * floor, color=_COLLAPSE, linewidth=0.7, linestyle=":", zorder=1)


def _distance(axes: Axes, told: Told) -> None:
    """Draw the paper's normalised distance of each matrix, at checkpoints."""
    lines = [line for line in told.run.checkpoints if line.edits]
    names = list(dict.fromkeys(name for line in lines for name in line.distance))
    for at, (name, text) in enumerate(zip(names, short_names(names), strict=True)):
        drawn = _drawn([line.distance.get(name, {}).get("l2_per_param") for line in lines])
        colour = COLOURS[at % len(COLOURS)]
        axes.plot([line.edits for line in lines], drawn, color=colour, label=clean(text))
