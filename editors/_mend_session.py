"""A training from its first step to its last, over any number of interruptions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..tasks.errors import InputError
from ._base import Progress
from ._mend_checkpoint import (
    Header,
    load_checkpoint,
    load_network,
    refuse_to_replace,
    save_checkpoint,
    training_path,
)
from ._mend_training import Scores, Trainer


class Trained(NamedTuple):
    """How a training ended."""

    path: Path
    """The best network, ready for use."""
    steps: int
    """Steps made in all."""
    best_step: int
    """The step with the best validation loss: its network is kept."""
    untrained: Scores
    """Validation before the first step."""
    best: Scores
    patience: bool
    """Whether it stopped because it got no better."""


def run_training(
    trainer: Trainer,
    *,
    path: Path,
    header: Header,
    steps: int,
    restart: bool,
    progress: Progress,
    note: Callable[[str], None],
) -> Trained:
    """Train up to a number of steps, going on from where an earlier call stopped.

    The best network so far is at `path`, the state beside it, both written whole or not at all.

    Args:
        trainer: Ready to go; the network is untrained.
        path: Where the trained network goes.
        header: What the file says of it.
        steps: Steps in all, those of earlier calls included.
        restart: Begin anew, whatever is there.
        progress: Told about steps.
        note: Told about validations.

    Raises:
        InputError: what lies at `path` comes from another training.
    """
    state = training_path(path)
    if restart or not (state.is_file() and path.is_file()):
        if not restart:
            refuse_to_replace(path)
        trainer.normalise(progress)
        scores = trainer.validate()
        note(f"untrained  {scores.text()}")
        standing = _Standing(scores, scores, 0)
        _save(path, state, trainer, header, standing, better=True)
    else:
        standing = _resume(state, trainer, header)
        note(f"going on from step {trainer.step_done} ({state})")
    settings = trainer.settings
    patience = False
    losses: list[float] = []
    while trainer.step_done < steps and not (patience := _tired(trainer, standing)):
        losses.append(trainer.step())
        progress("training", trainer.step_done, steps)
        if trainer.step_done % settings.validate_every and trainer.step_done < steps:
            continue
        scores = trainer.validate()
        note(f"step {trainer.step_done}  training {sum(losses) / len(losses):.3f}  {scores.text()}")
        losses = []
        better = scores.loss < standing.best.loss
        if better:
            standing = _Standing(standing.untrained, scores, trainer.step_done)
        _save(path, state, trainer, header, standing, better=better)
    return Trained(
        path, trainer.step_done, standing.best_step, standing.untrained, standing.best, patience
    )


class _Standing(NamedTuple):
    untrained: Scores
    best: Scores
    best_step: int


def _for_record(scores: Scores) -> dict[str, float | None]:
    """Return scores by name; what does not exist (ES without old targets) is None."""
    return {name: None if value != value else value for name, value in scores._asdict().items()}


def _tired(trainer: Trainer, standing: _Standing) -> bool:
    return trainer.step_done - standing.best_step >= trainer.settings.patience


def _save(
    path: Path, state: Path, trainer: Trainer, header: Header, standing: _Standing, *, better: bool
) -> None:
    network = trainer.network.state_dict()
    if better:
        provenance = {
            **header.provenance,
            "step": standing.best_step,
            "validation": _for_record(standing.best),
            "validation_untrained": _for_record(standing.untrained),
        }
        save_checkpoint(path, network, header.model_copy(update={"provenance": provenance}))
    tensors: dict[str, Tensor] = {f"network.{name}": value for name, value in network.items()}
    for index, values in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{key}": value for key, value in values.items()}
    training = {"step": trainer.step_done, **standing._asdict()}
    save_checkpoint(state, tensors, header.model_copy(update={"training": training}))


def _resume(state: Path, trainer: Trainer, header: Header) -> _Standing:
    tensors, found = load_checkpoint(state)
    if found.model_copy(update={"training": {}}) != header:
        raise InputError(
            f"{state} is a training with other settings, data or model: repeat its command to go "
            "on, or --restart to begin anew"
        )
    network = {
        name.removeprefix("network."): tensor
        for name, tensor in tensors.items()
        if name.startswith("network.")
    }
    load_network(trainer.network, network, state)
    adam: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".")
            adam.setdefault(int(index), {})[key] = tensor
    groups = trainer.optimiser.state_dict()["param_groups"]
    trainer.optimiser.load_state_dict({"state": adam, "param_groups": groups})
    trainer.step_done = int(found.training["step"])
    return _Standing(
        Scores(*found.training["untrained"]),
        Scores(*found.training["best"]),
        int(found.training["best_step"]),
    )
