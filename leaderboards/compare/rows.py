"""Rows of a comparison: editors, each with one set of hyper-parameters and all its samples."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..canonical import rounded
from .sources import Run, hparams_key

CONTROL = "none"
"""The editor that does not edit."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A run of a row, and how much of it is looked at."""

    run: Run
    edits: int

    @property
    def sample(self) -> int:
        """Which of the edit orders."""
        return self.run.result.data.sample


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The runs of a row."""

    editor: str
    shown_hparams: dict[str, Any]
    """What tells it from other rows of this editor."""
    told_apart: str
    """The run's name, where nothing else does."""
    members: list[Member]

    @property
    def label(self) -> str:
        """What the row is called."""
        hparams = (f"{name}={_short(value)}" for name, value in self.shown_hparams.items())
        return " ".join(
            [self.editor, *hparams, *([f"({self.told_apart})"] * bool(self.told_apart))]
        )

    @property
    def is_control(self) -> bool:
        """Whether this is the unedited model."""
        return self.editor == CONTROL

    @property
    def samples(self) -> list[int]:
        """The edit orders of its runs."""
        return sorted({member.sample for member in self.members})

    def by_sample(self) -> list[list[Member]]:
        """Return the runs of each sample; they differ in their seeds."""
        return [[each for each in self.members if each.sample == at] for at in self.samples]


def group_runs(members: Sequence[Member]) -> tuple[list[Group], list[str]]:
    """Put runs of one editor with the same hyper-parameters together.

    Two runs of the same sample and seed are not two samples: such runs get a row each.

    Returns:
        The groups, by name; and what was not put together.
    """
    sets: dict[str, dict[str, list[Member]]] = {}
    for member in members:
        of_editor = sets.setdefault(member.run.result.editor.name, {})
        of_editor.setdefault(hparams_key(member.run.result), []).append(member)
    groups, notes = [], []
    for editor in sorted(sets):
        keys = sorted(sets[editor])
        differing = _differing([sets[editor][key][0].run for key in keys])
        for key, shown in zip(keys, differing, strict=True):
            found = sets[editor][key]
            draws = {(each.sample, each.run.result.seed) for each in found}
            if len(draws) == len(found):
                groups.append(Group(editor, shown, "", found))
                continue
            names = _short_names([each.run.name for each in found])
            groups += [
                Group(editor, shown, name, [each]) for name, each in zip(names, found, strict=True)
            ]
            notes.append(f"{editor}: several runs of the same sample and seed, a row each")
    return groups, notes


def _differing(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Return of each run the hyper-parameters in which they are not all alike."""
    hparams = [rounded(run.result.editor.hparams) for run in runs]
    names = dict.fromkeys(name for each in hparams for name in each)
    told = [
        name for name in names if any(each.get(name) != hparams[0].get(name) for each in hparams)
    ]
    return [{name: each.get(name) for name in told} for each in hparams]


def _short(value: Any) -> str:
    """Return a hyper-parameter as it is shown.

    Example:
        >>> _short([1, 2]), _short(0.5), _short("text")
        ('[1,2]', '0.5', 'text')
    """
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return text if len(text) <= 40 else f"{text[:30]}...{text[-7:]}"


def _short_names(names: Sequence[str]) -> list[str]:
    """Return the last part of each path, or all of it where last parts are equal."""
    last = [Path(name).name for name in names]
    return last if len(set(last)) == len(last) else list(names)
