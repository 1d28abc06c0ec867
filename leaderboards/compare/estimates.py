"""Numbers of rows and differences between rows, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean

import numpy as np

from ..analysis.intervals import mean_of_runs, share
from ..analysis.records import Estimate
from .metrics import Metric
from .resampling import (
    DRAWS,
    Floats,
    Part,
    Statistic,
    difference,
    interval,
    mean_of_draws,
    part_of,
    resample,
)
from .rows import Group, Member
from .values import asked_again_at, run_value, statistic, survived

_SIGNED = ("mcc", "em", "pm", "nm", "downstream_kept")
"""Shares that can be negative, or above 1."""


class Estimates:
    """Everything that is known of some rows and metrics; each draw is made once.

    Args:
        groups: The rows.
        metrics: What shall be known.
        draws: Of the bootstrap.
        seed: Of the draws.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        metrics: Iterable[Metric],
        *,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> None:
        self._statistics: dict[tuple[int, str], Statistic] = {}
        self._parts: dict[tuple[int, int], Part] = {}
        self._draws: dict[tuple[int, int, str], Floats] = {}
        members = [member for group in groups for member in group.members]
        wanted: dict[Part, dict[str, Statistic]] = {}
        places: dict[Part, dict[str, tuple[int, int, str]]] = {}
        for metric in metrics:
            found = {}
            for member in members:
                known = statistic(member.run, metric, member.edits)
                if known is not None and len(known.parts):
                    found[id(member)] = known
                    self._statistics[id(member), metric.name] = known
            for member, edits in self._lengths(members, found):
                part, name = self._part(member, edits), f"{id(member)} {metric.name}"
                wanted.setdefault(part, {})[name] = found[id(member)].head(edits)
                places.setdefault(part, {})[name] = (id(member), edits, metric.name)
        for part, statistics in wanted.items():
            for name, drawn in resample(part, statistics, draws=draws, seed=seed).items():
                self._draws[places[part][name]] = drawn

    def _lengths(
        self, members: Sequence[Member], found: dict[int, Statistic]
    ) -> Iterable[tuple[Member, int]]:
        """Yield each run with its own number of edits, and with those of shorter runs."""
        for member in members:
            if id(member) not in found:
                continue
            own = len(found[id(member)].parts)
            others = {
                len(found[id(other)].parts)
                for other in members
                if id(other) in found and other.sample == member.sample
            }
            for edits in sorted({own, *(each for each in others if each < own)}):
                yield member, edits

    def _part(self, member: Member, edits: int) -> Part:
        key = id(member), edits
        if key not in self._parts:
            assert member.run.series is not None
            self._parts[key] = part_of(member.run.series.case_ids[:edits])
        return self._parts[key]

    def number(self, group: Group, metric: Metric) -> Estimate:
        """Return a metric of a row: mean over its samples, with an interval where there is one."""
        if all((id(member), metric.name) in self._statistics for member in group.members):
            return self._of_edits(group, metric)
        values = [
            fmean(known)
            for sample in _replicates(group)
            if (known := _known(run_value(each.run, metric, each.edits) for each in sample))
        ]
        found = mean_of_runs(values)
        if metric.shape == "collapse" and self.open_ended(group):
            found = found.model_copy(update={"low": None, "high": None})
        return _bounded(found, metric)

    def of_run(self, member: Member, metric: Metric) -> float | None:
        """Return a metric of a single run."""
        known = self._statistics.get((id(member), metric.name))
        return known.value if known else run_value(member.run, metric, member.edits)

    def open_ended(self, group: Group) -> bool:
        """Return whether some run of a row ended, or was cut, before it collapsed."""
        found = (survived(each.run, each.edits) for each in group.members)
        return any(each is not None and not each.collapsed for each in found)

    def _of_edits(self, group: Group, metric: Metric) -> Estimate:
        values, draws, parts = [], [], []
        for sample in group.by_sample():
            statistics = [self._statistics[id(each), metric.name] for each in sample]
            known = _known(each.value for each in statistics)
            if not known:
                continue
            values.append(fmean(known))
            draws.append(
                mean_of_draws(
                    [
                        self._draws[id(each), len(one.parts), metric.name]
                        for each, one in zip(sample, statistics, strict=True)
                    ]
                )
            )
            parts += [each.parts for each in statistics]
        if not values:
            return Estimate(value=None)
        all_parts = np.vstack(parts)
        count = int(all_parts[:, 1].sum())
        low, high = interval(mean_of_draws(draws))
        if low == high and (outright := _all_alike(all_parts)) is not None:
            certain = share(outright, count)
            low, high = certain.low, certain.high
        return Estimate(value=fmean(values), low=low, high=high, count=count)

    def difference(self, ours: Group, theirs: Group, metric: Metric) -> Estimate:
        """Return what the first row has more than the second, over what both have in common.

        `count` is the number of pairs: of facts where single edits are known, else of samples.
        """
        if ours is theirs:
            return Estimate(value=None)
        if all(
            (id(member), metric.name) in self._statistics
            for member in (*ours.members, *theirs.members)
        ):
            return self._over_facts(ours, theirs, metric)
        return self._over_runs(ours, theirs, metric)

    def _over_facts(self, ours: Group, theirs: Group, metric: Metric) -> Estimate:
        values, draws, count = [], [], 0
        for part, our_members, their_members in self._shared(ours, theirs, metric):
            one, other = (
                _known(
                    self._statistics[id(each), metric.name].head(part.edits).value for each in side
                )
                for side in (our_members, their_members)
            )
            if not one or not other:
                continue
            values.append(fmean(one) - fmean(other))
            drawn = [
                mean_of_draws([self._draws[id(each), part.edits, metric.name] for each in side])
                for side in (our_members, their_members)
            ]
            draws.append(difference(*drawn))
            count += part.edits
        if not values:
            return Estimate(value=None)
        low, high = interval(mean_of_draws(draws))
        # Rounded like the draws: what is equal but for rounding errors is equal.
        return Estimate(value=round(fmean(values), 12), low=low, high=high, count=count)

    def _shared(
        self, ours: Group, theirs: Group, metric: Metric
    ) -> Iterable[tuple[Part, list[Member], list[Member]]]:
        """Yield the facts that two rows have edited in the same order, and the runs that did."""
        found: dict[Part, tuple[dict[int, Member], dict[int, Member]]] = {}
        for one in ours.members:
            for other in theirs.members:
                if one.sample != other.sample:
                    continue
                edits = min(
                    len(self._statistics[id(each), metric.name].parts) for each in (one, other)
                )
                again = {asked_again_at(each.run, metric) for each in (one, other)}
                part = self._part(one, edits)
                if part == self._part(other, edits) and len(again) == 1:
                    sides = found.setdefault(part, ({}, {}))
                    sides[0][id(one)], sides[1][id(other)] = one, other
        for part in sorted(found):
            left, right = found[part]
            yield part, list(left.values()), list(right.values())

    def _over_runs(self, ours: Group, theirs: Group, metric: Metric) -> Estimate:
        differences = []
        for one, other in _matched(ours, theirs):
            left, right = (
                _known(run_value(each.run, metric, each.edits) for each in side)
                for side in (one, other)
            )
            if left and right:
                differences.append(round(fmean(left) - fmean(right), 12))
        found = mean_of_runs(differences)
        if metric.shape == "collapse" and (self.open_ended(ours) or self.open_ended(theirs)):
            return found.model_copy(update={"low": None, "high": None})
        return found


def _replicates(group: Group) -> list[list[Member]]:
    """Return what Student's interval is over: samples, or the seeds of a single one."""
    samples = group.by_sample()
    if len(samples) > 1:
        return samples
    seeds = sorted({member.run.result.seed for member in samples[0]})
    return [_of_seed(samples[0], seed) for seed in seeds]


def _matched(ours: Group, theirs: Group) -> list[tuple[list[Member], list[Member]]]:
    """Return the runs of two rows sample by sample; of a single one seed by seed."""
    left = {side[0].sample: side for side in ours.by_sample()}
    right = {side[0].sample: side for side in theirs.by_sample()}
    shared = sorted(left.keys() & right.keys())
    if len(shared) != 1:
        return [(left[at], right[at]) for at in shared]
    one, other = left[shared[0]], right[shared[0]]
    both = sorted({each.run.result.seed for each in one} & {each.run.result.seed for each in other})
    if len(both) < 2:
        return [(one, other)]
    return [(_of_seed(one, seed), _of_seed(other, seed)) for seed in both]


def _of_seed(members: Sequence[Member], seed: int) -> list[Member]:
    return [each for each in members if each.run.result.seed == seed]


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _all_alike(parts: Floats) -> int | None:
    """Return the successes where all trials succeeded or none; None for anything else.

    Resampling equal values says that there is no doubt; Wilson's interval knows better.
    """
    if parts.shape[1] != 2 or not np.isin(parts, (0.0, 1.0)).all():
        return None
    successes, trials = parts.sum(axis=0)
    return int(successes) if successes in (0.0, trials) else None


def _bounded(found: Estimate, metric: Metric) -> Estimate:
    """Keep Student's interval of a share in [0, 1], of seconds and sizes above 0."""
    signed = any(metric.name.split(".")[-1].removeprefix("retained_") == name for name in _SIGNED)
    if found.low is None or found.high is None:
        return found
    if found.low == found.high:
        # Two samples with the same value do not say that all have it.
        return found.model_copy(update={"low": None, "high": None})
    if signed:
        return found
    high = min(1.0, found.high) if metric.shape == "share" else found.high
    positive = metric.shape != "number" or metric.name in ("moved", "failed")
    low = max(0.0, found.low) if positive else found.low
    return found.model_copy(update={"low": low, "high": high if math.isfinite(high) else None})
