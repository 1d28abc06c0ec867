"""A journal in, the paper's finding out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seqedit_bench.leaderboards.analysis import Analysis, Constants
from seqedit_bench.leaderboards.analysis.analyse import analyse
from seqedit_bench.leaderboards.analysis.calibrate import calibrate
from seqedit_bench.leaderboards.analysis.journal import RunJournal, read_run
from seqedit_bench.leaderboards.analysis.series import downstream, matrix_steps, norms, retained
from seqedit_bench.leaderboards.analysis.synthetic import Story, synthetic_run

FAST = Constants(permutations=199, bootstrap=100)
WriteRun = Callable[..., Path]


def found(**story) -> Analysis:
    return analyse(synthetic_run(Story(**story), seed=1), FAST)


def test_noise() -> None:
    quiet = found()
    assert quiet.spikes == []
    assert quiet.collapse.kind == "none"
    assert [phase.name for phase in quiet.phases] == ["intact"]
    assert not any(change.significant for change in quiet.change_points)
    assert {change.series for change in quiet.change_points} == {
        "es", "ps", "ns", "retention", "f1", "log10 norm",
    }  # fmt: skip
    assert quiet.onsets[0].at is None


def test_a_disabling_edit_is_the_point_of_collapse() -> None:
    broken = found(broken_at=150, spikes={60: 30.0, 150: 300.0})
    assert (broken.collapse.kind, broken.collapse.edit) == ("catastrophic", 150)
    harmless, fatal = broken.spikes
    assert (harmless.edit, harmless.severe, harmless.confirmation.confirmed) == (60, False, False)
    assert (fatal.edit, fatal.severe, fatal.confirmation.confirmed) == (150, True, True)
    assert fatal.subject == "Subject 150"
    assert [phase.name for phase in broken.phases] == ["intact", "collapsed"]
    assert broken.phases[1].first == 150


def test_of_two_spikes_before_the_same_checkpoint_the_larger_did_it() -> None:
    broken = found(broken_at=157, spikes={142: 20.0, 157: 300.0})
    assert broken.collapse.edit == 157


def test_a_collapse_without_a_spike_is_gradual_and_has_an_interval() -> None:
    broken = found(broken_at=150, forgetting=0.02)
    collapse = broken.collapse
    assert collapse.kind == "gradual"
    assert collapse.low is not None and collapse.edit is not None and collapse.high is not None
    assert collapse.low <= collapse.edit <= collapse.high
    assert abs(collapse.edit - 150) <= 10
    assert [phase.name for phase in broken.phases] == ["intact", "gradual", "collapsed"]


def with_f1(run: RunJournal, f1: Callable[[int], float]) -> RunJournal:
    """Give the tasks of a run a course of their own."""
    checkpoints = [
        line.model_copy(
            update={"tasks": {name: {"weighted_f1": f1(line.edits)} for name in line.tasks}}
        )
        for line in run.checkpoints
    ]
    return dataclasses.replace(run, checkpoints=checkpoints)


@pytest.mark.parametrize(
    "f1",
    [
        lambda done: 0.6,
        pytest.param(lambda done: 0.58 if done < 60 else 0.66, id="a rise"),
        pytest.param(lambda done: 0.66 if done < 60 else 0.58, id="a fall that is no collapse"),
        pytest.param(lambda done: 0.7 - done / 3000, id="a drift"),
    ],
)
def test_what_has_nothing_to_do_with_it_does_not_place_a_collapse(f1) -> None:
    """ES and retention break at 200; the tasks do not."""
    collapse = analyse(with_f1(synthetic_run(Story(broken_at=200), seed=1), f1), FAST).collapse
    assert collapse.kind == "gradual"
    assert collapse.edit is not None and abs(collapse.edit - 200) <= 10
    assert collapse.low is not None and collapse.low > 180


def test_a_collapse_that_no_series_places_lies_between_what_was_seen() -> None:
    blind = FAST.model_copy(update={"min_points": 1000})
    late = analyse(synthetic_run(Story(broken_at=200), seed=1), blind).collapse
    assert late.low is not None and late.edit is not None and late.high is not None
    assert 190 <= late.low <= late.edit <= late.high <= 250
    assert late.low <= 200 <= late.high
    # Broken as soon as it can be judged: that it was not before is not known.
    early = analyse(synthetic_run(Story(broken_at=12, every=50), seed=1), blind).collapse
    assert (early.kind, early.low) == ("gradual", 1)
    assert early.high is not None and early.high >= 12


def test_a_spike_at_the_very_end_is_undecided() -> None:
    late = found(num_edits=305, spikes={303: 50.0})
    assert late.collapse.kind == "none"
    assert late.collapse.undecided == [303]


def test_constants_decide_and_are_in_the_output() -> None:
    run = synthetic_run(Story(spikes={150: 30.0}))
    strict = Constants.with_settings(["spike_factor=40"])
    assert analyse(run, FAST).spikes
    other = analyse(run, strict)
    assert not other.spikes
    assert json.loads(other.to_json())["constants"]["spike_factor"] == 40.0


def test_a_broken_models_null_is_a_failure_and_a_spike() -> None:
    run = synthetic_run(Story(broken_at=150))
    line = run.edits[149]
    run.edits[149] = line.model_copy(update={"update_norm": dict.fromkeys(line.update_norm)})
    broken = analyse(run, FAST)
    assert broken.collapse.edit == 150
    assert (broken.spikes[0].norm, broken.spikes[0].ratio) == (None, None)
    json.loads(broken.to_json(), parse_constant=pytest.fail)


def test_an_editor_beside_the_weights() -> None:
    run = synthetic_run(Story(num_edits=60))
    edits = [line.model_copy(update={"update_norm": {}, "distance": {}}) for line in run.edits]
    quiet = analyse(dataclasses.replace(run, edits=edits), FAST)
    assert quiet.spikes == quiet.onsets == []
    assert "log10 norm" not in {change.series for change in quiet.change_points}


def test_without_norms_the_distance_stands_in() -> None:
    run = synthetic_run(Story(num_edits=3))
    name = next(iter(run.edits[0].distance))
    edits = [
        line.model_copy(update={"update_norm": {}, "distance": {name: distance}})
        for line, distance in zip(run.edits, (2.0, 3.0, None), strict=True)
    ]
    assert norms(dataclasses.replace(run, edits=edits)) == [2.0, 1.0, float("inf")]


def test_tasks_asked_less_often_are_not_part_of_the_mean() -> None:
    run = synthetic_run(Story(num_edits=30))
    ends = [run.checkpoints[0], run.checkpoints[-1]]
    for line in ends:
        line.tasks["other_gen"] = {"weighted_f1": 0.0}
    of_four = downstream(run.checkpoints, 0.1)
    assert of_four is not None
    assert "other_gen" not in of_four.tasks
    assert min(of_four.points.values) > 0.5
    assert of_four.generated


def test_the_step_of_a_call_survives_its_refused_edits() -> None:
    run = synthetic_run(Story(num_edits=4))
    norms_of = ({}, {"w": 2.0}, {"w": 3.0}, {"w": 3.0})
    edits = [
        line.model_copy(update={"update_norm": norm})
        for line, norm in zip(run.edits, norms_of, strict=True)
    ]
    config = {**run.config, "protocol": {"batch_size": 2}}
    by_two = dataclasses.replace(run, edits=edits, config=config)
    assert matrix_steps(by_two) == {"w": [2.0, 0.0, 3.0, 0.0]}


def test_retention_of_few_edits_is_left_out() -> None:
    run = synthetic_run(Story(num_edits=30, es=1.0))
    assert retained(run, "es_exact", 15).edits == [20, 30]


def test_a_run_without_tasks() -> None:
    run = synthetic_run(Story(num_edits=40))
    bare = [line.model_copy(update={"tasks": {}}) for line in run.checkpoints]
    assert downstream(bare, 0.1) is None


def test_files_are_named_with_their_digests(write_run: WriteRun) -> None:
    folder = write_run(synthetic_run(Story(num_edits=20)))
    digests = analyse(read_run(folder), FAST).journal_sha256
    assert set(digests) == {"config.json", "edits.jsonl", "checkpoints.jsonl"}


def test_calibration_counts_what_it_says() -> None:
    rates = {(rate.story, rate.found): rate for rate in calibrate(3, FAST)}
    for rate in rates.values():
        assert rate.low <= rate.times / rate.runs <= rate.high
    assert rates["noise", "spike"].times == 0
    assert rates["broken by edit 150", "at that very edit"].times == 3
    # Thresholds that ask for little find what is not there.
    blind = {
        (rate.story, rate.found): rate.times
        for rate in calibrate(2, FAST.model_copy(update={"spike_factor": 1.01}))
    }
    assert blind["noise", "spike"] == 2
