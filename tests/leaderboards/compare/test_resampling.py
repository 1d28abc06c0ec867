"""The bootstrap against known answers: small cases by hand, large ones by theory, coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqedit_bench.leaderboards.compare.resampling import (
    Floats,
    Statistic,
    difference,
    harmonic_statistic,
    interval,
    kept_statistic,
    mean_of_draws,
    mean_statistic,
    resample,
    weights,
)
from seqedit_bench.leaderboards.curves import harmonic_mean, retention

values = st.lists(st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=12)


def drawn(statistic: Statistic, draws: int = 4000, seed: int = 0) -> Floats:
    return together(0, {"x": statistic}, draws=draws, seed=seed)["x"]


def together(
    first: int, statistics: dict[str, Statistic], *, draws: int, seed: int = 0
) -> dict[str, Floats]:
    """Draw statistics over the same facts, numbered from one on."""
    edits = max(len(each.parts) for each in statistics.values())
    facts = tuple(range(first, first + edits))
    return resample({facts: statistics}, facts=facts, draws=draws, seed=seed)


@given(values)
def test_a_mean_is_over_the_edits_that_have_it(found: list[float | None]) -> None:
    there = [value for value in found if value is not None]
    wanted = sum(there) / len(there) if there else None
    assert mean_statistic(found).value == (pytest.approx(wanted) if there else None)


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3), min_size=1, max_size=9))
def test_s_is_the_harmonic_mean_of_the_means(rows: list[tuple[float, ...]]) -> None:
    metrics = list(zip(*rows, strict=True))
    wanted = harmonic_mean([sum(each) / len(each) for each in metrics])
    assert harmonic_statistic(metrics).value == pytest.approx(wanted)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=9))
def test_kept_is_instant_retention(facts: list[tuple[bool, bool]]) -> None:
    at_edit, now = ([float(each[side]) for each in facts] for side in (0, 1))
    assert kept_statistic(at_edit, now).value == retention(at_edit, [now])[-1].instant


def test_nothing_learned_is_nothing_to_keep() -> None:
    """Zero by zero is unknown, at a draw as in the whole; the interval is of the other draws."""
    assert kept_statistic([0.0, 0.0], [1.0, 0.0]).value is None
    assert interval(drawn(kept_statistic([0.0, 0.0], [1.0, 0.0]))) == (None, None)
    rare = drawn(kept_statistic([1.0, 0.0], [1.0, 1.0]))
    assert np.isnan(rare).mean() == pytest.approx(0.25, abs=0.03)
    assert interval(rare) == (1.0, 1.0)
    assert mean_statistic([None, None]).value is None


def test_values_that_were_not_measured_again_are_losses() -> None:
    assert kept_statistic([1.0, 1.0, None], [1.0, None, 1.0]).value == 0.5


def test_small_case_against_all_resamples_by_hand() -> None:
    """Three edits have 27 resamples: the share of each mean is known exactly."""
    found = drawn(mean_statistic([1.0, 0.0, 0.0]), draws=60_000)
    exact = [sum(picked) / 3 for picked in itertools.product([1.0, 0.0, 0.0], repeat=3)]
    for value in (0.0, 1 / 3, 2 / 3, 1.0):
        wanted = sum(math.isclose(each, value) for each in exact) / 27
        assert np.isclose(found, value).mean() == pytest.approx(wanted, abs=0.01)


def test_small_ratio_against_all_resamples_by_hand() -> None:
    at_edit, now = [1.0, 1.0, 0.0], [1.0, 0.0, 0.0]
    found = drawn(kept_statistic(at_edit, now), draws=60_000)
    exact = []
    for picked in itertools.product(range(3), repeat=3):
        learned = sum(at_edit[at] for at in picked)
        exact.append(sum(at_edit[at] * now[at] for at in picked) / learned if learned else None)
    assert np.isnan(found).mean() == pytest.approx(exact.count(None) / 27, abs=0.01)
    for value in {each for each in exact if each is not None}:
        wanted = exact.count(value) / 27
        assert np.isclose(found, value).mean() == pytest.approx(wanted, abs=0.01)


def test_a_large_sample_has_the_normal_interval() -> None:
    sample = np.random.default_rng(1).normal(0.4, 0.2, 2000)
    low, high = interval(drawn(mean_statistic(list(sample)), draws=4000))
    half = 1.96 * sample.std() / math.sqrt(len(sample))
    assert low == pytest.approx(sample.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(sample.mean() + half, abs=0.1 * half)


def test_intervals_of_differences_cover_the_truth() -> None:
    """300 pairs of editors on 120 facts, the second 10 points worse: about 95 % are covered."""
    generator = np.random.default_rng(2)
    covered, paired_width, unpaired_width = 0, 0.0, 0.0
    for at in range(300):
        hard = generator.uniform(-0.4, 0.4, 120)
        # Each fact has one luck for both editors: they fail on the same facts, mostly.
        luck = generator.random(120)
        ours, theirs = (
            mean_statistic(list((luck < level + hard).astype(float))) for level in (0.6, 0.5)
        )
        draws = together(200 * at, {"a": ours, "b": theirs}, draws=500)
        low, high = interval(difference(draws["a"], draws["b"]))
        assert low is not None and high is not None
        covered += low <= 0.1 <= high
        other = together(200 * at + 100_000, {"b": theirs}, draws=500)
        loose = interval(difference(draws["a"], other["b"]))
        assert loose[0] is not None and loose[1] is not None
        paired_width += high - low
        unpaired_width += loose[1] - loose[0]
    assert 0.90 <= covered / 300 <= 0.99
    assert paired_width < 0.6 * unpaired_width


def test_coverage_of_a_mean_and_of_s() -> None:
    generator = np.random.default_rng(3)
    truth = (0.9, 0.6, 0.75)
    covered = {"mean": 0, "s": 0}
    for at in range(300):
        metrics = [(generator.random(100) < level).astype(float).tolist() for level in truth]
        statistics = {"mean": mean_statistic(metrics[1]), "s": harmonic_statistic(metrics)}
        draws = together(200 * at, statistics, draws=400)
        for name, wanted in (("mean", 0.6), ("s", harmonic_mean(truth))):
            low, high = interval(draws[name])
            assert low is not None and high is not None
            covered[name] += low <= wanted <= high
    assert all(0.90 <= count / 300 <= 0.99 for count in covered.values()), covered


def test_draws_depend_on_facts_and_seed_alone() -> None:
    statistic = mean_statistic([1.0, 0.0, 0.5])
    alone = together(5, {"x": statistic}, draws=300, seed=4)["x"]
    other = mean_statistic([0.5, 0.25, 1.0])
    beside = together(5, {"y": other, "x": statistic}, draws=300, seed=4)["x"]
    assert np.allclose(alone, beside, atol=1e-12)
    assert not np.array_equal(alone, together(5, {"x": statistic}, draws=300, seed=5)["x"])
    assert not np.array_equal(alone, together(6, {"x": statistic}, draws=300, seed=4)["x"])


def test_a_fact_has_one_weight_wherever_it_comes() -> None:
    """In another order, and beside other facts: what one of two streams has is as often there."""
    facts = (1, 2, 3, 4)
    one, other = (1, 2, 3), (4, 2, 1)
    of_fact_2 = kept_statistic([1.0, 1.0, 1.0], [0.0, 1.0, 0.0])
    of_all = mean_statistic([1.0, 1.0, 1.0])
    found = resample(
        {one: {"a": of_fact_2}, other: {"b": of_fact_2, "c": of_all}},
        facts=facts, draws=200, seed=0,
    )  # fmt: skip
    (drawn_facts,) = weights(facts, 200, 0)
    for name, stream in (("a", one), ("b", other)):
        of_stream = drawn_facts[:, [facts.index(fact) for fact in stream]].sum(axis=1)
        with np.errstate(invalid="ignore"):
            wanted = drawn_facts[:, 1] / of_stream
        assert np.array_equal(found[name], wanted, equal_nan=True)
    assert set(found["c"][~np.isnan(found["c"])]) == {1.0}


def test_each_draw_is_as_many_edits_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are cut into pieces to save memory, draws are the same in number and sum."""
    monkeypatch.setattr("seqedit_bench.leaderboards.compare.resampling._CHUNK", 70)
    found = list(weights(range(10), 33, seed=0))
    assert [len(each) for each in found] == [7, 7, 7, 7, 5]
    assert all((each.sum(axis=1) == 10).all() for each in found)


def test_equal_editors_differ_by_nothing() -> None:
    same = mean_statistic([0.1, 1 / 3, 0.7, 0.2])
    draws = together(0, {"a": same, "b": same}, draws=200)
    assert interval(difference(draws["a"], draws["b"])) == (0.0, 0.0)


def test_means_over_samples_leave_out_what_is_undefined() -> None:
    found = mean_of_draws([np.array([1.0, np.nan, np.nan]), np.array([0.0, 0.5, np.nan])])
    assert found[:2].tolist() == [0.5, 0.5]
    assert np.isnan(found[2])


def test_heads_are_the_first_edits() -> None:
    assert mean_statistic([1.0, 0.0, 0.0]).head(1).value == 1.0
