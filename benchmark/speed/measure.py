"""Timing two ways of doing the same: interleaved, in one process, with a check that they agree."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import torch
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Goal:
    """What a row has to reach."""

    bound: float
    at_least: bool = True
    """Whether the bound is the least or the most."""

    def met(self, value: float) -> bool:
        """Return whether a measured value reaches it."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of the benchmark."""

    name: str
    what: str
    against: str
    goal: Goal
    ratios: list[float]
    """One a repetition; which way they are taken, `what` and `against` say."""
    plain: list[float]
    """Seconds of the plain way in each repetition (or another quantity, in `unit`)."""
    ours: list[float]
    unit: str = "s"
    difference: float | None = None
    """Largest difference between what both ways gave, in the measure that `check` names."""
    check: str = ""
    agrees: bool = True
    """Whether that difference is small enough."""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    @property
    def passed(self) -> bool:
        """Whether the goal is met and both ways agree."""
        return self.agrees and self.goal.met(self.ratio)

    def to_json(self) -> dict[str, Any]:
        """Return all of it, with medians."""
        numbers = {"ratio": self.ratio, "goal": str(self.goal), "passed": self.passed}
        return {**asdict(self), **numbers}


def timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Return seconds and result of a call, with the GPU's work done at both ends."""
    _wait()
    start = time.perf_counter()
    result = work(*arguments)
    _wait()
    return time.perf_counter() - start, result


def interleaved(
    plain: Callable[[int], Any], ours: Callable[[int], Any], repeats: int
) -> Iterator[tuple[float, Any, float, Any]]:
    """Do the same work both ways, in turns; which goes first changes.

    Args:
        plain: The plain way, given the number of the repetition.
        ours: Ours.
        repeats: How often, after one round of each that does not count.

    Yields:
        Seconds and result of the plain way, seconds and result of ours.
    """
    plain(0)
    ours(0)
    for number in range(repeats):
        gc.collect()
        if number % 2:
            slow, fast = timed(plain, number), timed(ours, number)
        else:
            fast, slow = timed(ours, number), timed(plain, number)
        yield (*slow, *fast)


class Comparison:
    """Both ways in turns, with what they gave.

    Args:
        plain: The plain way, given the number of the repetition.
        ours: Ours.
        repeats: How often.
        share: Share of the work that a call of the plain way does; its seconds are scaled up.
        difference: Largest difference between two results, given the number of the repetition.
    """

    def __init__(
        self,
        plain: Callable[[int], Any],
        ours: Callable[[int], Any],
        repeats: int,
        *,
        share: Callable[[int], float] = lambda _: 1.0,
        difference: Callable[[int, Any, Any], float] | None = None,
    ) -> None:
        self.plain: list[float] = []
        """Seconds of the plain way, for all of the work."""
        self.ours: list[float] = []
        """Seconds of ours."""
        self.differences: list[float] = []
        for number, (slow, expected, fast, found) in enumerate(interleaved(plain, ours, repeats)):
            self.plain.append(slow / share(number))
            self.ours.append(fast)
            if difference is not None:
                self.differences.append(difference(number, expected, found))

    def row(
        self,
        name: str,
        what: str,
        against: str,
        goal: Goal,
        *,
        check: str,
        tolerance: float,
        details: dict[str, Any] | None = None,
    ) -> Measurement:
        """Return the row: how many times as long the plain way takes.

        Args:
            name: Its name.
            what: What is done.
            against: What the plain way is.
            goal: What it has to reach.
            check: What the differences are differences of.
            tolerance: The largest that counts as none.
            details: What else belongs on record.
        """
        worst = max(self.differences)
        return Measurement(
            name,
            what,
            against,
            goal,
            [slow / fast for slow, fast in zip(self.plain, self.ours, strict=True)],
            self.plain,
            self.ours,
            difference=worst,
            check=check,
            agrees=worst <= tolerance,
            details=details or {},
        )


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def table_of(measurements: Sequence[Measurement]) -> Table:
    """Return the rows as a table."""
    table = Table("what", "against", "plain", "ours", "ratio", "spread", "goal", "agrees within")
    for row in measurements:
        agrees = f"{row.difference:.1e} {row.check}" if row.difference is not None else ""
        table.add_row(
            row.what,
            row.against,
            _number(median(row.plain), row.unit),
            _number(median(row.ours), row.unit),
            Text(f"{row.ratio:.3g}", style="green" if row.passed else "red"),
            f"{min(row.ratios):.3g} to {max(row.ratios):.3g}",
            str(row.goal),
            Text(agrees, style="" if row.agrees else "red"),
        )
    return table


def _number(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:.4g} {unit}"
    return f"{value:.3g} s" if value >= 0.1 else f"{1000 * value:.3g} ms"
