"""Numbers of rows and differences between rows, with 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import chain, compress
from statistics import fmean

import numpy as np

from ..analysis.intervals import mean_of_runs, share
from ..analysis.records import Estimate
from .metrics import Metric
from .resampling import (
    DRAWS,
    Facts,
    Floats,
    Statistic,
    difference,
    interval,
    mean_of_draws,
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
        self._streams: dict[tuple[int, int], Facts] = {}
        members = [member for group in groups for member in group.members]
        wanted: dict[Facts, dict[tuple[int, int, str], Statistic]] = {}
        for metric in metrics:
            found = {}
            for member in members:
                known = statistic(member.run, metric, member.edits)
                if known is not None and len(known.parts):
                    found[id(member)] = known
                    self._statistics[id(member), metric.name] = known
            for member, edits in self._lengths(members, found):
                of_stream = wanted.setdefault(self._stream(member, edits), {})
                of_stream[id(member), edits, metric.name] = found[id(member)].head(edits)
        # Sorted, and of all that was edited: no number depends on the order of runs, or on which
        # other metrics are asked for.
        streams = {
            self._stream(each, each.edits) for each in members if each.run.series is not None
        }
        facts = list(dict.fromkeys(chain.from_iterable(sorted(streams))))
        self._draws = resample(wanted, facts=facts, draws=draws, seed=seed)

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

    def _stream(self, member: Member, edits: int) -> Facts:
        key = id(member), edits
        if key not in self._streams:
            assert member.run.series is not None
            self._streams[key] = tuple(member.run.series.case_ids[:edits])
        return self._streams[key]

    def number(self, group: Group, metric: Metric) -> Estimate:
        """Return a metric of a row: mean over its samples, with an interval where there is one.

        `count` is of facts where single edits are known, each once however many samples and seeds
        it comes in; else of samples.
        """
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
        facts: set[int] = set()
        for sample in group.by_sample():
            statistics = [self._statistics[id(each), metric.name] for each in sample]
            known = _known(each.value for each in statistics)
            if not known:
                continue
            values.append(fmean(known))
            drawn = []
            for member, each in zip(sample, statistics, strict=True):
                edits = len(each.parts)
                drawn.append(self._draws[id(member), edits, metric.name])
                asked = each.parts[:, 1] > 0
                facts.update(compress(self._stream(member, edits), asked))
                parts.append(each.parts)
            draws.append(mean_of_draws(drawn))
        if not values:
            return Estimate(value=None)
        low, high = interval(mean_of_draws(draws))
        if low == high and (succeed := _all_alike(np.vstack(parts))) is not None:
            certain = share(len(facts) if succeed else 0, len(facts))
            low, high = certain.low, certain.high
        return Estimate(value=fmean(values), low=low, high=high, count=len(facts))

    def difference(self, ours: Group, theirs: Group, metric: Metric) -> Estimate:
        """Return what the first row has more than the second, over what both have in common.

        `count` is the number of pairs: of facts where single edits are known, each once, else of
        samples.
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
        values, draws = [], []
        facts: set[int] = set()
        for stream, our_members, their_members in self._shared(ours, theirs, metric):
            one, other = (
                _known(
                    self._statistics[id(each), metric.name].head(len(stream)).value for each in side
                )
                for side in (our_members, their_members)
            )
            if not one or not other:
                continue
            values.append(fmean(one) - fmean(other))
            drawn = [
                mean_of_draws([self._draws[id(each), len(stream), metric.name] for each in side])
                for side in (our_members, their_members)
            ]
            draws.append(difference(*drawn))
            facts.update(stream)
        if not values:
            return Estimate(value=None)
        low, high = interval(mean_of_draws(draws))
        # Rounded like the draws: what is equal but for rounding errors is equal.
        return Estimate(value=round(fmean(values), 12), low=low, high=high, count=len(facts))

    def _shared(
        self, ours: Group, theirs: Group, metric: Metric
    ) -> Iterable[tuple[Facts, list[Member], list[Member]]]:
        """Yield the facts that two rows have edited in the same order, and the runs that did."""
        found: dict[Facts, tuple[dict[int, Member], dict[int, Member]]] = {}
        for one in ours.members:
            for other in theirs.members:
                if one.sample != other.sample:
                    continue
                edits = min(
                    len(self._statistics[id(each), metric.name].parts) for each in (one, other)
                )
                again = {asked_again_at(each.run, metric) for each in (one, other)}
                stream = self._stream(one, edits)
                if stream == self._stream(other, edits) and len(again) == 1:
                    sides = found.setdefault(stream, ({}, {}))
                    sides[0][id(one)], sides[1][id(other)] = one, other
        for stream in sorted(found):
            left, right = found[stream]
            yield stream, list(left.values()), list(right.values())

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


def _all_alike(parts: Floats) -> bool | None:
    """Return whether all trials succeeded, or none did; None for anything else.

    Resampling equal values says that there is no doubt; Wilson's interval knows better.
    """
    if parts.shape[1] != 2 or not np.isin(parts, (0.0, 1.0)).all():
        return None
    successes, trials = parts.sum(axis=0)
    return bool(successes) if successes in (0.0, trials) else None


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
