"""Spikes: single updates far larger than those before them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from .constants import Constants

_CALLS = 5
"""Calls of a batched run that are compared with, if they are more edits than the window."""
Against = Literal["previous", "controls", "first"]


class Found(NamedTuple):
    """An edit whose update stands out."""

    edit: int
    norm: float
    ratio: float
    """To the median it is compared with."""
    severe: bool
    against: Against
    """The edits before it; first edits of the pristine model; or the other first edits."""


def find_spikes(
    norms: Sequence[float],
    constants: Constants,
    *,
    controls: Sequence[float] = (),
    batch_size: int = 1,
) -> list[Found]:
    """Find the spikes of a run.

    An edit is a spike if its norm is `spike_factor` times the median over the edits before it.
    Where there are too few of those, the controls stand in, and where there are none of these
    either, the other edits among the first `spike_min`. Norms that are not finite are spikes.

    Args:
        norms: Norm of the update of each edit; those of one call are equal.
        constants: Thresholds.
        controls: Norms of random first edits of the pristine model. One fact moves the weights less
            than a call of many: they judge only runs of one fact a call.
        batch_size: Edits to a call; a call that stands out is found once, at its first edit.

    Example:
        >>> find_spikes([1.0] * 30 + [50.0] + [1.0] * 10, Constants())[0].edit
        31
    """
    found = []
    window = max(constants.spike_window, _CALLS * batch_size)
    fewest = max(constants.spike_min, 2 * batch_size)
    for at in range(0, len(norms), batch_size):
        before: Sequence[float] = norms[max(0, at - window) : at]
        against: Against = "previous"
        if len(before) < fewest and batch_size == 1 and len(controls) >= fewest:
            before, against = controls, "controls"
        elif len(before) < fewest:
            first = norms[: max(constants.spike_min, 3 * batch_size)]
            before, against = [*first[:at], *first[at + batch_size :]], "first"
        if against == "first" and len(before) < max(10, 2 * batch_size):
            continue
        ratio = _ratio(norms[at], median(before))
        if ratio >= constants.spike_factor:
            severe = ratio >= constants.severe_factor
            found.append(Found(at + 1, norms[at], ratio, severe, against))
    return found


def _ratio(norm: float, usual: float) -> float:
    """Return how many times the usual a norm is; broken after broken does not stand out."""
    if math.isinf(usual):
        return 0.0
    if usual == 0:
        return 0.0 if norm == 0 else math.inf
    return norm / usual
