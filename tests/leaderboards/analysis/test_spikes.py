"""Updates that stand out."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqedit_bench.leaderboards.analysis.constants import Constants
from seqedit_bench.leaderboards.analysis.spikes import find_spikes

C = Constants()


def edits(norms: list[float], **options) -> list[int]:
    return [found.edit for found in find_spikes(norms, C, **options)]


def test_ten_times_the_median_and_not_nine() -> None:
    assert edits([2.0] * 30 + [20.0] + [2.0] * 5) == [31]
    assert edits([2.0] * 30 + [19.9] + [2.0] * 5) == []


def test_severe_at_a_hundred_times() -> None:
    one, two = find_spikes([1.0] * 30 + [50.0, 100.0], C)
    assert (one.severe, two.severe) == (False, True)
    assert (one.ratio, two.ratio) == (50.0, 100.0)


def test_the_median_is_of_the_last_hundred() -> None:
    """Norms that grew long ago are usual by now."""
    assert edits([1.0] * 50 + [20.0] * 200) == list(range(51, 101))


def test_without_controls_the_first_edits_are_compared_with_each_other() -> None:
    norms = [1.0] * 25
    norms[4] = 30.0
    (found,) = find_spikes(norms, C)
    assert (found.edit, found.against) == (5, "first")


def test_controls_stand_in_for_edits_before() -> None:
    (found,) = find_spikes([30.0, 1.0, 1.0], C, controls=[1.0] * 20)
    assert (found.edit, found.against) == (1, "controls")
    assert find_spikes([30.0, 1.0, 1.0], C, controls=[1.0] * 19) == []


def test_a_norm_that_is_no_number_is_a_spike_once() -> None:
    """After it the model is broken, and broken does not stand out among broken."""
    norms = [1.0] * 30 + [math.inf] * 200
    found = edits(norms)
    assert found[0] == 31
    assert 230 not in found


def test_a_call_is_found_once() -> None:
    norms = [1.0] * 40 + [50.0] * 10 + [1.0] * 10
    assert edits(norms, batch_size=10) == [41]


@pytest.mark.parametrize("call", [0, 1, 2, 7])
def test_calls_larger_than_the_window_are_compared_with_other_calls(call: int) -> None:
    norms = [1.0] * 1000
    norms[100 * call : 100 * call + 100] = [30.0] * 100
    assert edits(norms, batch_size=100) == [100 * call + 1]


def test_single_facts_are_no_measure_for_a_call_of_many() -> None:
    """Fifty updates in one have fifty times the room: sqrt(50) is no spike, nor are 12."""
    assert edits([12.0] * 200, batch_size=50, controls=[1.0] * 100) == []


def test_nothing_moves() -> None:
    assert edits([0.0] * 60) == []
    assert edits([0.0] * 60 + [1.0]) == [61]
    assert edits([]) == []


@given(
    st.lists(st.floats(0.1, 0.9), min_size=1, max_size=150),
    st.floats(1e-3, 1e3),
)
def test_units_do_not_matter(norms: list[float], factor: float) -> None:
    """All within a factor of nine: none stands out, in whatever unit."""
    assert edits(norms) == edits([factor * norm for norm in norms]) == []
