"""How far the numbers of an edit that was made again may be from those of an entry.

On the same platform, processor, library versions and number of threads, not at all: all six digits
of an entry must come out. Elsewhere sums are rounded otherwise, and a sequence of edits carries
that on: there most numbers of each metric must agree, the others be few, and its mean be near. What
is elsewhere the entry says of itself, so this is also as far as a made-up entry can go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from ..leaderboards.canonical import rounded
from ..leaderboards.entry import Series
from ..leaderboards.referee.ranges import is_share
from ..leaderboards.verify import Check

FEW = 0.05
"""Share of the values of a metric that may be others elsewhere; one may in any case."""
NEAR = 0.02
"""How far magnitudes may be apart elsewhere; of those over 1, as a share."""
SHIFT = 0.03
"""How far the means may be apart elsewhere where more than one value is another; likewise."""
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
    names = dict.fromkeys(pair.name for pair in others)
    differs = [
        text for name in names for text in _beyond([each for each in pairs if each.name == name])
    ]
    note = "" if differs or not others else f"{len(others)} others, within tolerances"
    shares = [pair for pair in others if is_share(pair.name)]
    told = f"successes: {_directions(shares)}" if shares else ""
    because = f"another {', '.join(elsewhere)}"
    return Check(
        what,
        f"the edits made again ({because}: few may differ)",
        differs,
        "; ".join(part for part in (note, told) if part),
    )


def _beyond(pairs: Sequence[_Pair]) -> Iterator[str]:
    """Yield what is too much of a metric, and then each value that is another."""
    apart = [pair for pair in pairs if not _near(pair)]
    if len(apart) <= 1:
        return
    name = pairs[0].name
    known = [(each.then, each.now) for each in pairs]
    both = [(then, now) for then, now in known if then is not None and now is not None]
    then, now = (fmean(side) for side in zip(*both, strict=True)) if both else (0.0, 0.0)
    if len(apart) > FEW * len(pairs):
        yield f"{name}: {len(apart)} of {len(pairs)} differ, over {FEW:.0%}: {_directions(apart)}"
    elif _distance(then, now) > SHIFT:
        yield f"{name}: the mean is {then:.4g}, and came out as {now:.4g}: {_directions(apart)}"
    else:
        return
    yield from map(_told, apart)


def _directions(pairs: Sequence[_Pair]) -> str:
    """Say on which side the values that differ are higher; one that is not there is lowest."""
    low = -math.inf
    sides = [
        (low if pair.then is None else pair.then, low if pair.now is None else pair.now)
        for pair in pairs
    ]
    more = sum(then > now for then, now in sides)
    return f"{more} higher in the entry than came out, {len(sides) - more} lower"


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
    return _distance(pair.then, pair.now) <= NEAR


def _distance(then: float, now: float) -> float:
    # Rounded: three of a hundred are as many as the limit says.
    return round(abs(then - now) / max(1.0, abs(then)), 9)


def _told(pair: _Pair) -> str:
    where = f"series.immediate.{pair.name}, edit {pair.edit}"
    return f"{where}: is {pair.then}, and came out as {pair.now}"
