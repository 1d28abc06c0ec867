"""Editors side by side: numbers, intervals, differences, and which of them mean something."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from ..analysis.records import Estimate
from ..comparable import ensure_comparable
from ..curves import harmonic_mean
from ..results import Result
from ..sparkline import binned
from .estimates import Estimates
from .metrics import Metric
from .resampling import DRAWS
from .rows import Group, Member, group_runs, split_repeats
from .sources import Run, sorted_runs, without_edits
from .values import course, edits_at, of_edits

STRETCHES = 10
"""Points of a small curve."""

Mark = Literal["best", "tied", ""]


@dataclass(frozen=True, slots=True)
class Cell:
    """A metric of a row."""

    number: Estimate
    """Mean over samples; `count` is of facts where single edits are known, else of samples."""
    to_best: Estimate | None
    """What this row has more than the best one; None of the best row itself."""
    to_control: Estimate | None
    """What this row has more than the row of the editor `none`."""
    mark: Mark
    """`tied`: the interval of the difference to the best covers zero."""
    open_ended: bool = False
    """Whether a run ended before what is counted happened."""


@dataclass(frozen=True, slots=True)
class Row:
    """An editor with one set of hyper-parameters."""

    group: Group
    cells: list[Cell]
    """One a metric."""
    curve: list[float | None]
    """The metric of the curves, averaged over equal stretches of the edits."""

    @property
    def done(self) -> int:
        """Edits that the numbers are of, at least."""
        return min(member.edits for member in self.group.members)


@dataclass(frozen=True, slots=True)
class Comparison:
    """All that a table, in whatever format, shows."""

    first: Result
    """A result to read suite, model and data from: they are the same in all."""
    rows: list[Row]
    metrics: list[Metric]
    curve: Metric
    """What the small curves are of."""
    edits: int
    """Edits that the numbers are of."""
    asked: int | None
    """Edits that were asked for, where that is the same in all runs."""
    draws: int
    seed: int
    notes: list[str]
    """What one must know to read the numbers, a line each."""

    @property
    def control(self) -> Row | None:
        """The row of the editor `none`."""
        return next((row for row in self.rows if row.group.is_control), None)


def compare(
    runs: Sequence[Run],
    metrics: Sequence[Metric],
    curve: Metric,
    *,
    at: int | None = None,
    sort: Metric | None = None,
    reverse: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare runs.

    Args:
        runs: At least one.
        metrics: What to compare, at least one.
        curve: What the small curves show.
        at: Look at the first so many edits only.
        sort: By what to order the rows, the best first; without, by the first metric of S's kind
            or the first that has a best.
        reverse: The worst first.
        draws: Of the bootstrap.
        seed: Of the draws.

    Raises:
        ResultError: the runs cannot share a table, or not at that edit.
    """
    runs = sorted_runs(runs)
    results, names = [run.result for run in runs], [run.name for run in runs]
    ensure_comparable(results, names, protocol=True, edits=at is None)
    members = [Member(run, edits_at(run, at)) for run in runs]
    groups, notes = split_repeats(group_runs(members))
    by = sort or _order(metrics)
    needed = {metric.name: metric for metric in (*metrics, *([by] if by else ()))}
    known = Estimates(groups, needed.values(), draws=draws, seed=seed)
    groups = _sorted(groups, by, known, reverse)
    columns = [_column(groups, metric, known) for metric in metrics]
    rows = [
        Row(group, [column[place] for column in columns], _curve(group, curve))
        for place, group in enumerate(groups)
    ]
    notes += [*_other_code(groups), *without_edits(runs), *_ended_early(members, at)]
    if at is not None:
        notes += _unknown_at(at, rows, metrics, members)
    asked = {result.protocol.num_edits for result in results}
    return Comparison(
        results[0],
        rows,
        list(metrics),
        curve,
        max(member.edits for member in members) if at is None else at,
        asked.pop() if len(asked) == 1 else None,
        draws,
        seed,
        notes,
    )


def _other_code(groups: Sequence[Group]) -> Iterator[str]:
    """Yield the rows whose runs were not all made by the same code of the editor."""
    for group in groups:
        if len({each.run.result.editor.code_sha256 for each in group.members}) > 1:
            yield f"{group.label}: the editor's code is not the same in all of its runs"


def _order(metrics: Sequence[Metric]) -> Metric | None:
    named = [metric for metric in metrics if metric.name == "s"]
    return next(iter(named + [metric for metric in metrics if metric.better]), None)


def _sorted(
    groups: Sequence[Group], by: Metric | None, known: Estimates, reverse: bool
) -> list[Group]:
    """Order rows by a metric, the best first (or the worst), those without it last."""
    if by is None:
        return list(groups)
    values = {id(group): known.number(group, by).value for group in groups}
    sign = (by.better or 1) * (1 if reverse else -1)

    def key(group: Group) -> tuple[bool, float, str]:
        value = values[id(group)]
        return value is None, 0.0 if value is None else sign * value, group.label

    return sorted(groups, key=key)


def _column(groups: Sequence[Group], metric: Metric, known: Estimates) -> list[Cell]:
    """Return a metric of all rows, with differences and marks."""
    numbers = [known.number(group, metric) for group in groups]
    control = [group for group in groups if group.is_control]
    best = _best(groups, numbers, metric)
    cells = []
    for group, number in zip(groups, numbers, strict=True):
        to_best = to_control = None
        if number.value is not None and best is not None and group is not best:
            to_best = known.difference(group, best, metric)
        # Of two rows of `none` neither is the one to compare with.
        if number.value is not None and len(control) == 1 and not group.is_control:
            to_control = known.difference(group, control[0], metric)
        mark: Mark = "best" if group is best else "tied" if _tied(group, to_best) else ""
        ended = metric.shape == "collapse" and known.open_ended(group)
        cells.append(Cell(number, to_best, to_control, mark, ended))
    return cells


def _best(groups: Sequence[Group], numbers: Sequence[Estimate], metric: Metric) -> Group | None:
    """Return the row with the best value of several; the control takes no part.

    A model that nobody edits has the best neighbors, the lowest costs, and nothing to show.
    """
    rivals = [
        (metric.better * number.value, group)
        for group, number in zip(groups, numbers, strict=True)
        if number.value is not None and not group.is_control
    ]
    if len(rivals) < 2 or not metric.better:
        return None
    highest = max(value for value, _ in rivals)
    return min((group for value, group in rivals if value == highest), key=lambda it: it.label)


def _tied(group: Group, to_best: Estimate | None) -> bool:
    if group.is_control or to_best is None or to_best.value is None:
        return False
    if to_best.low is None or to_best.high is None:
        return to_best.value == 0
    return to_best.low <= 0 <= to_best.high


def _curve(group: Group, metric: Metric) -> list[float | None]:
    """Return the course of a metric, averaged over a row's runs."""
    curves = [_course(member, metric) for member in group.members]
    length = max(map(len, curves))
    same = [curve for curve in curves if len(curve) == length]
    means: list[float | None] = []
    for values in zip(*same, strict=True):
        known = [value for value in values if value is not None]
        means.append(fmean(known) if known else None)
    return means


def _course(member: Member, metric: Metric) -> list[float | None]:
    edits = member.edits
    if metric.kind != "score":
        return binned(course(member.run, metric), edits, STRETCHES)
    parts = [binned(of_edits(member.run, name), edits, STRETCHES) for name in metric.key]
    found: list[float | None] = []
    for values in zip(*parts, strict=False):
        known = [value for value in values if value is not None]
        found.append(harmonic_mean(known) if len(known) == len(values) else None)
    return found


def _ended_early(members: Sequence[Member], at: int | None) -> list[str]:
    """Say which runs are not as long as they should be."""
    found = []
    for member in members:
        wanted = at or member.run.result.protocol.num_edits
        if member.edits < wanted:
            found.append(
                f"{member.run.name} ended after {member.edits} of {wanted} edits: its numbers are "
                "of those, differences are over the facts in common"
            )
    return found


def _unknown_at(
    at: int, rows: Sequence[Row], metrics: Sequence[Metric], members: Sequence[Member]
) -> list[str]:
    """Say what cannot be said about the first edits of longer runs."""
    if all(member.edits == member.run.result.ending.edits_done for member in members):
        return []
    lost = [
        metric.heading
        for place, metric in enumerate(metrics)
        if all(row.cells[place].number.value is None for row in rows)
    ]
    return [f"not known after {at} edits: {', '.join(lost)}"] if lost else []


def scale(comparison: Comparison) -> tuple[float, float]:
    """Return what the small curves go from and to: the same in all rows."""
    if comparison.curve.shape == "share":
        return 0.0, 1.0
    values = [
        value
        for row in comparison.rows
        for value in row.curve
        if value is not None and math.isfinite(value)
    ]
    return (min(values), max(values)) if values else (0.0, 0.0)
