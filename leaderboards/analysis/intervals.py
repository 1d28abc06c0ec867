"""Numbers with 95 % intervals, each by the method that fits what it is a number of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean, stdev

import numpy as np

from ..transfer import wilson
from .records import Estimate


def share(successes: int, trials: int) -> Estimate:
    """Return a share of independent trials, with its Wilson interval.

    Example:
        >>> share(0, 0).value, share(3, 4).value
        (None, 0.75)
    """
    if not trials:
        return Estimate(value=None)
    low, high = wilson(successes, trials)
    return Estimate(value=successes / trials, low=low, high=high, count=trials)


def mean_of_runs(values: Sequence[float]) -> Estimate:
    """Return the mean over independent runs, with Student's interval from two runs on.

    Example:
        >>> found = mean_of_runs([1.0, 2.0, 3.0])
        >>> found.value, round(found.high - found.value, 3)
        (2.0, 2.484)
    """
    if not values:
        return Estimate(value=None)
    mean = fmean(values)
    if len(values) < 2:
        return Estimate(value=mean, count=len(values))
    half = student(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Estimate(value=mean, low=mean - half, high=mean + half, count=len(values))


def student(freedom: int) -> float:
    """Return Student's t at 97.5 %."""
    # Loading it takes as long as the rest of `compare`, and most numbers do not need it.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def bootstrap(
    groups: Sequence[Sequence[float]],
    statistic: Callable[[np.ndarray], np.ndarray],
    *,
    draws: int,
    seed: int,
) -> Estimate:
    """Return a statistic of values drawn from several strata, with its percentile interval.

    Args:
        groups: Values of each stratum; each is drawn from on its own.
        statistic: From (draws, values) to (draws,); the strata lie beside each other.
        draws: How many.
        seed: Of the draws.

    Example:
        >>> bootstrap([[1.0] * 9], lambda rows: rows.mean(axis=1), draws=100, seed=0).high
        1.0
    """
    arrays = [np.asarray(group, dtype=np.float64) for group in groups if len(group)]
    if not arrays:
        return Estimate(value=None)
    generator = np.random.default_rng(seed)
    drawn = np.hstack([generator.choice(each, size=(draws, len(each))) for each in arrays])
    low, high = np.quantile(statistic(drawn), (0.025, 0.975))
    value = float(statistic(np.hstack(arrays)[None])[0])
    count = sum(len(each) for each in arrays)
    return Estimate(value=value, low=float(low), high=float(high), count=count)


def mean(values: Sequence[float], *, draws: int, seed: int) -> Estimate:
    """Return a mean with a bootstrapped interval; of shares and counts alike."""
    return bootstrap([values], lambda rows: rows.mean(axis=1), draws=draws, seed=seed)


def median(values: Sequence[float], *, draws: int, seed: int) -> Estimate:
    """Return a median with a bootstrapped interval."""
    return bootstrap([values], lambda rows: np.median(rows, axis=1), draws=draws, seed=seed)
