"""Small curves of a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

LEVELS = "▁▂▃▄▅▆▇█"
GAP = " "


def sparkline(values: Sequence[float | None], low: float, high: float) -> str:
    """Return values as one letter each, from low to high; nothing where there is none.

    Example:
        >>> sparkline([0.0, 0.5, None, 1.0], 0, 1)
        '▁▅ █'
    """
    if high <= low:
        return "".join(GAP if value is None else LEVELS[-1] for value in values)
    last = len(LEVELS) - 1
    return "".join(
        GAP
        if value is None
        else LEVELS[round(last * min(1.0, max(0.0, (value - low) / (high - low))))]
        for value in values
    )


def binned(
    points: Sequence[tuple[int, float | None]], edits: int, width: int
) -> list[float | None]:
    """Average a curve over equal stretches of the edits; the unedited model is left out.

    Args:
        points: Edits done, and a value.
        edits: The last edit that is looked at.
        width: Stretches, at most; fewer where there are not so many points.

    Example:
        >>> binned([(0, 9.0), (1, 1.0), (2, 0.0), (3, None), (4, 1.0)], 4, 2)
        [0.5, 1.0]
    """
    seen = [(done, value) for done, value in points if 1 <= done <= edits]
    stretches = min(width, len(seen))
    found: list[list[float]] = [[] for _ in range(stretches)]
    for done, value in seen:
        if value is not None:
            found[(done - 1) * stretches // edits].append(value)
    return [fmean(values) if values else None for values in found]
