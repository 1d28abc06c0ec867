"""Charts as numbers: where values lie, what is left out, what axes say."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqedit_bench.leaderboards.report.chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Level,
    Line,
    Scale,
    round_numbers,
)


def chart(values: list[float | None], scale: Scale = "percent", **options: Any) -> Chart:
    edits = [float(10 * at) for at in range(len(values))]
    return Chart("c", "C", "%", "", [Line(0, "a", edits, values)], scale, **options)


def test_corners() -> None:
    made = chart([0.0, 1.0])
    assert (made.x(0), made.x(10)) == (LEFT, WIDTH - RIGHT)
    assert (made.y(0.0), made.y(1.0)) == (HEIGHT - BOTTOM, TOP)


def test_a_gap_stays_a_gap() -> None:
    (drawn,) = chart([0.1, 0.2, None, 0.3, None, 0.4, 0.5]).drawn()
    assert drawn.path.count("M") == 3
    # A point between gaps has no line; a dot shows it, as it does the end.
    assert len(drawn.dots) == 2


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_what_is_no_number_is_a_gap(bad: float) -> None:
    assert chart([0.1, bad, 0.2, 0.3]).drawn()[0].path.count("M") == 2


def test_a_log_axis_has_no_place_for_zero() -> None:
    made = chart([0.0, 1.0, 1000.0], "log")
    assert made.drawn()[0].path.count("L") == 1
    assert [tick.text for tick in made.y_ticks()] == ["1", "10", "100", "1,000"]


def test_a_log_axis_of_nothing_but_zeros() -> None:
    assert chart([0.0, 0.0], "log").drawn()[0].path == ""


@pytest.mark.parametrize("values", [[0.0, -1.0], [-1.0], [1e308, 1.0], [1e308], []])
def test_a_log_axis_of_what_has_no_place_on_it(values: list[float | None]) -> None:
    made = chart(values, "log")
    assert made.drawn()[0].path.count("L") == 0
    assert len(made.y_ticks()) > 1


def test_intervals_become_an_area() -> None:
    line = Line(0, "a", [0.0, 1.0], [0.5, 0.5], [0.4, 0.4], [0.6, 0.6])
    (drawn,) = Chart("c", "C", "%", "", [line], x_names=["young", "old"]).drawn()
    assert drawn.area.endswith("Z")
    assert drawn.area.count("L") == 3


def test_named_places_are_the_ticks() -> None:
    line = Line(0, "a", [0.0, 1.0], [0.5, 0.5])
    made = Chart("c", "C", "%", "", [line], x_names=["young", "old"])
    assert [tick.text for tick in made.x_ticks()] == ["young", "old"]


def test_a_level_is_within_the_axes() -> None:
    made = chart([1.0, 2.0], "linear", levels=[Level(5.0, "unedited")])
    assert TOP <= made.y(5.0) <= HEIGHT - BOTTOM


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_and_inside(low: float, span: float) -> None:
    found = round_numbers(low, low + span, 4)
    assert len(found) <= 9
    rounding = 1e-6 * span + 4 * math.ulp(abs(low) + span)
    assert all(low - rounding <= at <= low + span + rounding for at in found)


@given(
    st.lists(st.one_of(st.none(), st.floats(allow_nan=True)), min_size=1, max_size=20),
    st.sampled_from(["percent", "linear", "log"]),
)
@example([5e-324], "log")
@example([2.3e-308, 1.7e308], "log")
def test_whatever_the_values_the_drawing_stays_in_its_frame(
    values: list[float | None], scale: Scale
) -> None:
    (drawn,) = chart(values, scale).drawn()
    for x, y in re.findall(r"[ML]([^,]+),([^ML]+)", drawn.path):
        assert LEFT <= float(x) <= WIDTH - RIGHT
        assert TOP <= float(y) <= HEIGHT - BOTTOM
