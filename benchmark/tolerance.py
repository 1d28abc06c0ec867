"""How far the numbers of an edit that was made again may be from those of an entry.

On the same platform, processor, library versions and number of threads, not at all: all six digits
of an entry must come out. Elsewhere sums are rounded otherwise, and a sequence of edits carries
that on: there most numbers must agree, and the others be few.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..leaderboards.canonical import rounded
from ..leaderboards.entry import Series
from ..leaderboards.referee.ranges import is_share
from ..leaderboards.verify import Check

FEW = 0.05
"""Share of the values of a kind, successes or magnitudes, that may be others elsewhere; one may."""
NEAR = 0.02
"""How far magnitudes may be apart elsewhere; of those over 1, as a share."""
Values = dict[str, float | None]


class _Pair(NamedTuple):
    """One value, twice."""

    name: str
    edit: int
    then: float | None
    """In the entry."""
    now: float | None


def compared_values(
    series: Series, made: Sequence[tuple[int, Values]], elsewhere: Sequence[str]
) -> Check:
    """Compare every metric of every edit that was made again.

    Args:
        series: The entry's.
        made: Fact and metrics of its first edits.
        elsewhere: In what the machine is another; where it is not, all digits must agree.
    """
    pairs = list(_pairs(series, made))
    others = [pair for pair in pairs if pair.then != pair.now]
    what = f"{len(pairs)} values of {len(made)} edits"
    if not elsewhere:
        told = [_told(pair) for pair in others]
        return Check(what, "the edits made again, all digits", told)
    differs: list[str] = []
    for kind, shares in (("successes", True), ("magnitudes", False)):
        of_kind = [pair for pair in pairs if is_share(pair.name) is shares]
        apart = [pair for pair in others if is_share(pair.name) is shares and not _near(pair)]
        if len(apart) > max(1, FEW * len(of_kind)):
            share = f"{len(apart)} of {len(of_kind)} {kind} differ, over {FEW:.0%}"
            differs += [share, *map(_told, apart)]
    note = f"{len(others)} others, within tolerances" if others and not differs else ""
    because = f"another {', '.join(elsewhere)}"
    return Check(
        what, f"the edits made again ({because}: few may differ)", differs, note
    )  # fmt: skip


def _pairs(series: Series, made: Sequence[tuple[int, Values]]) -> Iterator[_Pair]:
    names = dict.fromkeys([*series.immediate, *(n for _, values in made for n in values)])
    for edit, (_, values) in enumerate(made, start=1):
        for name in names:
            if "_nll" in name:
                continue
            stored = series.immediate.get(name, [])
            then = stored[edit - 1] if edit <= len(stored) else None
            yield _Pair(name, edit, then, rounded(values.get(name)))


def _near(pair: _Pair) -> bool:
    if pair.then is None or pair.now is None or is_share(pair.name):
        return pair.then == pair.now
    return abs(pair.then - pair.now) <= NEAR * max(1.0, abs(pair.then))


def _told(pair: _Pair) -> str:
    where = f"series.immediate.{pair.name}, edit {pair.edit}"
    return f"{where}: is {pair.then}, and came out as {pair.now}"
