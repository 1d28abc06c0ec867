"""Spikes: single updates far larger than those before them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Literal, NamedTuple

from .constants import Constants

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
        controls: Norms of random first edits of the pristine model.
        batch_size: Edits to a call; a call that stands out is found once, at its first edit.

    Example:
        >>> find_spikes([1.0] * 30 + [50.0] + [1.0] * 10, Constants())[0].edit
        31
    """
    found = []
    for at in range(0, len(norms), batch_size):
        before: Sequence[float] = norms[max(0, at - constants.spike_window) : at]
        against: Against = "previous"
        if len(before) < constants.spike_min and len(controls) >= constants.spike_min:
            before, against = controls, "controls"
        elif len(before) < constants.spike_min:
            first = norms[: max(constants.spike_min, 3 * batch_size)]
            before, against = [*first[:at], *first[at + batch_size :]], "first"
        if len(before) < 2 * batch_size or (against == "first" and len(before) < 10):
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
