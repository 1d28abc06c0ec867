"""How a panel is drawn: lines, limits, and labels at the ends of the lines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ._labels import LINE_POINTS, fit, spread, thinned
from ._panels import Panel, Series, Style, known

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "#606060"
_DOTS, _DASHES = (0, (1.0, 1.6)), (0, (6.0, 3.0))
_STEPS = [1, 2, 2.5, 5, 10]
_FEW_MARKERS, _MOST_MARKERS = 7, 30
# Inches to the right of the axes: a line to where the label is, a piece of the line, the label.
_BEND, _SAMPLE, _SPACE = 0.05, 0.26, 0.03
# Values more than this many times the smallest are off the scale.
_LARGEST_RATIO = 1e12
_LARGEST_SPAN = 10**9


class Room(NamedTuple):
    """Inches for the parts of a panel."""

    left: float
    """For tick labels and the unit."""
    width: float
    """Of the axes."""
    height: float
    gutter: float
    """To the right of the axes, for labels."""


class _End(NamedTuple):
    """A label beside the right end of a line."""

    value: float
    text: str
    how: dict[str, Any]
    """How the line is drawn."""


def line_style(style: Style) -> dict[str, Any]:
    """Return a style in matplotlib's words."""
    return {
        "color": style.colour,
        "linestyle": (0, style.dash) if style.dash else "-",
        "linewidth": 1.3,
        "marker": style.marker,
        "markersize": 3.2,
    }


def draw(axes: Axes, panel: Panel, num_edits: int, room: Room) -> None:
    """Draw a panel.

    Args:
        axes: Empty, in place.
        panel: What to draw.
        num_edits: Where the horizontal axis ends.
        room: The size of the axes and of what is around them.
    """
    title = fit(panel.title, room.width + room.gutter, bold=True)
    axes.set_title(title, loc="left", fontweight="bold", pad=13)
    axes.text(0, 1.025, panel.note, transform=axes.transAxes, color=GREY)
    # The unit stands in the same place whatever the tick labels are: panels stay in line.
    axes.yaxis.set_label_coords(-(room.left - 0.19) / room.width, 0.5)
    span = min(num_edits, _LARGEST_SPAN)
    _scale(axes, panel, span)
    ends = [
        end
        for at, series in enumerate(panel.series)
        for end in _draw_series(axes, series, at, span)
    ]
    floors = []
    for label, value, dotted in panel.references:
        linestyle = _DOTS if dotted else _DASHES
        how = {"color": GREY, "linewidth": 0.9, "linestyle": linestyle}
        axes.axhline(value, label=label, zorder=1.5, **how)
        floors.append(_End(value, label, how))
    _label(axes, ends, floors, room)


def _scale(axes: Axes, panel: Panel, span: int) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    axes.set_xlabel("edits")
    axes.set_ylabel(panel.unit)
    axes.set_xlim(-0.02 * span, 1.02 * span)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=_STEPS))
    axes.xaxis.set_major_formatter("{x:.0f}")
    values = [
        value
        for each in panel.series
        for value in (*known(each.values), *known(each.noisy), *known([each.unedited]))
    ] + [each.value for each in panel.references]
    if panel.scale == "percent":
        low = -100 if min(values) < 0 else 0
        axes.set_ylim(low - 0.03 * (100 - low), 100 + 0.03 * (100 - low))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    elif panel.scale == "linear" or not any(value > 0 for value in values):
        low, high = min(0.0, *values), max(0.0, *values)
        high = high if high > low else low + 1
        axes.set_ylim(low - 0.03 * (high - low), high + 0.05 * (high - low))
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    else:
        low = min(value for value in values if value > 0)
        high = min(max(values), low * _LARGEST_RATIO)
        margin = max((high / low) ** 0.05, 1.05)
        axes.set_yscale("log")
        axes.set_ylim(low / margin, high * margin)
        axes.yaxis.set_major_locator(FixedLocator(log_ticks(low / margin, high * margin)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: tick_text(value))


def tick_text(value: float) -> str:
    """Write a tick in the few letters there is room for.

    Example:
        >>> tick_text(0.25), tick_text(1000.0), tick_text(1e-5), tick_text(3.2e7)
        ('0.25', '1000', '1e-5', '3.2e7')
    """
    mantissa, exponent = f"{value:.3e}".split("e")
    if -4 < int(exponent) < 4:
        return f"{value:g}"
    return f"{float(mantissa):g}e{int(exponent)}"


def log_ticks(low: float, high: float) -> list[float]:
    """Return about five round numbers between two positive ones."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    decades = math.log10(high / low)
    if decades < 1:
        locator = MaxNLocator(5, steps=_STEPS)
    else:
        locator = LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,), numticks=7)
    return [float(tick) for tick in locator.tick_values(low, high) if low <= tick <= high]


def _draw_series(axes: Axes, series: Series, at: int, span: int) -> list[_End]:
    """Draw a series; return its label and the unedited model's where it needs one."""
    how = line_style(series.style)
    logarithmic = axes.get_yscale() == "log"

    def points(values: Sequence[float | None]) -> tuple[list[int], list[float]]:
        pairs = zip(series.edits, values, strict=False)
        kept = [(done, value) for done, value in pairs if 0 <= done <= span]
        drawable = [
            math.nan if value is None or (logarithmic and value <= 0) else value
            for _, value in kept
        ]
        return [done for done, _ in kept], drawable

    edits, values = points(series.values)
    if series.noisy:
        axes.plot(*points(series.noisy), color=how["color"], linewidth=0.5, alpha=0.35, zorder=2)
    axes.plot(
        edits,
        values,
        label=series.label,
        markevery=_marked(values, at),
        zorder=3,
        **how,
    )
    ends = [
        _End(value, series.label, how)
        for value in [each for each in values if not math.isnan(each)][-1:]
    ]
    if series.unedited is not None:
        dotted = {"color": how["color"], "linestyle": _DOTS, "linewidth": 1.1}
        label = f"{series.label}, unedited"
        axes.axhline(series.unedited, label=label, zorder=1.8, **dotted)
        # A line that starts at the unedited model needs no words for it.
        if 0 not in edits:
            ends.append(_End(series.unedited, label, dotted))
    return ends


def _marked(values: Sequence[float], at: int) -> list[int]:
    """Choose which points get a marker: all of a few, every so many of more.

    Different series start at different places, and a point alone between gaps is always marked.
    """
    if len(values) <= _MOST_MARKERS:
        return list(range(len(values)))
    step = len(values) // _FEW_MARKERS
    gaps = [math.isnan(value) for value in (math.nan, *values, math.nan)]
    alone = {index for index in range(len(values)) if gaps[index] and gaps[index + 2]}
    return sorted(alone | set(range(at * step // 4 % step, len(values), step)))


def _label(axes: Axes, ends: list[_End], floors: list[_End], room: Room) -> None:
    """Write labels beside the ends of their lines, apart from each other."""
    from matplotlib.lines import Line2D

    gap = LINE_POINTS / 72 / room.height
    room_for = int(1 / gap)
    floors = thinned(floors, room_for)
    shown = [*thinned(ends, room_for - len(floors)), *floors]
    to_axes = (axes.transData + axes.transAxes.inverted()).transform
    true = [
        min(max(float(to_axes((0, max(end.value, axes.get_ylim()[0])))[1]), 0.0), 1.0)
        for end in shown
    ]
    starts = 1 + _BEND / room.width
    sampled = starts + _SAMPLE / room.width
    for end, at, placed in zip(shown, true, spread(true, gap), strict=True):
        bend = Line2D([1, starts], [at, placed], color=end.how["color"], linewidth=0.5)
        sample = Line2D([starts, sampled], [placed, placed], markevery=[], **end.how)
        marker = Line2D([(starts + sampled) / 2], [placed], **{**end.how, "linestyle": "none"})
        for line in (bend, sample, marker):
            line.set(transform=axes.transAxes, clip_on=False)
            axes.add_artist(line)
        axes.text(
            sampled + _SPACE / room.width,
            placed,
            fit(end.text, room.gutter - _BEND - _SAMPLE - _SPACE),
            transform=axes.transAxes,
            verticalalignment="center",
        )
