"""The bootstrap over facts: each draw of them serves every editor, sample and metric.

A fact has the same weight in all runs that edited it. So a difference of two editors is a paired
one: what makes a fact hard is hard for both and cancels. And a fact that several samples have in
common is drawn once for all of them: asked again it is no other fact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Facts = tuple[int, ...]
"""The facts of some edits, in their order."""
_Key = TypeVar("_Key", bound=Hashable)

_CHUNK = 1_000_000
"""Weights made at a time, to bound the memory."""
DRAWS = 2000
LEVEL = (0.025, 0.975)
_NOISE = 12
"""Decimals beyond which a difference is rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistic:
    """A number of a run as the harmonic mean of ratios of sums over its edits.

    A mean is one ratio (the sum of the values there are, by their number); what is kept is one
    (learned and still there, by learned); S has three.
    """

    parts: Floats
    """(edits, 2 x ratios): numerator and denominator of each ratio in turn."""

    def head(self, edits: int) -> Statistic:
        """Return the same of the first edits only."""
        return Statistic(self.parts[:edits])

    @property
    def value(self) -> float | None:
        """What it is; None where a denominator is zero."""
        found = float(combine(self.parts.sum(axis=0)))
        return None if np.isnan(found) else found


def mean_statistic(values: Sequence[float | None]) -> Statistic:
    """Return the mean over the edits that have a value."""
    there = np.array([value is not None for value in values], dtype=np.float64)
    numbers = np.array([value or 0.0 for value in values], dtype=np.float64)
    return Statistic(np.stack([numbers, there], axis=1))


def harmonic_statistic(metrics: Iterable[Sequence[float | None]]) -> Statistic:
    """Return the harmonic mean of several means, 0 if any is 0: the score S."""
    return Statistic(np.hstack([mean_statistic(values).parts for values in metrics]))


def kept_statistic(at_edit: Sequence[float | None], now: Sequence[float | None]) -> Statistic:
    """Return the share of immediate successes that still succeed, over edits asked again."""
    learned = np.array([bool(value) for value in at_edit[: len(now)]], dtype=np.float64)
    works = np.array([bool(value) for value in now], dtype=np.float64)
    return Statistic(np.stack([learned * works, learned], axis=1))


def combine(sums: Floats) -> Floats:
    """Return the statistic from sums over edits: (..., 2 x ratios) to (...); NaN for 0 / 0."""
    top, bottom = sums[..., 0::2], sums[..., 1::2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = top / bottom
        if ratios.shape[-1] == 1:
            return ratios[..., 0]
        harmonic = ratios.shape[-1] / (1 / ratios).sum(axis=-1)
    unknown = np.isnan(ratios).any(axis=-1)
    return np.where(unknown, np.nan, np.where((ratios <= 0).any(axis=-1), 0.0, harmonic))


def weights(facts: Sequence[int], draws: int, seed: int) -> Iterable[Floats]:
    """Yield how often each fact is drawn, (some draws, facts) at a time."""
    text = " ".join(map(str, facts))
    stream = int(hashlib.sha256(text.encode()).hexdigest(), 16)
    generator = np.random.default_rng([seed, stream])
    step = max(1, _CHUNK // len(facts))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        chosen = generator.integers(0, len(facts), size=(rows, len(facts)))
        chosen += np.arange(rows)[:, None] * len(facts)
        counts = np.bincount(chosen.ravel(), minlength=rows * len(facts))
        yield counts.reshape(rows, len(facts)).astype(np.float64)


def resample(
    streams: Mapping[Facts, Mapping[_Key, Statistic]],
    *,
    facts: Sequence[int],
    draws: int,
    seed: int,
) -> dict[_Key, Floats]:
    """Draw facts again and again, each equally often in all streams that have it.

    Args:
        streams: Statistics over the edits of each stream of facts, by any name.
        facts: All that are drawn from, each once. On them and the seed the draws depend.
        draws: How often.
        seed: Of the draws.

    Returns:
        Of each statistic its value at each draw, (draws,); NaN where a draw leaves it undefined.
    """
    place = {fact: at for at, fact in enumerate(facts)}
    at = {stream: np.array([place[fact] for fact in stream]) for stream in streams}
    stacked = {
        stream: np.hstack([each.parts for each in statistics.values()])
        for stream, statistics in streams.items()
    }
    sums: dict[Facts, list[Floats]] = {stream: [] for stream in streams}
    for drawn in weights(facts, draws, seed) if streams else ():
        for stream, parts in stacked.items():
            sums[stream].append(drawn[:, at[stream]] @ parts)
    found: dict[_Key, Floats] = {}
    for stream, statistics in streams.items():
        whole, start = np.vstack(sums[stream]), 0
        for key, each in statistics.items():
            stop = start + each.parts.shape[1]
            found[key] = combine(whole[:, start:stop])
            start = stop
    return found


def interval(draws: Floats) -> tuple[float | None, float | None]:
    """Return the middle 95 % of the draws at which the statistic is defined."""
    known = draws[~np.isnan(draws)]
    if not len(known):
        return None, None
    low, high = np.quantile(known, LEVEL)
    return float(low), float(high)


def difference(ours: Floats, theirs: Floats) -> Floats:
    """Return the differences draw by draw, rounding errors removed: equal editors are equal."""
    return np.round(ours - theirs, _NOISE)


def mean_of_draws(draws: Sequence[Floats]) -> Floats:
    """Return the mean over samples at each draw, over those at which it is defined: (draws,)."""
    stacked = np.stack(draws)
    there = ~np.isnan(stacked)
    count = there.sum(axis=0)
    total = np.where(there, stacked, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
