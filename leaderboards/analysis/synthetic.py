"""Journals with a known answer: what the analysis must find, and must not find in noise."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .journal import CheckpointLine, EditLine, RunJournal, Values

MATRIX = "model.layers.3.mlp.down_proj.weight"
TASKS = ("sst2_gen", "mrpc_gen", "cola_gen", "rte_gen")


@dataclass(frozen=True, slots=True)
class Story:
    """What happens in a synthetic run."""

    num_edits: int = 300
    every: int = 10
    """Edits between checkpoints."""
    es: float = 0.95
    """Share of edits that work, before anything happens."""
    broken_at: int | None = None
    """From the edit after this one the model is broken: ES is a coin, earlier facts are lost,
    answers cannot be parsed."""
    recovers_at: int | None = None
    """From here on everything is as before."""
    spikes: Mapping[int, float] = field(default_factory=dict)
    """Edits with an update so many times the usual."""
    forgetting: float = 0.0
    """Chance that a fact is lost between two checkpoints, before anything happens."""
    lost_at_once: float = 0.0
    """Chance that a fact is gone at its first checkpoint already."""
    f1: float = 0.6
    noise: float = 0.3
    """Standard deviation of the logarithm of update norms."""
    decline: float = 0.0
    """Loss of F1 over the whole run."""


def synthetic_run(story: Story, seed: int = 0) -> RunJournal:
    """Make up the journal of a run.

    Args:
        story: What happens in it.
        seed: Of its noise.
    """
    draw = random.Random(seed)
    edits: list[EditLine] = []
    checkpoints = [_checkpoint(story, 0, [], draw, 0.0)]
    alive: list[bool] = []
    square = 0.0
    for number in range(1, story.num_edits + 1):
        broken = _broken(story, number - 1)
        worked = draw.random() < (0.5 if broken else story.es)
        exact = worked and not broken
        norm = draw.lognormvariate(0, story.noise) * story.spikes.get(number, 1.0)
        square += norm * norm
        edits.append(_edit(number, worked, exact, norm, square**0.5, draw))
        alive.append(exact and draw.random() >= story.lost_at_once)
        if number % story.every == 0:
            alive = [kept and draw.random() >= story.forgetting for kept in alive]
            checkpoints.append(_checkpoint(story, number, alive, draw, square**0.5))
    config = {
        "editor": {"name": "synthetic"},
        "model": {"name": "none"},
        "protocol": {"batch_size": 1},
    }
    return RunJournal(Path("synthetic"), config, edits, checkpoints, [], [], None)


def _broken(story: Story, done: int) -> bool:
    """Say whether the model is broken after so many edits."""
    if story.broken_at is None or done < story.broken_at:
        return False
    return story.recovers_at is None or done < story.recovers_at


def _edit(
    number: int, worked: bool, exact: bool, norm: float, distance: float, draw: random.Random
) -> EditLine:
    return EditLine(
        edit=number,
        case_id=1000 + number,
        relation_id=f"P{number % 7}",
        prompt="{} speaks",
        subject=f"Subject {number}",
        target_new=" French" if number % 2 else " Old Norse",
        target_true=" Danish",
        metrics={
            "es": float(worked),
            "es_exact": float(exact),
            "ps": draw.choice([0.5, 1.0, 1.0]),
            "ns": draw.choice([0.7, 0.8, 0.9]),
        },
        editor={"division_factor": 1 / norm},
        update_norm={MATRIX: norm},
        distance={MATRIX: distance},
    )


def _checkpoint(
    story: Story, done: int, alive: list[bool], draw: random.Random, distance: float
) -> CheckpointLine:
    broken = _broken(story, done)
    mean = story.f1 - story.decline * done / story.num_edits
    tasks: dict[str, Values] = {
        name: {
            "weighted_f1": 0.0 if broken else draw.gauss(mean, 0.02),
            "invalid": float(broken),
            "constant_f1": 1 / 3,
        }
        for name in TASKS
    }
    kept: list[float | None] = [float(each and not broken) for each in alive]
    return CheckpointLine(
        edits=done,
        edited={"es_exact": kept, "es": [*kept]} if done else {},
        tasks=tasks,
        distance={MATRIX: {"l2": distance, "l2_per_param": distance / 100, "l2_relative": 0.1}},
    )
