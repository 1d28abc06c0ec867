"""Intervals against known values and by their coverage."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy import stats

from seqedit_bench.leaderboards.analysis.intervals import (
    bootstrap,
    mean_of_runs,
    median,
    share,
    student,
)


def test_share_is_wilsons() -> None:
    found = share(7, 10)
    assert (found.value, found.count) == (0.7, 10)
    assert (found.low, found.high) == (
        pytest.approx(0.397, abs=1e-3),
        pytest.approx(0.892, abs=1e-3),
    )


@pytest.mark.parametrize(
    ("freedom", "value"), [(1, 12.706), (10, 2.228), (25, 2.060), (500, 1.965)]
)
def test_students_t(freedom: int, value: float) -> None:
    assert student(freedom) == pytest.approx(value, abs=5e-4)


def test_mean_of_runs() -> None:
    """Textbook: 4, 5, 6 has mean 5, standard error 1/sqrt(3), t(2) = 4.3027."""
    found = mean_of_runs([4.0, 5.0, 6.0])
    assert found.high == pytest.approx(5 + 4.3026527 / 3**0.5)
    assert (mean_of_runs([4.0]).low, mean_of_runs([]).value) == (None, None)


@pytest.mark.parametrize("count", [2, 3, 7, 40])
def test_mean_of_runs_is_scipys(count: int) -> None:
    values = np.random.default_rng(count).normal(5, 2, count)
    found = mean_of_runs(list(values))
    wanted = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(wanted)


def test_bootstrap_draws_within_strata() -> None:
    """Two strata without variance leave none, however far apart they are."""
    found = bootstrap([[0.0] * 5, [1.0] * 5], lambda rows: rows.mean(axis=1), draws=100, seed=0)
    assert (found.value, found.low, found.high, found.count) == (0.5, 0.5, 0.5, 10)
    assert bootstrap([], lambda rows: rows.mean(axis=1), draws=10, seed=0).value is None


def test_bootstrap_covers_the_median() -> None:
    covered = 0
    for seed in range(100):
        draw = random.Random(seed)
        values = [draw.lognormvariate(0, 1) for _ in range(50)]
        found = median(values, draws=300, seed=0)
        assert found.value == pytest.approx(float(np.median(values)))
        assert found.low is not None and found.high is not None
        covered += found.low <= 1.0 <= found.high
    assert covered >= 88
