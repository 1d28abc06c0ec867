"""Metrics: strict, NaN is a failure, means per target token, macro mean over records."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.counterfact.scores import (
    CaseValue,
    efficacy,
    mean_nll,
    mean_over_cases,
    neighborhood,
    paraphrase,
)
from seqedit_bench.tasks.metrics import magnitude, preferred

NAN, INF = float("nan"), float("inf")
NLLS = st.one_of(st.floats(min_value=0), st.just(NAN))


@pytest.mark.parametrize(
    ("wanted", "other", "value"),
    [(1.0, 2.0, 1.0), (2.0, 1.0, 0.0), (2.0, 2.0, 0.0), (0.0, 0.0, 0.0), (1.0, INF, 1.0)],
)
def test_preferred(wanted: float, other: float, value: float) -> None:
    assert preferred(wanted, other) == value


@pytest.mark.parametrize(("wanted", "other"), [(NAN, 1.0), (1.0, NAN), (NAN, NAN), (INF, INF)])
def test_neither_is_preferred_where_there_is_no_number(wanted: float, other: float) -> None:
    assert preferred(wanted, other) == preferred(other, wanted) == 0.0
    assert magnitude(wanted, other) == magnitude(other, wanted) == 0.0


@settings(deadline=None)
@given(NLLS, NLLS)
def test_at_most_one_is_preferred(one: float, other: float) -> None:
    wins = preferred(one, other) + preferred(other, one)
    assert wins == float(one != other and not math.isnan(one + other))


@settings(deadline=None)
@given(NLLS, NLLS)
def test_magnitude_is_antisymmetric_and_bounded(one: float, other: float) -> None:
    value = magnitude(one, other)
    assert -1 <= value <= 1
    assert value == -magnitude(other, one)
    if value > 0:
        assert preferred(one, other) == 1.0


def test_magnitude() -> None:
    assert magnitude(math.log(2), math.log(4)) == pytest.approx(0.25)


# --- Scores of a document --------------------------------------------------------------------


class Counted(tuple[float, bool]):
    """A result that knows its number of tokens, as our model returns it."""

    num_tokens: int

    @classmethod
    def of(cls, total: float, tokens: int, greedy: bool = False) -> Counted:
        self = cls((total, greedy))
        self.num_tokens = tokens
        return self


def document(**fields: Any) -> dict[str, Any]:
    return {"case_id": 7, "tokens_new": 0, "tokens_true": 0, **fields}


def test_a_long_target_is_not_punished() -> None:
    """Three tokens at 1 nat each are likelier per token than one token at 2 nats."""
    scores = efficacy(document(), [Counted.of(-3.0, 3), Counted.of(-2.0, 1)])
    assert scores["es"] == 1.0
    assert scores["es_nll_new"] == pytest.approx(1.0)
    assert scores["es_nll_true"] == pytest.approx(2.0)
    assert scores["em"] == pytest.approx(math.exp(-1) - math.exp(-2))


def test_counts_come_from_the_document_for_other_models() -> None:
    scores = efficacy(document(tokens_new=3, tokens_true=1), [(-3.0, False), (-2.0, False)])
    assert scores["es"] == 1.0
    assert mean_nll((-3.0, False), 3) == pytest.approx(1.0)


def test_the_models_count_wins() -> None:
    assert mean_nll(Counted.of(-6.0, 3), 2) == pytest.approx(2.0)


def test_missing_counts_are_an_error() -> None:
    with pytest.raises(InputError, match=r"token count: pass --metadata .*tokenizer"):
        efficacy(document(), [(-3.0, False), (-2.0, False)])


Score = Callable[..., dict[str, float]]


@pytest.mark.parametrize(
    ("score", "names", "value"),
    [
        (efficacy, ["es", "em", "es_exact", "es_nll_new", "es_nll_true"], 1.0),
        (paraphrase, ["ps", "pm", "ps_exact", "ps_nll_new", "ps_nll_true"], 1.0),
        (neighborhood, ["ns", "nm", "ns_exact", "ns_nll_new", "ns_nll_true"], 0.0),
    ],
)
def test_each_score_wants_its_own_target(score: Score, names: list[str], value: float) -> None:
    """The new target is likelier: good on the edit and its paraphrases, bad on neighbors."""
    results = [Counted.of(-1.0, 1, greedy=True), Counted.of(-2.0, 1)]
    scores = score(document(), results)
    assert list(scores) == names
    main, size, exact, nll_new, nll_true = scores.values()
    assert main == exact == value
    assert math.copysign(1, size) == (1 if value else -1)
    assert (nll_new, nll_true) == (1.0, 2.0)
    swapped = score(document(), results[::-1])
    assert next(iter(swapped.values())) == 1 - value


@pytest.mark.parametrize("score", [efficacy, paraphrase, neighborhood])
@pytest.mark.parametrize("totals", [(-2.0, -2.0), (NAN, NAN), (NAN, -1.0), (-1.0, NAN)])
def test_ties_and_nan_fail_on_every_side(score: Score, totals: tuple[float, float]) -> None:
    results = [Counted.of(total, 1) for total in totals]
    main, size, exact, *_ = score(document(), results).values()
    assert main == size == exact == 0.0


def test_values_remember_their_record() -> None:
    value = efficacy(document(case_id=3), [Counted.of(-1.0, 1), Counted.of(-2.0, 1)])["es"]
    for copied in (value, copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert isinstance(copied, CaseValue)
        assert (copied, copied.case_id) == (1.0, 3)


def test_mean_is_over_records_not_prompts() -> None:
    many = [CaseValue(value, 1) for value in (1.0, 0.0, 0.0, 0.0)]
    one = [CaseValue(1.0, 2)]
    assert mean_over_cases(many + one) == pytest.approx((0.25 + 1.0) / 2)
    # The order of the prompts does not matter.
    assert mean_over_cases([many[0], *one, *many[1:]]) == pytest.approx(0.625)
