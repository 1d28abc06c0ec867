"""Changes of level: found where they are, with intervals that cover them, and not in noise."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqedit_bench.leaderboards.analysis.change_points import _by_ruptures, change_point, gains
from seqedit_bench.leaderboards.analysis.constants import Constants
from seqedit_bench.leaderboards.analysis.series import Points
from seqedit_bench.leaderboards.transfer import wilson

C = Constants(permutations=199, bootstrap=200)


def points(values) -> Points:
    return Points([5 * (at + 1) for at in range(len(values))], [float(value) for value in values])


def shares(draw: random.Random, share: float, count: int) -> list[float]:
    """Shares of five edits that work."""
    return [sum(draw.random() < share for _ in range(5)) / 5 for _ in range(count)]


@pytest.mark.parametrize("first", [4, 20, 36])
def test_finds_the_step(first: int) -> None:
    draw = random.Random(first)
    values = shares(draw, 0.98, first) + shares(draw, 0.4, 40 - first)
    found = change_point("es", points(values), C)
    assert found is not None and found.at is not None
    assert found.low is not None and found.high is not None
    assert abs(found.at - 5 * first) <= 10
    assert found.low <= found.at <= found.high
    assert found.shape == "step"
    assert found.before == pytest.approx(0.98, abs=0.1)
    assert found.after == pytest.approx(0.4, abs=0.1)


def test_a_trend_is_called_one() -> None:
    generator = np.random.default_rng(0)
    found = change_point("ns", points(np.linspace(1, 0.5, 40) + generator.normal(0, 0.02, 40)), C)
    assert found is not None
    assert (found.significant, found.shape) == (True, "trend")


def test_several_steps() -> None:
    generator = np.random.default_rng(0)
    levels = np.repeat([1.0, 0.6, 0.1], 20) + generator.normal(0, 0.03, 60)
    found = change_point("es", points(levels), C)
    assert found is not None
    assert found.all == [100, 200]


def test_the_interval_is_wide_where_the_step_is_small() -> None:
    draw = random.Random(3)
    clear = change_point("es", points(shares(draw, 1, 20) + shares(draw, 0.2, 20)), C)
    vague = change_point("es", points(shares(draw, 0.8, 20) + shares(draw, 0.45, 20)), C)
    assert clear is not None and vague is not None
    assert clear.low is not None and clear.high is not None
    assert vague.low is not None and vague.high is not None
    assert vague.high - vague.low > clear.high - clear.low


@pytest.mark.parametrize("values", [[0.5] * 20, [1.0, 0.0] * 3, [1.0] * 10 + [float("nan")] * 10])
def test_nothing_to_find(values: list[float]) -> None:
    found = change_point("es", points(values), C)
    assert found is None or not found.significant


def test_false_alarms_are_as_rare_as_they_should_be() -> None:
    """400 series of noise at level 0.05: the rate's 95 % interval has 0.05 in it or below it."""
    at_five = Constants(permutations=199, bootstrap=100, alpha=0.05)
    alarms, runs = 0, 400
    for seed in range(runs):
        draw = random.Random(seed)
        found = change_point("es", points(shares(draw, 0.9, 30)), at_five)
        alarms += found is not None and found.significant
    low, _ = wilson(alarms, runs)
    assert low <= 0.05, alarms / runs


def test_intervals_cover_the_change() -> None:
    """At least nine in ten of 95 % intervals, over steps of different size and place."""
    covered = runs = 0
    for seed in range(120):
        draw = random.Random(seed)
        first = draw.randrange(8, 32)
        values = shares(draw, 0.95, first) + shares(draw, draw.choice([0.3, 0.5]), 40 - first)
        found = change_point("es", points(values), C)
        if found is not None and found.low is not None and found.high is not None:
            runs += 1
            covered += found.low <= 5 * first <= found.high
    assert runs > 100
    assert covered / runs >= 0.9, covered / runs


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=8, max_size=30))
def test_the_fast_search_is_the_least_squares_one(values: list[float]) -> None:
    rows = np.asarray([values])
    mine = gains(rows)[0]
    theirs = _by_ruptures(rows[0])
    assert mine[theirs - 2] == pytest.approx(mine.max(), abs=1e-6)
    whole = float(np.square(rows - rows.mean()).sum())
    for at, gain in enumerate(mine, start=2):
        parts = [rows[0][:at], rows[0][at:]]
        rest = sum(float(np.square(part - part.mean()).sum()) for part in parts)
        assert whole - rest == pytest.approx(gain, abs=1e-6)


def test_the_same_every_time() -> None:
    draw = random.Random(1)
    values = points(shares(draw, 0.9, 20) + shares(draw, 0.5, 20))
    assert change_point("es", values, C) == change_point("es", values, C)


def test_a_level_that_few_permutations_cannot_reach() -> None:
    values = points([1.0] * 20 + [0.0] * 20)
    found = change_point("es", values, C, level=0.0005)
    assert found is not None
    assert found.significant
