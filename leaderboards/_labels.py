"""Text in figures: safe, as long as there is room, and not over other text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeVar

from ._letters import visible

TEXT_POINTS = 8
LINE_POINTS = 9.5
"""From one line of text to the next."""
_LONGEST = 160
T = TypeVar("T")


def clean(text: str) -> str:
    """Replace what cannot be written in an SVG file: control characters, half characters.

    Example:
        >>> clean("$x$" + chr(27) + "[2J") == "$x$" + chr(0xFFFD) + "[2J"
        True
    """
    return visible(text)


def width(text: str, *, points: float = TEXT_POINTS, bold: bool = False) -> float:
    """Return the width of a text in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=points, weight="bold" if bold else "normal")
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] / 72


def fit(text: str, inches: float, *, points: float = TEXT_POINTS, bold: bool = False) -> str:
    """Return the text, without its middle if it is wider than the room there is."""
    text = clean(text)
    if len(text) > _LONGEST:
        text = text[: _LONGEST // 2] + text[-_LONGEST // 2 :]
    if width(text, points=points, bold=bold) <= inches:
        return text

    def cut(kept: int) -> str:
        return text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]

    too_many = bisect_right(
        range(len(text)), inches, key=lambda kept: width(cut(kept), points=points, bold=bold)
    )
    return cut(max(0, too_many - 1))


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Move heights in [0, 1] apart, as little as possible (least squares).

    With the n-th lowest label moved down by n gaps, "apart" is "not descending", which pooling
    adjacent violators solves; cutting off at both ends keeps the solution the best one.

    Args:
        wanted: Where labels would be best; in any order, which is kept among equals.
        gap: Least distance between two.

    Returns:
        Where they are, in the order of `wanted`; all in [0, 1] if they fit.

    Example:
        >>> spread([0.5, 0.5, 1.0], 0.25)
        [0.625, 0.375, 1.0]
    """
    order = sorted(range(len(wanted)), key=lambda at: (wanted[at], -at))
    pools: list[list[float]] = []
    for rank, at in enumerate(order):
        pools.append([wanted[at] - rank * gap])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    level = [_mean(pool) for pool in pools for _ in pool]
    highest = max(0.0, 1 - (len(wanted) - 1) * gap)
    placed = [0.0] * len(wanted)
    for rank, at in enumerate(order):
        placed[at] = min(max(level[rank], 0.0), highest) + rank * gap
    return placed


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def thinned(items: Sequence[T], room: int) -> list[T]:
    """Return all items, or as many as there is room for: the first, the last, some between.

    Example:
        >>> thinned([0, 1, 2, 3, 4], 3), thinned([0, 1], 3)
        ([0, 2, 4], [0, 1])
    """
    if len(items) <= room:
        return list(items)
    if room < 2:
        return list(items[:room])
    return [items[round(at * (len(items) - 1) / (room - 1))] for at in range(room)]
