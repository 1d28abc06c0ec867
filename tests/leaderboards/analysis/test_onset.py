"""Where distances begin to grow faster."""

from __future__ import annotations

import math

import numpy as np
import pytest

from seqedit_bench.leaderboards.analysis.constants import Constants
from seqedit_bench.leaderboards.analysis.onset import onset

C = Constants()


def power(exponent: float, count: int = 300) -> list[float]:
    return [float(n) ** exponent for n in range(1, count + 1)]


@pytest.mark.parametrize("exponent", [0.3, 0.5, 0.99])
def test_a_power_law_has_its_own_slope_and_no_onset(exponent: float) -> None:
    found = onset("w", power(exponent), [], C)
    assert found is not None
    assert found.at is None
    assert found.slope_before == pytest.approx(exponent)
    assert (found.chance, found.walk_ratio) == (None, None)


def test_faster_than_linear_from_the_start() -> None:
    found = onset("w", power(1.2), [], C)
    assert found is not None
    assert (found.at, found.slope) == (C.onset_from, pytest.approx(1.2))


def test_the_bend_is_found() -> None:
    """Square root up to 100, cubic from there: the window reaches it from 67 on."""
    values = [math.sqrt(n) if n <= 100 else 10 * (n / 100) ** 3 for n in range(1, 301)]
    found = onset("w", values, [], C)
    assert found is not None and found.at is not None
    assert 67 <= found.at <= 100
    assert found.slope_before == pytest.approx(0.5, abs=0.02)


def test_what_cannot_be_followed() -> None:
    assert onset("w", power(0.5, 20), [], C) is None
    assert onset("w", [0.0] * 100, [], C) is None
    broken = power(0.5, 60) + [math.inf] * 40
    found = onset("w", broken, [], C)
    assert found is not None
    assert found.slope_before == pytest.approx(0.5)


def walk(steps: np.ndarray) -> list[float]:
    return np.sqrt(np.cumsum(np.square(steps))).tolist()


def test_unlike_steps_of_a_random_walk_are_called_chance() -> None:
    """One step of 25 times the others makes an onset wherever it comes, unless near either end."""
    steps = np.ones(300)
    steps[161] = 25.0
    found = onset("w", walk(steps), steps.tolist(), C)
    assert found is not None and found.at is not None and found.chance is not None
    assert found.chance > 0.5
    assert found.walk_ratio == pytest.approx(1.0)


def test_steps_that_grow_are_not_called_chance() -> None:
    """Steps ~ n make a distance ~ n^1.5, their random orders one ~ n^0.5."""
    steps = np.arange(1, 301) * np.exp(np.random.default_rng(0).normal(0, 0.1, 300))
    found = onset("w", walk(steps), steps.tolist(), C)
    assert found is not None and found.at is not None and found.chance is not None
    assert found.chance < 0.1


def test_steps_that_agree_are_longer_than_a_walk() -> None:
    found = onset("w", [float(n) for n in range(1, 101)], [1.0] * 100, C)
    assert found is not None
    assert found.walk_ratio == pytest.approx(10.0)


def test_refused_edits_and_calls_of_several() -> None:
    """A call of four has one step: only calls change places."""
    steps = np.zeros(200)
    steps[::4] = 1.0
    found = onset("w", np.maximum(walk(steps), 1.0).tolist(), steps.tolist(), C, batch_size=4)
    assert found is not None
    assert (found.at, found.chance, found.walk_ratio) == (None, 0.0, pytest.approx(1.0))
    refused = np.where(np.arange(200) < 30, 0.0, 1.0)
    found = onset("w", np.maximum(walk(refused), 1.0).tolist(), refused.tolist(), C)
    assert found is not None and found.chance is not None


@pytest.mark.parametrize("steps", [[0.0] * 100, [1.0] * 99 + [math.inf]])
def test_steps_that_say_nothing(steps: list[float]) -> None:
    found = onset("w", power(0.5, 100), steps, C)
    assert found is not None
    assert (found.chance, found.walk_ratio) == (None, None)
