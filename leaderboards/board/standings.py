"""Which row is better, and whether that could be chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from ..analysis.records import Estimate
from ..comparable import protocol_key
from ..results import Result
from .filed import Filed
from .measures import BY_KEY, MEASURES, Measure
from .protocol import asked, model_name, protocol_parts
from .rows import SURVIVED, Row, rows_of

NAMES = {"editor": "editor", "edits": "edits", "samples": "samples", SURVIVED: "edits to collapse"}
SORTS = (*BY_KEY, *NAMES)
"""What rows can be ordered by."""


class Ranked(NamedTuple):
    """A row and its place."""

    rank: int
    tied: bool
    """Whether others have the same rank."""
    row: Row

    @property
    def text(self) -> str:
        """The rank, marked where it is shared."""
        return f"{self.rank}=" if self.tied else f"{self.rank}"


@dataclass(frozen=True)
class Standing:
    """The rows of one protocol, best first."""

    model: str
    ranked: list[Ranked]

    @property
    def first(self) -> Result:
        """A result to read from how all were measured."""
        return self.ranked[0].row.first.result

    @property
    def suite(self) -> str:
        """Name and version of the suite."""
        return self.first.suite.versioned

    @property
    def asked(self) -> str:
        """What is done, in a few words."""
        return asked(self.first)

    @property
    def title(self) -> str:
        """Suite and model."""
        return f"{self.model}, {self.suite}"

    @cached_property
    def parts(self) -> dict[str, str]:
        """What all rows have in common, in words."""
        return {"model": self.model, **protocol_parts(self.first)}


def clearly_better(a: Row, b: Row, measure: Measure) -> bool:
    """Return whether a row is ahead of another by more than chance; without intervals: at all.

    Rows that have nothing in common are as far apart as their intervals.
    """
    ours, theirs = a.numbers[measure.key], b.numbers[measure.key]
    if ours.value is None or theirs.value is None:
        return ours.value is not None
    found = a.difference(b, measure)
    if found.value is not None:
        low, high = _bounds(found)
    else:
        (our_low, our_high), (their_low, their_high) = _bounds(ours), _bounds(theirs)
        low, high = our_low - their_high, our_high - their_low
    return low > 0 if measure.more_is_better else high < 0


def _bounds(found: Estimate) -> tuple[float, float]:
    """Return an interval; of what has none, the value twice."""
    assert found.value is not None
    low = found.value if found.low is None else found.low
    return low, found.value if found.high is None else found.high


def sort_key(name: str) -> Callable[[Row], tuple[bool, float, str]]:
    """Return what orders rows, the best first and those without a value last."""

    def key(row: Row) -> tuple[bool, float, str]:
        value = sort_value(row, name)
        best_first = name not in NAMES or name == SURVIVED
        sign = -1 if best_first and (name not in BY_KEY or BY_KEY[name].more_is_better) else 1
        return value is None, sign * (value or 0.0), row.label

    return key


def sort_value(row: Row, name: str) -> float | None:
    """Return a row's number of a column; names have none."""
    if name in BY_KEY:
        return row.numbers[name].value
    others: dict[str, float | None] = {
        SURVIVED: row.survived_value,
        "samples": len(row.group.samples),
        "edits": min(each.edits for each in row.group.members),
    }
    return others.get(name)


def rank(rows: Sequence[Row], measure: Measure) -> list[Ranked]:
    """Rank rows: a rank is one more than the rows that are better by more than chance.

    A row with a wide interval, which touches those far above, is no higher than the row before.
    """
    ordered = sorted(rows, key=sort_key(measure.key))
    better = (sum(clearly_better(other, row, measure) for other in ordered) for row in ordered)
    ranks = [1 + most for most in accumulate(better, max)]
    return [
        Ranked(place, ranks.count(place) > 1, row)
        for place, row in zip(ranks, ordered, strict=True)
    ]


def standings(filed: Sequence[Filed], sort: str = "s") -> list[Standing]:
    """Group entries by protocol and rank the rows of each.

    Args:
        filed: All entries.
        sort: One of `SORTS`: a measure's rows are ranked by it; other columns only order them, and
            the rank is that of S.
    """
    groups: dict[str, list[Filed]] = {}
    for each in filed:
        groups.setdefault(protocol_key(each.entry.result), []).append(each)
    made = []
    for _, group in sorted(groups.items()):
        names = sorted({model_name(each.entry.result) for each in group})
        ranked = rank(rows_of(group), BY_KEY.get(sort, MEASURES[0]))
        if sort not in BY_KEY:
            ranked.sort(key=lambda each: sort_key(sort)(each.row))
        made.append(Standing(", ".join(names), ranked))
    return sorted(made, key=lambda each: (each.suite, each.model))
