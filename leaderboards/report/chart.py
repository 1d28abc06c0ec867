"""Charts as numbers and SVG paths; the template writes the marks, the script only adds to them.

All is drawn before the page is opened, so that it can be read without the script and printed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, TypeGuard

WIDTH, HEIGHT = 440, 236
LEFT, RIGHT, TOP, BOTTOM = 42, 10, 10, 28
GEOMETRY = {
    **{"width": WIDTH, "height": HEIGHT},
    **{"left": LEFT, "right": RIGHT, "top": TOP, "bottom": BOTTOM},
}
"""All of it, as templates and scripts know it."""
Scale = Literal["percent", "linear", "log"]
_SPAN_OF_LOG = 1e12
_LARGEST = 1e100
"""What is larger was no measurement, and an axis that holds it shows nothing else."""
_STEPS = (1, 2, 2.5, 5, 10)


def is_drawable(value: float | None) -> TypeGuard[float]:
    """Return whether a value has a place on an axis."""
    return value is not None and abs(value) < _LARGEST


class Line(NamedTuple):
    """One run's line in a chart."""

    run: int
    """Which run, from 0: it gives the colour."""
    label: str
    edits: Sequence[float]
    values: Sequence[float | None]
    low: Sequence[float | None] = ()
    """Lower ends of intervals, if there are any."""
    high: Sequence[float | None] = ()


class Tick(NamedTuple):
    """A mark on an axis."""

    at: float
    """In the drawing's units."""
    text: str


class Level(NamedTuple):
    """A horizontal line to compare with."""

    value: float
    label: str


class Drawn(NamedTuple):
    """A line as a path."""

    run: int
    path: str
    area: str
    """Between its intervals; empty without them."""
    dots: list[tuple[float, float]]
    """Points that stand alone, and the last one."""


@dataclass(frozen=True)
class Chart:
    """A set of axes with lines."""

    name: str
    title: str
    unit: str
    note: str
    lines: list[Line]
    scale: Scale = "percent"
    levels: list[Level] = field(default_factory=list)
    x_label: str = "edits"
    x_names: list[str] = field(default_factory=list)
    """Names of the places 0, 1, ... on the horizontal axis, where it is not one of numbers."""

    @cached_property
    def x_domain(self) -> tuple[float, float]:
        """Both ends of the horizontal axis."""
        edits = [edit for line in self.lines for edit in line.edits]
        if self.x_names:
            return -0.4, len(self.x_names) - 0.6
        return 0.0, max([1.0, *map(float, edits)])

    @cached_property
    def y_domain(self) -> tuple[float, float]:
        """Both ends of the vertical axis."""
        values = self._values()
        if self.scale == "percent":
            return min([0.0, *values]), 1.0
        if self.scale == "log":
            # Smaller numbers have too few digits to leave room around them.
            positive = [value for value in values if value >= sys.float_info.min] or [1.0]
            low = min(positive)
            high = min(max(positive), low * _SPAN_OF_LOG)
            return low / 1.15, high * 1.15
        low, high = min([0.0, *values]), max([0.0, *values])
        return low, high + 0.05 * (high - low) if high > low else low + 1

    def _values(self) -> list[float]:
        every = [
            value
            for line in self.lines
            for value in (*line.values, *line.low, *line.high)
            if is_drawable(value)
        ]
        return every + [level.value for level in self.levels]

    def x(self, edit: float) -> float:
        """Return where an edit is."""
        low, high = self.x_domain
        return round(LEFT + (edit - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Return where a value is, at the edge if it is beyond it."""
        low, high = self.y_domain
        if self.scale == "log":
            low, high = math.log(low), math.log(high)
            value = math.log(max(value, math.exp(low)))
        share = min(1.0, max(0.0, (value - low) / (high - low)))
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    def drawn(self) -> list[Drawn]:
        """Return the lines as paths."""
        return [self._draw(line) for line in self.lines]

    def _draw(self, line: Line) -> Drawn:
        parts: list[list[tuple[float, float]]] = [[]]
        for edit, value in zip(line.edits, line.values, strict=True):
            if not is_drawable(value) or (self.scale == "log" and value <= 0):
                parts.append([])
            else:
                parts[-1].append((self.x(edit), self.y(value)))
        parts = [part for part in parts if part]
        dots = [part[0] for part in parts if len(part) == 1]
        if parts and parts[-1][-1] not in dots:
            dots.append(parts[-1][-1])
        return Drawn(line.run, "".join(map(_path, parts)), self._area(line), dots)

    def _area(self, line: Line) -> str:
        upper, lower = [], []
        for edit, low, high in zip(line.edits, line.low, line.high, strict=False):
            if low is not None and high is not None:
                upper.append((self.x(edit), self.y(high)))
                lower.append((self.x(edit), self.y(low)))
        return _path(upper + lower[::-1]) + "Z" if len(upper) > 1 else ""

    def x_ticks(self) -> list[Tick]:
        """Return marks on the horizontal axis."""
        if self.x_names:
            return [Tick(self.x(at), name) for at, name in enumerate(self.x_names)]
        low, high = self.x_domain
        return [Tick(self.x(at), f"{at:,.0f}") for at in round_numbers(low, high, 4) if at % 1 == 0]

    def y_ticks(self) -> list[Tick]:
        """Return marks on the vertical axis."""
        low, high = self.y_domain
        places = _decades(low, high) if self.scale == "log" else round_numbers(low, high, 4)
        return [Tick(self.y(at), self.text(at)) for at in places]

    def text(self, value: float | None) -> str:
        """Return a value as it is read."""
        if value is None:
            return "no number"
        return f"{100 * value:.3g}" if self.scale == "percent" else short(value)

    def for_script(self) -> dict[str, object]:
        """Return what the script needs to follow a pointer."""
        low, high = self.x_domain
        return {
            "name": self.name,
            "from": low,
            "to": high,
            "names": self.x_names,
            "lines": [
                {
                    "run": line.run,
                    "label": line.label,
                    "edits": list(line.edits),
                    "y": [None if value is None else self.y(value) for value in line.values],
                    "text": [self.text(value) for value in line.values],
                }
                for line in self.lines
            ],
        }


def _path(points: Sequence[tuple[float, float]]) -> str:
    """Return a path through points.

    Example:
        >>> _path([(1.0, 2.5), (3.0, 4.0)])
        'M1,2.5L3,4'
    """
    return "".join(f"{'L' if at else 'M'}{x:g},{y:g}" for at, (x, y) in enumerate(points))


def short(value: float) -> str:
    """Write a number in three digits.

    Example:
        >>> short(0.25), short(1234.5), short(2.5e11), short(0)
        ('0.25', '1,230', '2.5e11', '0')
    """
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        return f"{float(f'{value:.3g}'):,.10g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def round_numbers(low: float, high: float, count: int) -> list[float]:
    """Return about so many round numbers between two.

    Example:
        >>> round_numbers(0, 300, 5), round_numbers(0, 1, 4)
        ([0, 50, 100, 150, 200, 250, 300], [0.0, 0.25, 0.5, 0.75, 1.0])
    """
    rough = (high - low) / count
    size = 10 ** math.floor(math.log10(rough))
    step = size * min(_STEPS, key=lambda step: abs(step - rough / size))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(at * step, 12) for at in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Return marks of a log axis: 1, 2, 5 in a few decades, powers of ten in many."""
    decades = math.log10(high / low)
    subs = (1, 2, 5) if decades < 2.5 else (1,)
    step = max(1, math.ceil(decades / 5))
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    places = [sub * 10.0**power for power in powers if power % step == 0 for sub in subs]
    found = [place for place in places if low <= place <= high]
    return found if len(found) > 2 else round_numbers(low, high, 4)
