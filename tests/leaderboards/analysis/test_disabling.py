"""Replayed first edits, judged: by norm, by tasks, beside random ones."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from seqedit_bench.leaderboards.analysis.analyse import analyse
from seqedit_bench.leaderboards.analysis.constants import Constants
from seqedit_bench.leaderboards.analysis.disabling import candidates, disabling
from seqedit_bench.leaderboards.analysis.journal import ReplayLine, RunJournal
from seqedit_bench.leaderboards.analysis.properties import properties
from seqedit_bench.leaderboards.analysis.records import Disabling, FirstEdit
from seqedit_bench.leaderboards.analysis.synthetic import Story, synthetic_run

FAST = Constants(permutations=199, bootstrap=200)


def first(kind: str, case_id: int, norm: float | None, **fields: Any) -> ReplayLine:
    return ReplayLine.model_validate(
        {
            "kind": kind,
            "case_id": case_id,
            "prompt": "{} is",
            "subject": f"S{case_id}",
            "target_new": " x",
            "update_norm": {"w": norm},
            "distance": {"w": {"l2_per_param": norm and norm / 1000}},
            **fields,
        }
    )


CONTROLS = [first("control", at, 1.0 + at / 100) for at in range(100)]


def journal(*replays: ReplayLine) -> RunJournal:
    return dataclasses.replace(synthetic_run(Story(num_edits=60)), replays=list(replays))


def judged(*replays: ReplayLine) -> Disabling:
    found = disabling(journal(*CONTROLS, *replays), FAST)
    assert found is not None
    return found


def only(*replays: ReplayLine) -> FirstEdit:
    (found,) = judged(*replays).candidates
    return found


def test_a_hundred_times_the_median_disables() -> None:
    # The median of the controls is 1.495.
    assert only(first("recorded", 500, 149.0, edit=7)).disabling is False
    found = only(first("recorded", 500, 150.0, edit=7))
    assert (found.disabling, found.edit, found.ratio) == (True, 7, pytest.approx(150 / 1.495))


@pytest.mark.parametrize(
    ("name", "before", "after", "disables"),
    [
        ("sst2_gen", 0.6, 0.1, True),
        ("sst2_gen", 0.6, 0.25, False),
        # By likelihood a constant answer is the worst there is.
        ("sst2_ll", 0.6, 0.34, True),
        ("sst2_ll", 0.6, 0.5, False),
        ("sst2_ll", 0.35, 0.34, False),
    ],
)
def test_a_model_that_lost_its_tasks_is_disabled(
    name: str, before: float, after: float, disables: bool
) -> None:
    line = first(
        "recorded",
        500,
        2.0,
        tasks={name: {"weighted_f1": after}},
        unedited_tasks={name: {"weighted_f1": before, "constant_f1": 1 / 3}},
    )
    found = only(line)
    assert (found.disabling, found.mean_f1) == (disables, after)


def test_a_norm_that_is_no_number_disables() -> None:
    found = only(first("recorded", 500, None))
    assert (found.disabling, found.norm, found.ratio) == (True, None, None)


def test_fresh_templates_are_counted_by_fact() -> None:
    found = judged(
        first("recorded", 500, 1000.0, edit=1),
        first("recorded", 501, 1.0, edit=2),
        *(first("fresh", 500, norm, draw=at) for at, norm in enumerate((900.0, 2.0, 800.0), 1)),
    )
    one, two = found.candidates
    assert (one.fresh, one.fresh_disabling.value) == (3, pytest.approx(2 / 3))
    assert (two.fresh, two.fresh_disabling.value) == (0, None)


def test_table_two() -> None:
    found = judged(first("recorded", 500, 1495.0), first("recorded", 501, 1495.0))
    assert found.controls == 100
    assert found.normal_distance.value == pytest.approx(1.495e-3)
    assert found.normal_distance.low is not None and found.normal_distance.high is not None
    assert found.normal_distance.low < 1.495e-3 < found.normal_distance.high
    assert found.disabling_distance.value == pytest.approx(1.495)
    assert found.orders_of_magnitude == pytest.approx(3.0)
    assert found.controls_disabling == 0


def test_none_is_disabling() -> None:
    found = judged(first("recorded", 500, 1.0))
    assert (found.disabling_distance.value, found.orders_of_magnitude) == (None, None)


def test_nothing_was_replayed() -> None:
    assert disabling(journal(), FAST) is None
    assert analyse(journal(), FAST).disabling is None


def test_controls_judge_the_first_edits_of_the_run() -> None:
    run = synthetic_run(Story(num_edits=60, spikes={3: 60.0}))
    with_controls = dataclasses.replace(run, replays=CONTROLS)
    (spike,) = analyse(with_controls, FAST).spikes
    assert (spike.edit, spike.against) == (3, "controls")


def test_the_table_of_properties_knows() -> None:
    yes = journal(*CONTROLS, first("recorded", 500, 1000.0))
    (row,) = properties([yes], FAST)
    assert (row.disabling, row.disabling_tried) == (True, 101)
    (row,) = properties([journal(*CONTROLS, first("recorded", 500, 1.0))], FAST)
    assert row.disabling is False
    # One that was drawn to compare with is one all the same.
    (row,) = properties(
        [journal(*CONTROLS, first("control", 501, 1000.0), first("recorded", 500, 1.0))], FAST
    )
    assert row.disabling is True


def test_candidates_come_in_order_of_suspicion() -> None:
    run = synthetic_run(Story(broken_at=150, spikes={60: 30.0, 150: 300.0}))
    for at, factor in ((9, 0.001), (10, -0.0001)):
        run.edits[at] = run.edits[at].model_copy(update={"editor": {"division_factor": factor}})
    chosen = candidates(run, analyse(run, FAST), 6)
    assert chosen[:2] == [150, 60]
    assert len(chosen) == len({*chosen}) == 6
    assert {10, 11} <= {*chosen}
