"""Changes of level in a series: where, how surely, and with what interval.

The place is the least-squares one (ruptures). Whether there is a change at all is asked of
permutations: under noise all orders are alike, so that the false-alarm rate is `alpha` whatever
the distribution. A series that moves although nothing happens brings draws of its own. The interval
is a bootstrap: residuals are drawn again within each segment and the place is found again. A
profile likelihood would assume that the residuals are normal, which shares of five edits are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .constants import Constants
from .records import ChangePoint
from .series import Points

Draw = Callable[[np.random.Generator, int], np.ndarray]
"""Draws so many series in which nothing happens: (series, points)."""

_SMALLEST = 2
"""Points to a segment: one alone is an outlier."""
_SMALLEST_OF_MANY = 3


def change_point(
    name: str,
    points: Points,
    constants: Constants,
    *,
    level: float | None = None,
    draw: Draw | None = None,
) -> ChangePoint | None:
    """Find the change of level of a series; None if it is too short to say.

    Args:
        name: What the series is.
        points: Its points; at a change the edits of the last point before it are named.
        constants: Thresholds.
        level: Of the test; `alpha` if none is given.
        draw: Series to test it against; the same values in another order if none is given.

    Example:
        >>> found = change_point("es", Points(list(range(5, 105, 5)), [1.0] * 10 + [0.5] * 10),
        ...                      Constants())
        >>> found.significant, found.at, found.before, found.after, found.shape
        (True, 50, 1.0, 0.5, 'step')
    """
    values = np.asarray(points.values, dtype=np.float64)
    if len(values) < constants.min_points or not np.isfinite(values).all():
        return None
    level = constants.alpha if level is None else level
    generator = np.random.default_rng(constants.seed)
    # No permutation test can reach a level below one in its permutations.
    permutations = max(constants.permutations, math.ceil(1 / level))
    p_value = _p_value(values, draw or _orders(values), generator, permutations)
    found = ChangePoint(
        series=name, points=len(values), significant=p_value <= level, p_value=p_value
    )
    if not found.significant:
        return found
    split = _by_ruptures(values)
    low, high = _interval(values, split, generator, constants)
    return found.model_copy(
        update={
            "at": points.edits[split - 1],
            "low": points.edits[low - 1],
            "high": points.edits[high - 1],
            "before": float(values[:split].mean()),
            "after": float(values[split:].mean()),
            "shape": "step" if _residual(values) <= _line_residual(values) else "trend",
            "all": [points.edits[at - 1] for at in _all_changes(values, constants.penalty)],
        }
    )


def _by_ruptures(values: np.ndarray) -> int:
    """Return how many points are before the single best change of the mean."""
    import ruptures

    search: Any = ruptures.Dynp(model="l2", min_size=_SMALLEST, jump=1)
    return int(search.fit(values).predict(n_bkps=1)[0])


def _all_changes(values: np.ndarray, penalty: float) -> list[int]:
    """Return all changes of the mean that lower the squared error by more than they cost."""
    import ruptures

    # From differences of neighbors, which changes of level hardly touch.
    variance = float(np.square(np.diff(values)).mean() / 2)
    if variance == 0:
        return []
    search: Any = ruptures.KernelCPD(kernel="linear", min_size=_SMALLEST_OF_MANY)
    cost = penalty * variance * float(np.log(len(values)))
    return [int(at) for at in search.fit(values).predict(pen=cost)[:-1]]


def gains(rows: np.ndarray) -> np.ndarray:
    """Return by how much each split lowers the squared error of each row.

    Args:
        rows: (series, points).

    Returns:
        (series, splits); split s is after point `_SMALLEST` + s.
    """
    count = rows.shape[1]
    centred = rows - rows.mean(axis=1, keepdims=True)
    sums = np.cumsum(centred, axis=1)[:, _SMALLEST - 1 : count - _SMALLEST]
    before = np.arange(_SMALLEST, count - _SMALLEST + 1)
    # With centred values both segments' sums are equal but for the sign.
    return np.square(sums) * (1 / before + 1 / (count - before))


def _orders(values: np.ndarray) -> Draw:
    """Return the same values in other orders."""
    return lambda generator, count: generator.permuted(np.tile(values, (count, 1)), axis=1)


def _p_value(
    values: np.ndarray, draw: Draw, generator: np.random.Generator, permutations: int
) -> float:
    """Return the share of series in which nothing happens with a change at least as clear."""
    here = gains(values[None]).max()
    if here <= 1e-12 * max(1.0, float(np.square(values).max())):
        return 1.0
    as_clear = int((gains(draw(generator, permutations)).max(axis=1) >= here * (1 - 1e-9)).sum())
    return (1 + as_clear) / (1 + permutations)


def _interval(
    values: np.ndarray, split: int, generator: np.random.Generator, constants: Constants
) -> tuple[int, int]:
    """Return the splits between which the change lies."""
    parts = []
    for part in (values[:split], values[split:]):
        drawn = generator.choice(part - part.mean(), size=(constants.bootstrap, len(part)))
        # Residuals of a fitted mean are a little too small.
        parts.append(part.mean() + drawn * np.sqrt(len(part) / max(1, len(part) - 1)))
    again = gains(np.hstack(parts)).argmax(axis=1) + _SMALLEST
    low, high = np.quantile(again, (0.025, 0.975), method="inverted_cdf")
    # Where redrawn changes come early, the true one is late: the interval is turned around.
    lowest, highest = _SMALLEST, len(values) - _SMALLEST
    turned = (2 * split - int(high), 2 * split - int(low))
    return max(lowest, turned[0]), min(highest, turned[1])


def _residual(values: np.ndarray) -> float:
    """Return the squared error of the best step."""
    return float(np.square(values - values.mean()).sum() - gains(values[None]).max())


def _line_residual(values: np.ndarray) -> float:
    """Return the squared error of the best straight line: as many parameters, but for the place."""
    edits = np.arange(len(values)) - (len(values) - 1) / 2
    slope = float((edits * values).sum() / np.square(edits).sum())
    return float(np.square(values - values.mean() - slope * edits).sum())
