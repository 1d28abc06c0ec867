"""The three criteria of a collapse, one by one and together."""

from __future__ import annotations

import pytest

from seqedit_bench.leaderboards.analysis.collapse import Course, confirm, first_collapse
from seqedit_bench.leaderboards.analysis.constants import Constants
from seqedit_bench.leaderboards.analysis.records import Criterion
from seqedit_bench.leaderboards.analysis.series import Downstream, Points

C = Constants()
NO_POINTS = Points([], [])


def every_ten(*values: float) -> Points:
    return Points([10 * (at + 1) for at in range(len(values))], list(values))


def f1(points: Points, *, generated: bool = True, headroom: Points = NO_POINTS) -> Downstream:
    return Downstream(points, ["sst2"], generated, 0.6, 1 / 3, headroom)


def course(
    es: list[float] | None = None,
    retention: Points = NO_POINTS,
    downstream: Downstream | None = None,
) -> Course:
    return Course(es or [], retention, downstream, 200)


def criterion(name: str, at: int, found: Course, *, newly: bool = True) -> Criterion:
    criteria = confirm(at, found, C, newly=newly).criteria
    return next(each for each in criteria if each.name == name)


# --- ES --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "met"),
    [
        (1.0, 0.5, True),
        (1.0, 0.7, True),
        (1.0, 0.8, False),  # not low
        (0.6, 0.5, False),  # not much lower
        (0.8, 0.6, True),
    ],
)
def test_es_is_low_and_much_lower(before: float, after: float, met: bool) -> None:
    found = criterion("es", 100, course([before] * 99 + [1.0] + [after] * 100))
    assert found.met is met
    assert (found.before, found.after) == (pytest.approx(before), pytest.approx(after))


def test_es_must_stay_low() -> None:
    assert criterion("es", 100, course([1.0] * 100 + [0.5] * 50 + [1.0] * 50)).met is False


@pytest.mark.parametrize(("at", "why"), [(5, "edits before"), (190, "edits after")])
def test_es_of_too_few_edits_says_nothing(at: int, why: str) -> None:
    found = criterion("es", at, course([1.0] * 200))
    assert found.met is None
    assert why in found.why


# --- Retention and downstream ----------------------------------------------------------------


def test_half_of_all_is_lost() -> None:
    lost = every_ten(0.9, 0.9, 0.4, 0.4)
    found = criterion("retention", 21, course(retention=lost))
    assert (found.met, found.before, found.after, found.at) == (True, 0.9, 0.4, 30)
    assert criterion("retention", 21, course(retention=every_ten(0.9, 0.9, 0.5, 0.5))).met is False


def test_hardly_any_is_left() -> None:
    rest = course(retention=every_ten(0.3, 0.3, 0.05, 0.05))
    assert criterion("retention", 21, rest).met is True


def test_what_was_lost_before_is_not_this_edits_doing() -> None:
    lost = course(retention=every_ten(0.3, 0.05, 0.05, 0.05))
    assert criterion("retention", 31, lost).met is False
    assert criterion("retention", 31, lost, newly=False).met is True


def test_the_checkpoint_right_after_the_edit_counts() -> None:
    found = criterion("retention", 30, course(retention=every_ten(0.9, 0.9, 0.2)))
    assert (found.met, found.at) == (True, 30)


def test_beyond_the_horizon_is_too_late() -> None:
    late = every_ten(*[0.9] * 10, *[0.1] * 10)
    assert criterion("retention", 41, course(retention=late)).met is False
    assert criterion("retention", 61, course(retention=late)).met is True


def test_two_checkpoints_far_apart_widen_the_horizon() -> None:
    far = Points([100, 200, 300], [0.9, 0.9, 0.1])
    assert confirm(101, course(retention=far), C).horizon == 200


def test_what_comes_back_was_not_lost() -> None:
    back = every_ten(0.9, 0.9, 0.2, 0.9, 0.9, 0.9)
    found = criterion("retention", 21, course(retention=back))
    assert (found.met, found.persists) == (False, 0.25)


def test_generated_answers_below_what_a_constant_one_scores() -> None:
    assert criterion("downstream", 21, course(downstream=f1(every_ten(0.6, 0.6, 0.1)))).met is True
    assert criterion("downstream", 21, course(downstream=f1(every_ten(0.6, 0.6, 0.3)))).met is False


def test_likelihoods_have_a_floor_and_are_judged_above_it() -> None:
    at_floor = every_ten(0.6, 0.6, 0.34)
    room = every_ten(1.0, 1.0, 0.02)
    found = f1(at_floor, generated=False, headroom=room)
    assert criterion("downstream", 21, course(downstream=found)).met is True
    nothing = f1(at_floor, generated=False)
    assert criterion("downstream", 21, course(downstream=nothing)).met is None


# --- Together --------------------------------------------------------------------------------

GOOD, BAD = every_ten(*[0.95] * 20), every_ten(*[0.95] * 10, *[0.1] * 10)
ES_GOOD, ES_BAD = [1.0] * 200, [1.0] * 100 + [0.5] * 100
F1_GOOD, F1_BAD = f1(every_ten(*[0.6] * 20)), f1(every_ten(*[0.6] * 10, *[0.0] * 10))


@pytest.mark.parametrize(
    ("es", "retention", "downstream", "confirmed"),
    [
        (ES_BAD, BAD, F1_BAD, True),
        (ES_BAD, BAD, F1_GOOD, True),
        (ES_BAD, GOOD, F1_BAD, True),
        (ES_GOOD, BAD, F1_BAD, True),
        (ES_BAD, GOOD, F1_GOOD, False),
        (ES_GOOD, BAD, F1_GOOD, False),
        (ES_GOOD, GOOD, F1_GOOD, False),
        # One sign of two that can be seen: nobody knows. None of two: no collapse.
        (ES_BAD, GOOD, None, None),
        (ES_GOOD, GOOD, None, False),
    ],
)
def test_two_of_three(
    es: list[float], retention: Points, downstream: Downstream | None, confirmed: bool | None
) -> None:
    found = course(es, retention, downstream)
    assert confirm(101, found, C).confirmed is confirmed
    slow = first_collapse(found, C)
    assert (slow is not None) is (confirmed is True)


def test_nothing_was_measured_after_the_last_edit() -> None:
    assert confirm(200, course(ES_GOOD, GOOD, None), C).confirmed is None
