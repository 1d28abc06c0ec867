"""Is it a collapse? Three criteria, two of which must be met, and stay met to the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Literal

from .constants import Constants
from .records import Confirmation, Criterion
from .series import Downstream, Points


@dataclass(frozen=True)
class Course:
    """The three series that show a collapse."""

    es: Sequence[float]
    """ES of each edit right after it was made; empty if it was not asked."""
    retention: Points
    """Instant retention at checkpoints."""
    downstream: Downstream | None
    num_edits: int

    @cached_property
    def sums(self) -> list[float]:
        """Cumulated ES, for the means of many windows."""
        return [0.0, *accumulate(self.es)]

    @property
    def interval(self) -> int:
        """Edits from one checkpoint to the next, at most."""
        edits = self.retention.edits or (self.downstream.points.edits if self.downstream else [])
        return max((later - earlier for earlier, later in pairwise(edits)), default=0)

    def horizon(self, constants: Constants) -> int:
        """Return how many edits after a spike its effects must show."""
        return max(constants.horizon, constants.horizon_checkpoints * self.interval)


def confirm(
    at: int,
    course: Course,
    constants: Constants,
    *,
    newly: bool = True,
) -> Confirmation:
    """Decide whether the model collapsed at an edit.

    Args:
        at: Number of the edit, from 1.
        course: What was measured.
        constants: Thresholds.
        newly: Whether retention and downstream must have been above their floors before: so for
            an edit that is held to have broken the model, not for the search of a slow decline.
    """
    horizon = course.horizon(constants)
    criteria = [
        _es(at, course, constants),
        _retention(at, course, constants, horizon, newly),
        _downstream(at, course, constants, horizon, newly),
    ]
    met = sum(criterion.met is True for criterion in criteria)
    unknown = sum(criterion.met is None for criterion in criteria)
    verdict: bool | None = met >= constants.criteria_needed
    if not verdict and met + unknown >= constants.criteria_needed:
        verdict = None
    return Confirmation(edit=at, confirmed=verdict, horizon=horizon, criteria=criteria)


def first_collapse(course: Course, constants: Constants) -> Confirmation | None:
    """Return the earliest edit after which the criteria are met, spike or no spike."""
    for at in range(1, course.num_edits + 1):
        found = confirm(at, course, constants, newly=False)
        if found.confirmed:
            return found
    return None


def _es(at: int, course: Course, constants: Constants) -> Criterion:
    """Mean ES of the edits after is low, and much lower than before."""
    total, sums = len(course.es), course.sums

    def mean(start: int, end: int) -> float:
        return (sums[end] - sums[start]) / (end - start)

    start = max(0, at - 1 - constants.es_before)
    left = total - at
    if not total:
        return Criterion(name="es", met=None, why="not measured")
    if at - 1 - start < constants.es_before_min:
        return Criterion(name="es", met=None, why=f"only {at - 1 - start} edits before")
    if left < constants.es_after_min:
        return Criterion(name="es", met=None, why=f"only {max(0, left)} edits after")
    before = mean(start, at - 1)
    limit = min(constants.es_ceiling, before - constants.es_drop)
    size = min(constants.es_after, left)
    after = mean(at, at + size)
    # A last block that would be too short to judge belongs to the one before it.
    starts = [
        begin
        for begin in range(at, total, size)
        if begin == at or total - begin >= constants.es_after_min
    ]
    ends = [*starts[1:], total]
    lows = [mean(begin, end) <= limit for begin, end in zip(starts, ends, strict=True)]
    persists = sum(lows) / len(lows)
    return Criterion(
        name="es",
        met=after <= limit and persists >= constants.persist_share,
        before=before,
        after=after,
        at=at + size,
        persists=persists if after <= limit else None,
        why=f"mean of {size} edits after against {at - 1 - start} before",
    )


def _retention(
    at: int, course: Course, constants: Constants, horizon: int, newly: bool
) -> Criterion:
    """Earlier edits are lost: retention falls by half of all, or to next to nothing."""
    points = course.retention
    before = _last(points, at)

    def low(value: float) -> bool:
        if value < constants.retention_floor:
            return not newly or before is None or before >= constants.retention_floor
        return before is not None and before - value >= constants.retention_drop

    return _at_checkpoints("retention", points, at, horizon, before, low, constants)


def _downstream(
    at: int, course: Course, constants: Constants, horizon: int, newly: bool
) -> Criterion:
    """Answers are mostly unparsable; or, by likelihood, hardly better than a constant answer."""
    found = course.downstream
    if found is None:
        return Criterion(name="downstream", met=None, why="not measured")
    points, limit = found.points, constants.f1_floor
    if not found.generated:
        if not found.headroom.edits:
            return Criterion(
                name="downstream",
                met=None,
                why="answers are likelihoods, and no task starts above its constant answer",
            )
        points, limit = found.headroom, 1 - constants.headroom_lost
    before = _last(points, at)

    def low(value: float) -> bool:
        return value < limit and (not newly or before is None or before >= limit)

    return _at_checkpoints("downstream", points, at, horizon, before, low, constants)


def _last(points: Points, at: int) -> float | None:
    """Return the value at the last checkpoint before an edit."""
    pairs = zip(points.edits, points.values, strict=True)
    return next((value for done, value in reversed(list(pairs)) if done < at), None)


def _at_checkpoints(
    name: Literal["retention", "downstream"],
    points: Points,
    at: int,
    horizon: int,
    before: float | None,
    low: Callable[[float], bool],
    constants: Constants,
) -> Criterion:
    """Look for a low value within the horizon, and whether it stays low."""
    later = [
        (done, value) for done, value in zip(points.edits, points.values, strict=True) if done >= at
    ]
    inside = [(done, value) for done, value in later if done <= at + horizon]
    if not inside:
        why = "not measured after it" if points.edits else "not measured"
        return Criterion(name=name, met=None, before=before, why=why)
    hit = next(((done, value) for done, value in inside if low(value)), None)
    if hit is None:
        lowest = min(inside, key=lambda point: point[1])
        return Criterion(
            name=name,
            met=False,
            before=before,
            after=lowest[1],
            at=lowest[0],
            why=f"lowest of {len(inside)} checkpoints",
        )
    rest = [low(value) for done, value in later if done >= hit[0]]
    persists = sum(rest) / len(rest)
    return Criterion(
        name=name,
        met=persists >= constants.persist_share,
        before=before,
        after=hit[1],
        at=hit[0],
        persists=persists,
        why=f"low at {sum(rest)} of {len(rest)} checkpoints from there on",
    )
