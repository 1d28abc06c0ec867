"""Rows of a comparison: editors, each with one set of hyper-parameters and all its samples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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

    @property
    def code(self) -> str | None:
        """Where the editor's code is: empty for ours, None where the run is no entry."""
        entry = self.run.entry
        return None if entry is None else entry.submission.card.code or ""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The runs of a row."""

    editor: str
    shown_hparams: dict[str, Any]
    """What tells it from other rows of this editor."""
    told_apart: str
    """Whose it is, or the run's name, where nothing else does."""
    members: list[Member]

    @property
    def label(self) -> str:
        """What the row is called."""
        return f"{self.editor} {self.differing}" if self.differing else self.editor

    @property
    def differing(self) -> str:
        """What tells it from other rows of this editor, in words."""
        words = [in_words(self.shown_hparams), f"({self.told_apart})" if self.told_apart else ""]
        return " ".join(filter(None, words))

    @property
    def teams(self) -> str:
        """Who made its runs, as far as they are entries."""
        entries = (each.run.entry for each in self.members)
        return ", ".join(dict.fromkeys(entry.submission.team for entry in entries if entry))

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


def group_runs(members: Sequence[Member]) -> list[Group]:
    """Put runs of one editor with the same hyper-parameters together.

    Editors of one name are the same where their code is, which entries say. A run that is no entry
    yet is taken for one of the editor that there is, where there is but one.

    Returns:
        The groups, by name.
    """
    codes: dict[str, set[str]] = {}
    for member in members:
        if (code := member.code) is not None:
            codes.setdefault(member.run.result.editor.name, set()).add(code)
    sets: dict[str, dict[tuple[str, str], list[Member]]] = {}
    for member in members:
        name = member.run.result.editor.name
        code, known = member.code, codes.get(name, set())
        if code is None:
            code = min(known) if len(known) == 1 else ""
        key = hparams_key(member.run.result), code
        sets.setdefault(name, {}).setdefault(key, []).append(member)
    groups = []
    for editor in sorted(sets):
        found = [alike for _, alike in sorted(sets[editor].items())]
        told = differing([alike[0].run.result.editor.hparams for alike in found])
        groups += [
            Group(editor, shown, "", alike) for shown, alike in zip(told, found, strict=True)
        ]
    return list(_named_apart(groups))


def _named_apart(groups: Sequence[Group]) -> Iterator[Group]:
    """Name groups with the same editor and settings by their teams, else by where the code is."""
    for group in groups:
        alike = [other for other in groups if other.label == group.label]
        if len(alike) == 1:
            yield group
        elif len({other.teams for other in alike}) == len(alike):
            yield replace(group, told_apart=group.teams or "no entry")
        else:
            yield replace(group, told_apart=group.members[0].code or "built in")


def split_repeats(groups: Iterable[Group]) -> tuple[list[Group], list[str]]:
    """Give runs of the same sample and seed, which are not two samples, a row each.

    Returns:
        The groups; and what was split.
    """
    split, notes = [], []
    for group in groups:
        draws = {(each.sample, each.run.result.seed) for each in group.members}
        if len(draws) == len(group.members):
            split.append(group)
            continue
        names = short_names([each.run.name for each in group.members])
        split += [
            replace(group, told_apart=name, members=[each])
            for name, each in zip(names, group.members, strict=True)
        ]
        notes.append(f"{group.editor}: several runs of the same sample and seed, a row each")
    return split, notes


def differing(hparams: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return of each the hyper-parameters in which they are not all alike."""
    told = [
        name
        for name in dict.fromkeys(name for each in hparams for name in sorted(each))
        if any(name not in each or each[name] != hparams[0].get(name) for each in hparams)
    ]
    return [{name: each[name] for name in told if name in each} for each in hparams]


def in_words(hparams: Mapping[str, Any]) -> str:
    """Return hyper-parameters as a name has them."""
    return " ".join(f"{name}={written(value)}" for name, value in hparams.items())


def written(value: object, most: int = 40) -> str:
    """Write a hyper-parameter, at no greater length.

    Example:
        >>> written([3, 4]), written("code"), written({"a": None})
        ('[3, 4]', 'code', '{"a": null}')
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 8]}…{text[-7:]}"


def short_names(names: Sequence[str]) -> list[str]:
    """Return the last part of each path, or all of it where last parts are equal."""
    last = [Path(name).name for name in names]
    return last if len(set(last)) == len(last) else list(names)
