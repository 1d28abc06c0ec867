"""The phases of a run: intact, gradual forgetting, collapsed."""

from __future__ import annotations

from .constants import Constants
from .records import Collapse, Phase
from .series import Points


def phases(
    num_edits: int, retention: Points, collapse: Collapse, constants: Constants
) -> list[Phase]:
    """Cut a run into its phases.

    Gradual forgetting begins between the checkpoint at which retention was last at `retained_from`
    or more and the next one. The collapse begins where it was found.

    Args:
        num_edits: Length of the run.
        retention: Instant retention at checkpoints.
        collapse: What was found of a collapse.
        constants: Thresholds.

    Example:
        >>> retained = Points([10, 20, 30], [1.0, 0.9, 0.8])
        >>> [(phase.name, phase.first, phase.last)
        ...  for phase in phases(30, retained, Collapse(kind="none"), Constants())]
        [('intact', 1, 19), ('gradual', 20, 30)]
    """
    found = []
    end = num_edits
    if collapse.edit is not None:
        low, high = collapse.low or collapse.edit, collapse.high or collapse.edit
        found.append(
            Phase(
                name="collapsed",
                first=collapse.edit,
                last=num_edits,
                first_low=low,
                first_high=high,
            )
        )
        end = collapse.edit - 1
    begin = _forgetting(retention, end, constants)
    if begin is not None and begin[1] <= end:
        low, high = begin
        found.append(Phase(name="gradual", first=high, last=end, first_low=low, first_high=high))
        end = high - 1
    if end >= 1:
        found.append(Phase(name="intact", first=1, last=end, first_low=1, first_high=1))
    return found[::-1]


def _forgetting(retention: Points, end: int, constants: Constants) -> tuple[int, int] | None:
    """Return between which edits retention fell for good, before the collapse."""
    points = [pair for pair in zip(*retention, strict=True) if pair[0] <= end]
    low = 0
    for index, (done, value) in enumerate(points):
        if value < constants.retained_from and all(
            later < constants.retained_from for _, later in points[index:]
        ):
            return low + 1, done
        low = done
    return None
