"""Retention of runs in which nothing happens but that facts grow old.

Instant retention is a share of all facts so far. Where facts are forgotten at a steady rate it
falls all the same, and its points cannot be put into another order: whether it changes at some edit
is not a question for permutations. What is steady is a fact's fate by its age.
"""

from __future__ import annotations

import numpy as np

from .journal import RunJournal
from .series import Points, followed, success


def steady_retention(
    run: RunJournal, criterion: str, points: Points, generator: np.random.Generator, draws: int
) -> np.ndarray:
    """Draw retention curves of runs in which a fact's fate depends on its age alone.

    The chance that a fact works at a checkpoint is the run's own share for facts of the same age,
    in checkpoints, which worked, or did not, at the checkpoint before.

    Args:
        run: The run.
        criterion: What a fact is asked for, such as `es_exact`.
        points: The curve of the run: the checkpoints to draw.
        generator: Randomness.
        draws: Curves to draw.

    Returns:
        (draws, points) Instant retention.
    """
    asked = followed(run, criterion)
    learned = np.array([success(line.metrics.get(criterion)) > 0 for line in run.edits])
    ends = [done for done, _ in asked]
    # Facts made since the checkpoint before share their age.
    cohort = np.searchsorted(ends, np.arange(1, len(run.edits) + 1))
    size = np.array([int(learned[cohort == at].sum()) for at in range(len(asked))])
    kept, lost = _chances(asked, learned, cohort)

    alive = np.zeros((draws, len(asked)), dtype=np.int64)
    curves = np.zeros((draws, len(asked)))
    for now in range(len(asked)):
        ages = now - np.arange(now + 1)
        before = alive[:, : now + 1].copy()
        # A new fact worked right after it was made.
        before[:, now] = size[now]
        alive[:, : now + 1] = generator.binomial(before, kept[ages]) + generator.binomial(
            size[: now + 1] - before, lost[ages]
        )
        curves[:, now] = alive.sum(axis=1) / max(1, size[: now + 1].sum())
    return curves[:, [ends.index(done) for done in points.edits]]


def _chances(
    asked: list[tuple[int, list[bool]]], learned: np.ndarray, cohort: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return by age the chance to work, of facts that did and that did not one checkpoint before.

    Where no fact tells, what worked does and what did not does not.
    """
    works, total = np.zeros((2, len(asked))), np.zeros((2, len(asked)))
    before = learned.copy()
    for now, (done, answers) in enumerate(asked):
        working = np.array(answers)
        for was in (0, 1):
            at = np.flatnonzero(learned[:done] & (before[:done] == bool(was)))
            ages = now - cohort[at]
            np.add.at(works[was], ages, working[at])
            np.add.at(total[was], ages, 1)
        before[:done] = working
    shares = np.divide(works, total, out=np.zeros_like(works), where=total > 0)
    return np.where(total[1] > 0, shares[1], 1.0), shares[0]
