"""Which row is better, by how much, and whether that could be chance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from ..analysis.intervals import mean_of_runs
from ..analysis.records import Estimate
from .filed import Filed
from .measures import BY_KEY, MEASURES, Measure, interval
from .protocol import Protocol, model_name, protocol_of
from .rows import Row, rows_of

SURVIVED = "collapse"
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

    protocol: Protocol
    model: str
    ranked: list[Ranked]

    @property
    def title(self) -> str:
        """Suite and model."""
        return f"{self.model}, {self.protocol.suite_name}"

    @cached_property
    def parts(self) -> dict[str, str]:
        """What all rows have in common, in words."""
        return {"model": self.model, **self.protocol.parts()}


def difference(a: Row, b: Row, measure: Measure) -> Estimate:
    """Return by how much one row's value is above another's, with a 95 % interval if there is one.

    Of what is made of single edits by paired bootstrap where the edits are the same; of what has
    one value a run by Student's interval, where both have the same samples, two at least.
    """
    left, right = a.numbers[measure.key].value, b.numbers[measure.key].value
    if left is None or right is None:
        return Estimate(value=None)
    if measure.of_edits is not None:
        low, high = interval(a.draws(measure) - b.draws(measure))
        return Estimate(value=left - right, low=low, high=high, count=a.numbers[measure.key].count)
    values = [{_sample(run): measure.one_run(run.entry) for run in row.runs} for row in (a, b)]
    pairs = [
        first - second
        for sample, first in values[0].items()
        if first is not None and (second := values[1].get(sample)) is not None
    ]
    # Runs that the other row lacks are in its mean: then the pairs' mean is no interval of it.
    if len(pairs) == len(a.runs) == len(b.runs):
        return mean_of_runs(pairs)
    return Estimate(value=left - right)


def _sample(run: Filed) -> tuple[int, int]:
    return run.entry.result.data.sample, run.entry.result.seed


def clearly_better(a: Row, b: Row, measure: Measure) -> bool:
    """Return whether a row is ahead of another by more than chance; without intervals: at all."""
    found = difference(a, b, measure)
    if found.value is None:
        return a.numbers[measure.key].value is not None
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    return low > 0 if measure.more_is_better else high < 0


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
    others: dict[str, float] = {
        SURVIVED: row.survived_value,
        "samples": len(row.runs),
        "edits": min(entry.result.ending.edits_done for entry in row.entries),
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
    groups: dict[Protocol, list[Filed]] = {}
    for each in filed:
        groups.setdefault(protocol_of(each.entry.result), []).append(each)
    made = []
    for protocol, group in groups.items():
        names = sorted({model_name(each.entry.result) for each in group})
        ranked = rank(rows_of(protocol, group), BY_KEY.get(sort, MEASURES[0]))
        if sort not in BY_KEY:
            ranked.sort(key=lambda each: sort_key(sort)(each.row))
        made.append(Standing(protocol, ", ".join(names), ranked))
    return sorted(made, key=lambda each: (each.protocol.suite_name, each.model, each.protocol))
