"""Where the distance from the original weights begins to grow faster than a random walk.

Updates in unrelated directions add up like the steps of a random walk: the distance grows as the
square root of their number, a log-log slope of one half. Steps of unlike length make it steeper
here and there all the same, so what is found is held against such walks of the run's own steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .constants import Constants
from .records import Onset

_FEWEST = 5


def onset(
    matrix: str,
    distances: Sequence[float],
    steps: Sequence[float],
    constants: Constants,
    *,
    batch_size: int = 1,
) -> Onset | None:
    """Find the first n at which the local log-log slope exceeds the threshold.

    The slope at n is that of the least-squares line through log distance against log edits, over
    all edits from n to `onset_span` times n.

    Args:
        matrix: Its name.
        distances: Its distance after each edit.
        steps: Frobenius norm of its change by each edit; empty if nobody knows.
        constants: Thresholds.
        batch_size: Edits to a call; the first of a call has the call's step, the others none.

    Returns:
        None where the distance cannot be followed: too few edits, or none that moves the matrix.

    Example:
        >>> square_root = [n**0.5 for n in range(1, 101)]
        >>> found = onset("w", square_root, [1.0] * 100, Constants())
        >>> found.at, round(found.slope_before, 3), found.chance, round(found.walk_ratio, 3)
        (None, 0.5, 0.0, 1.0)
    """
    values = np.asarray(distances, dtype=np.float64)
    usable = np.isfinite(values) & (values > 0)
    end = len(values) if usable.all() else int(np.argmin(usable))
    start = constants.onset_from
    if end < start * constants.onset_span or end < start + _FEWEST:
        return None
    squares = np.square(np.asarray(steps[:end], dtype=np.float64))
    chance, ratio = _walks(values[:end], squares, constants, batch_size)
    logs, edits = np.log(values[:end]), np.log(np.arange(1, end + 1))
    slopes = _local_slopes(logs, constants)
    above = slopes > constants.onset_slope
    first = start + int(np.argmax(above)) if above.any() else None
    before, few = slice(first), first is not None and first <= _FEWEST
    return Onset(
        matrix=matrix,
        at=first,
        slope=None if first is None else float(slopes[first - start]),
        slope_before=None if few else float(_slope(edits[before], logs[before])),
        chance=chance,
        walk_ratio=ratio,
    )


def _walks(
    distances: np.ndarray, squares: np.ndarray, constants: Constants, batch_size: int
) -> tuple[float | None, float | None]:
    """Return the share of random walks with an onset, and the length of the run in such walks.

    A walk takes the run's own steps in random order, each at right angles to all before: what
    unrelated directions are, nearly, among a million dimensions.
    """
    if len(squares) < len(distances) or not np.isfinite(squares).all() or not squares.any():
        return None, None
    ratio = float(distances[-1] / np.sqrt(squares.sum()))
    orders = np.zeros((constants.onset_orders, len(squares)))
    orders[:, ::batch_size] = squares[::batch_size]
    generator = np.random.default_rng(constants.seed)
    orders[:, ::batch_size] = generator.permuted(orders[:, ::batch_size], axis=1)
    # Where edits were refused an order may begin with zeros, which have no logarithm.
    walked = np.maximum(np.cumsum(orders, axis=1), squares[squares > 0].min())
    steep = _local_slopes(np.log(walked) / 2, constants) > constants.onset_slope
    return float(steep.any(axis=-1).mean()), ratio


def _local_slopes(logs: np.ndarray, constants: Constants) -> np.ndarray:
    """Return the slopes at `onset_from` and after, as far as the spans reach.

    Args:
        logs: Logarithms of distances, [..., edits].
        constants: For the span.
    """
    end = logs.shape[-1]
    edits = np.log(np.arange(1, end + 1))
    firsts = range(constants.onset_from, int(end / constants.onset_span) + 1)
    spans = [slice(first - 1, int(first * constants.onset_span)) for first in firsts]
    return np.stack([_slope(edits[span], logs[..., span]) for span in spans], axis=-1)


def _slope(edits: np.ndarray, logs: np.ndarray) -> np.ndarray:
    centred = edits - edits.mean()
    return logs @ centred / np.square(centred).sum()
