"""The rows of the board: groups of runs as `compare` has them, with what entries say besides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from ..analysis.records import Estimate
from ..comparable import protocol_key
from ..compare.estimates import Estimates
from ..compare.metrics import Metric, catalogue
from ..compare.rows import Group, Member, group_runs
from ..compare.sources import Run, hparams_key
from ..compare.values import Survived, survived
from ..entry import Card, Entry, slug
from .filed import Filed
from .measures import MEASURES, Measure

_LONGEST = 60
SURVIVED = "collapse"


@dataclass(frozen=True, eq=False)
class Row:
    """Runs of one editor with one set of hyper-parameters under one protocol."""

    group: Group
    runs: tuple[Filed, ...]
    known: Estimates
    """Of all rows of the table."""
    metrics: Mapping[str, Metric]
    """What the columns show that the table has, by their keys."""

    @property
    def entries(self) -> list[Entry]:
        """Its entries, in the order of samples and seeds."""
        return [run.entry for run in self.runs]

    @property
    def run_names(self) -> list[str]:
        """What its runs are called: by sample, and by seed where there are several."""
        results = [entry.result for entry in self.entries]
        seeds = len({result.seed for result in results}) > 1
        return [
            f"sample {result.data.sample}{f', seed {result.seed}' if seeds else ''}"
            for result in results
        ]

    @property
    def first(self) -> Entry:
        """The entry that speaks for what all have in common."""
        return self.runs[0].entry

    @property
    def editor(self) -> str:
        """Name of the editor."""
        return self.group.editor

    @property
    def differing(self) -> str:
        """Hyper-parameters, or the team, that tell it from rows with the same name."""
        return self.group.differing

    @property
    def label(self) -> str:
        """Name of the row, unique in its table."""
        return self.group.label

    @property
    def card(self) -> Card:
        """What the editor is."""
        return self.first.submission.card

    @property
    def teams(self) -> str:
        """Who made its runs."""
        return self.group.teams

    @property
    def papers(self) -> list[str]:
        """Links to what should be cited for its numbers."""
        found = (entry.submission.paper for entry in self.entries)
        return list(dict.fromkeys(link for link in found if link is not None))

    @cached_property
    def identity(self) -> str:
        """Twelve characters that stay when runs are added: permalinks are made of them."""
        result = self.first.result
        parts = [protocol_key(result), self.editor, self.card.code, hparams_key(result)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    @property
    def page(self) -> str:
        """Name of its page."""
        return f"{slug(self.editor)[:_LONGEST]}-{self.identity}.html"

    @cached_property
    def numbers(self) -> dict[str, Estimate]:
        """Value and interval of every column."""
        return {measure.key: self._number(measure.key) for measure in MEASURES}

    def _number(self, key: str) -> Estimate:
        metric = self.metrics.get(key)
        return self.known.number(self.group, metric) if metric else Estimate(value=None)

    def of_run(self, at: int, measure: Measure) -> float | None:
        """Return what a column would show of one of its runs."""
        metric = self.metrics.get(measure.key)
        return self.known.of_run(self.group.members[at], metric) if metric else None

    def difference(self, other: Row, measure: Measure) -> Estimate:
        """Return what this row has more than another one of its table."""
        metric = self.metrics.get(measure.key)
        if metric is None:
            return Estimate(value=None)
        return self.known.difference(self.group, other.group, metric)

    def unedited(self, names: Sequence[str]) -> float | None:
        """Return what the unedited model has of the first of these metrics, the mean over runs."""
        baselines = [entry.result.summary.baseline for entry in self.entries]
        found = [
            next((known[name] for name in names if name in known), None) for known in baselines
        ]
        known = [value for value in found if value is not None]
        return fmean(known) if known else None

    @cached_property
    def survived(self) -> list[Survived]:
        """Edits before collapse of each run."""
        found = (survived(each.run, each.edits) for each in self.group.members)
        return [each for each in found if each is not None]

    @property
    def survived_text(self) -> str:
        """The shortest and the longest of them."""
        ordered = sorted(self.survived, key=lambda each: (each.edits, not each.collapsed))
        return " to ".join(dict.fromkeys((ordered[0].text, ordered[-1].text)))

    @cached_property
    def survived_value(self) -> float | None:
        """What rows are ordered by: the mean."""
        return self._number(SURVIVED).value

    @property
    def edits(self) -> str:
        """How many edits its runs made."""
        done = sorted({each.edits for each in self.group.members})
        shown = f"{done[0]}" if len(done) == 1 else f"{done[0]}-{done[-1]}"
        asked = self.first.result.protocol.num_edits
        return shown if done == [asked] else f"{shown} of {asked}"


def rows_of(filed: Sequence[Filed]) -> list[Row]:
    """Group entries of one protocol into rows, and name these apart."""
    runs = {
        Run(each.place, each.entry.result, each.entry.series, each.entry): each
        for each in sorted(filed, key=_order)
    }
    members = [Member(run, run.result.ending.edits_done) for run in runs]
    groups = group_runs(members)
    known = catalogue(runs)
    metrics = {each.key: found for each in MEASURES if (found := each.metric(known))}
    metrics[SURVIVED] = known["collapse"]
    estimates = Estimates(groups, metrics.values())
    return [
        Row(group, tuple(runs[each.run] for each in group.members), estimates, metrics)
        for group in groups
    ]


def _order(filed: Filed) -> tuple[int, int, str]:
    result = filed.entry.result
    return result.data.sample, result.seed, filed.place
