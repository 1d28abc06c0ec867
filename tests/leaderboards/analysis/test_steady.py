"""Retention falls although nothing happens: that is no change of level."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import pytest

from seqedit_bench.leaderboards.analysis.change_points import change_point
from seqedit_bench.leaderboards.analysis.constants import Constants
from seqedit_bench.leaderboards.analysis.journal import RunJournal
from seqedit_bench.leaderboards.analysis.series import retained
from seqedit_bench.leaderboards.analysis.steady import steady_retention
from seqedit_bench.leaderboards.analysis.synthetic import Story, synthetic_run

C = Constants(permutations=199, bootstrap=100)


def drawn(run: RunJournal, draws: int = 400) -> tuple[np.ndarray, np.ndarray]:
    points = retained(run, "es_exact", 10)
    return np.array(points.values), steady_retention(
        run, "es_exact", points, np.random.default_rng(0), draws
    )


def alarms(story: Story, runs: int, *, steady: bool) -> int:
    found = 0
    for seed in range(runs):
        run = synthetic_run(story, seed)
        points = retained(run, "es_exact", 10)
        draw = partial(steady_retention, run, "es_exact", points) if steady else None
        change = change_point("retention", points, C, draw=draw)
        found += change is not None and change.significant
    return found


@pytest.mark.parametrize("story", [Story(forgetting=0.03), Story(lost_at_once=0.2)])
def test_the_draws_are_runs_like_it(story: Story) -> None:
    curve, draws = drawn(synthetic_run(story, 3))
    assert abs(curve[-1] - draws[:, -1].mean()) < 0.02
    low, high = np.quantile(draws, (0.005, 0.995), axis=0)
    assert np.mean((low <= curve) & (curve <= high)) > 0.9


def test_nothing_lost_is_drawn_without_loss() -> None:
    curve, draws = drawn(synthetic_run(Story()))
    assert (curve == 1).all()
    assert (draws == 1).all()


def test_steady_forgetting_is_no_change_of_level() -> None:
    for story in (Story(forgetting=0.03), Story(lost_at_once=0.1)):
        assert alarms(story, 20, steady=True) <= 1
    # Other orders of the same points would not do.
    assert alarms(Story(forgetting=0.03), 20, steady=False) == 20


def test_a_loss_of_most_facts_at_once_is_one() -> None:
    run = synthetic_run(Story(forgetting=0.01), 1)
    checkpoints = [
        line.model_copy(
            update={
                "edited": {
                    name: [
                        value if at >= 150 or at % 5 == 0 else 0.0 for at, value in enumerate(kept)
                    ]
                    for name, kept in line.edited.items()
                }
            }
        )
        if line.edits > 150
        else line
        for line in run.checkpoints
    ]
    run = dataclasses.replace(run, checkpoints=checkpoints)
    points = retained(run, "es_exact", 10)
    draw = partial(steady_retention, run, "es_exact", points)
    found = change_point("retention", points, C, draw=draw)
    assert found is not None
    assert found.significant
    assert found.at is not None and abs(found.at - 150) <= 10
