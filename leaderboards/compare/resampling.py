"""The bootstrap over edits: draws of a stream of facts serve every editor and every metric.

Editors that edited the same facts in the same order are resampled with the same weights, so that a
difference of two of them is a paired one: what makes a fact hard is hard for both and cancels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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


class Part(NamedTuple):
    """The beginning of a stream of facts."""

    stream: str
    """Digest of the facts in their order."""
    edits: int


def part_of(case_ids: Sequence[int]) -> Part:
    """Return what identifies these facts in this order."""
    text = " ".join(map(str, case_ids))
    return Part(hashlib.sha256(text.encode()).hexdigest(), len(case_ids))


def weights(part: Part, draws: int, seed: int) -> Iterable[Floats]:
    """Yield how often each edit is drawn, (some draws, edits) at a time.

    The draws depend on the facts and the seed alone, not on what else is compared.
    """
    generator = np.random.default_rng([seed, int(part.stream, 16)])
    step = max(1, _CHUNK // part.edits)
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        chosen = generator.integers(0, part.edits, size=(rows, part.edits))
        chosen += np.arange(rows)[:, None] * part.edits
        counts = np.bincount(chosen.ravel(), minlength=rows * part.edits)
        yield counts.reshape(rows, part.edits).astype(np.float64)


def resample(
    part: Part, statistics: Mapping[str, Statistic], *, draws: int, seed: int
) -> dict[str, Floats]:
    """Draw the edits of a stream again and again.

    Args:
        part: Which facts.
        statistics: Statistics over these edits, by any name.
        draws: How often.
        seed: Of the draws.

    Returns:
        Of each statistic its value at each draw, (draws,); NaN where a draw leaves it undefined.
    """
    if not statistics:
        return {}
    stacked = np.hstack([each.parts for each in statistics.values()])
    sums = np.vstack([drawn @ stacked for drawn in weights(part, draws, seed)])
    found, start = {}, 0
    for name, each in statistics.items():
        stop = start + each.parts.shape[1]
        found[name] = combine(sums[:, start:stop])
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
