"""Where the distance from the original weights begins to grow faster than a random walk.

Updates in unrelated directions add up like the steps of a random walk: the distance grows as the
square root of their number, a log-log slope of one half.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .constants import Constants
from .records import Onset

_FEWEST = 5


def onset(matrix: str, distances: Sequence[float], constants: Constants) -> Onset | None:
    """Find the first n at which the local log-log slope exceeds the threshold.

    The slope at n is that of the least-squares line through log distance against log edits, over
    all edits from n to `onset_span` times n.

    Args:
        matrix: Its name.
        distances: Its distance after each edit.
        constants: Thresholds.

    Returns:
        None where the distance cannot be followed: too few edits, or none that moves the matrix.

    Example:
        >>> square_root = [n**0.5 for n in range(1, 101)]
        >>> found = onset("w", square_root, Constants())
        >>> found.at, round(found.slope_before, 3)
        (None, 0.5)
    """
    values = np.asarray(distances, dtype=np.float64)
    usable = np.isfinite(values) & (values > 0)
    end = len(values) if usable.all() else int(np.argmin(usable))
    start = constants.onset_from
    if end < start * constants.onset_span or end < start + _FEWEST:
        return None
    logs, edits = np.log(values[:end]), np.log(np.arange(1, end + 1))
    for first in range(start, int(end / constants.onset_span) + 1):
        last = int(first * constants.onset_span)
        slope = _slope(edits[first - 1 : last], logs[first - 1 : last])
        if slope > constants.onset_slope:
            before = _slope(edits[:first], logs[:first]) if first > _FEWEST else None
            return Onset(matrix=matrix, at=first, slope=slope, slope_before=before)
    return Onset(matrix=matrix, at=None, slope=None, slope_before=_slope(edits, logs))


def _slope(edits: np.ndarray, logs: np.ndarray) -> float:
    centred = edits - edits.mean()
    return float((centred * logs).sum() / np.square(centred).sum())
