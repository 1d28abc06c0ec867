"""Where distances begin to grow faster."""

from __future__ import annotations

import math

import pytest

from seqedit_bench.leaderboards.analysis.constants import Constants
from seqedit_bench.leaderboards.analysis.onset import onset

C = Constants()


def power(exponent: float, count: int = 300) -> list[float]:
    return [float(n) ** exponent for n in range(1, count + 1)]


@pytest.mark.parametrize("exponent", [0.3, 0.5, 0.99])
def test_a_power_law_has_its_own_slope_and_no_onset(exponent: float) -> None:
    found = onset("w", power(exponent), C)
    assert found is not None
    assert found.at is None
    assert found.slope_before == pytest.approx(exponent)


def test_faster_than_linear_from_the_start() -> None:
    found = onset("w", power(1.2), C)
    assert found is not None
    assert (found.at, found.slope) == (C.onset_from, pytest.approx(1.2))


def test_the_bend_is_found() -> None:
    """Square root up to 100, cubic from there: the window reaches it from 67 on."""
    values = [math.sqrt(n) if n <= 100 else 10 * (n / 100) ** 3 for n in range(1, 301)]
    found = onset("w", values, C)
    assert found is not None and found.at is not None
    assert 67 <= found.at <= 100
    assert found.slope_before == pytest.approx(0.5, abs=0.02)


def test_what_cannot_be_followed() -> None:
    assert onset("w", power(0.5, 20), C) is None
    assert onset("w", [0.0] * 100, C) is None
    broken = power(0.5, 60) + [math.inf] * 40
    found = onset("w", broken, C)
    assert found is not None
    assert found.slope_before == pytest.approx(0.5)
