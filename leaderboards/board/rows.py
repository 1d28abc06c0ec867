"""The rows of the board: an editor with one set of hyper-parameters, over its samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import NamedTuple

import numpy as np

from ..analysis.records import Estimate
from ..entry import Card, Entry, slug
from .filed import Filed
from .measures import MEASURES, Measure
from .protocol import Protocol

_LONGEST = 60


class Survived(NamedTuple):
    """How many edits a run made before the model was broken."""

    edits: int
    collapsed: bool

    @property
    def text(self) -> str:
        """The number; with > where no collapse was seen.

        Example:
            >>> Survived(79, True).text, Survived(100, False).text
            ('79', '>100')
        """
        return f"{self.edits}" if self.collapsed else f">{self.edits}"


def survived(entry: Entry) -> Survived:
    """Return the edits before collapse, or before something was not finite, if that was earlier."""
    ending = entry.result.ending
    found = [at for at in (entry.collapse.edit, ending.collapsed_at) if at is not None]
    return Survived(min(found) - 1, True) if found else Survived(ending.edits_done, False)


@dataclass(frozen=True)
class Row:
    """Runs of one editor with one set of hyper-parameters under one protocol."""

    protocol: Protocol
    runs: tuple[Filed, ...]
    differing: str = ""
    """Hyper-parameters, or the team, that tell it from rows with the same name."""

    @property
    def entries(self) -> list[Entry]:
        """Its entries, in the order of samples and seeds."""
        return [run.entry for run in self.runs]

    @property
    def first(self) -> Entry:
        """The entry that speaks for what all have in common."""
        return self.runs[0].entry

    @property
    def editor(self) -> str:
        """Name of the editor."""
        return self.first.result.editor.name

    @property
    def label(self) -> str:
        """Name of the row, unique in its table."""
        return f"{self.editor}, {self.differing}" if self.differing else self.editor

    @property
    def card(self) -> Card:
        """What the editor is."""
        return self.first.submission.card

    @property
    def teams(self) -> str:
        """Who made its runs."""
        return ", ".join(dict.fromkeys(entry.submission.team for entry in self.entries))

    @property
    def papers(self) -> list[str]:
        """Links to what should be cited for its numbers."""
        found = (entry.submission.paper for entry in self.entries)
        return list(dict.fromkeys(link for link in found if link is not None))

    @cached_property
    def identity(self) -> str:
        """Twelve characters that stay when runs are added: permalinks are made of them."""
        text = json.dumps([self.protocol, _key(self.first)])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def page(self) -> str:
        """Name of its page."""
        return f"{slug(self.editor)[:_LONGEST]}-{self.identity}.html"

    @cached_property
    def numbers(self) -> dict[str, Estimate]:
        """Value and interval of every column."""
        return {measure.key: measure.estimate(self.entries) for measure in MEASURES}

    @cached_property
    def _draws(self) -> dict[str, np.ndarray]:
        return {measure.key: measure.draws(self.entries) for measure in MEASURES}

    def draws(self, measure: Measure) -> np.ndarray:
        """Return a column's value had other edits been drawn; empty where it has no such."""
        return self._draws[measure.key]

    @property
    def survived(self) -> list[Survived]:
        """Edits before collapse of each run."""
        return [survived(entry) for entry in self.entries]

    @property
    def survived_text(self) -> str:
        """The shortest and the longest of them."""
        ordered = sorted(self.survived, key=lambda each: (each.edits, not each.collapsed))
        texts = list(dict.fromkeys((ordered[0].text, ordered[-1].text)))
        return " to ".join(texts)

    @property
    def survived_value(self) -> float:
        """What rows are ordered by: the mean; one edit more where no collapse was seen."""
        return fmean(each.edits + (not each.collapsed) for each in self.survived)

    @property
    def edits(self) -> str:
        """How many edits its runs made."""
        done = sorted({entry.result.ending.edits_done for entry in self.entries})
        shown = f"{done[0]}" if len(done) == 1 else f"{done[0]}-{done[-1]}"
        asked = self.protocol.num_edits
        return shown if done == [asked] else f"{shown} of {asked}"


def _key(entry: Entry) -> tuple[str, str, str]:
    """Return what makes runs replicates of each other: editor, its code's place, its settings."""
    editor = entry.result.editor
    settings = json.dumps(editor.hparams, sort_keys=True)
    return editor.name, entry.submission.card.code or "", settings


def rows_of(protocol: Protocol, filed: Sequence[Filed]) -> list[Row]:
    """Group entries of one protocol into rows, and name these apart."""
    groups: dict[tuple[str, str, str], list[Filed]] = {}
    for each in filed:
        groups.setdefault(_key(each.entry), []).append(each)
    rows = [Row(protocol, tuple(sorted(group, key=_order))) for _, group in sorted(groups.items())]
    named: list[Row] = []
    for row in rows:
        alike = [other for other in rows if other.editor == row.editor]
        named.append(Row(protocol, row.runs, _differing(row, alike)) if len(alike) > 1 else row)
    return named


def _order(filed: Filed) -> tuple[int, int, str]:
    result = filed.entry.result
    return result.data.sample, result.seed, filed.place


def _differing(row: Row, alike: Sequence[Row]) -> str:
    """Return the settings in which rows of one editor differ; else the team, else the code."""
    settings = [_settings(other) for other in alike]
    own = _settings(row)
    names = [
        name
        for name in dict.fromkeys(name for each in settings for name in each)
        if len({each.get(name) for each in settings}) > 1
    ]
    said = ", ".join(f"{name}={own[name]}" for name in names if name in own)
    same = [other for other in alike if _settings(other) == own]
    if len(same) > 1:
        teams = {other.teams for other in same}
        who = row.teams if len(teams) == len(same) else row.card.code or "built in"
        said = ", ".join(part for part in (said, who) if part)
    return said or "defaults"


def _settings(row: Row) -> dict[str, str]:
    hparams = row.first.result.editor.hparams
    return {name: written(value) for name, value in sorted(hparams.items())}


def written(value: object, most: int = 200) -> str:
    """Write a hyper-parameter, at no greater length.

    Example:
        >>> written([3, 4]), written("code"), written({"a": None})
        ('[3, 4]', 'code', '{"a": null}')
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-most // 2 :]}"
