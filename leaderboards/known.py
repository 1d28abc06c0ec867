"""What entries are judged by: the versions of our suites, models with a name, our own editors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import RootModel

from .results import Count, Positive, Record, Result, SuiteInfo

SUITES = Path(__file__).with_name("suites.json")


class Protocol(Record):
    """One version of a suite; what it asks never changes."""

    sha256: str
    """Digest of the suite file."""
    num_edits: Positive
    """Length of a run; a longer one is allowed, a shorter one is not."""
    baseline_records: Count
    each_edit: list[str]
    checkpoint: dict[str, Positive]
    start_end: list[str]
    single_edit: bool
    """Whether there are edits beside the sequence."""
    score: dict[str, list[str]]
    """Metrics whose harmonic mean is the score S, by family of edits."""
    smoothing: Literal["buckets", "sliding"]
    metrics: dict[str, list[str]]
    """What each task of ours among these gives, log-likelihoods aside."""


class Protocols(RootModel[dict[str, dict[int, Protocol]]]):
    """`suites.json`: protocols by name and version."""


@dataclass(frozen=True, slots=True)
class Known:
    """What there is, for the referee."""

    suites: Mapping[str, Mapping[int, Protocol]]
    models: frozenset[str]
    """Models that their name alone identifies; all others need a revision."""
    editors: frozenset[str]
    """Editors and wrappers of this project; all others need a link to their code."""

    def protocol(self, suite: SuiteInfo) -> Protocol | None:
        """Return what a version of a suite asks, whatever its file is."""
        return self.suites.get(suite.name, {}).get(suite.version)

    def score(self, result: Result) -> list[str]:
        """Return the metrics whose harmonic mean is the score S of a result."""
        protocol = self.protocol(result.suite)
        return score_of(protocol.score, result.data.edits) if protocol else []

    def is_ours(self, editor: str) -> bool:
        """Return whether all of an editor, wrappers included, is this project's."""
        return set(editor.split("+")) <= self.editors

    def listed(self) -> str:
        """Return the protocols in words."""
        return ", ".join(
            f"{name}@{version}" for name in sorted(self.suites) for version in self.suites[name]
        )


def score_of(score: Mapping[str, list[str]], stream: str) -> list[str]:
    """Return a suite's score metrics for an edit stream, which is named after its family.

    Example:
        >>> score_of({"counterfact": ["es"], "zsre": ["efficacy"]}, "counterfact-edits")
        ['es']
    """
    return score.get(stream, score.get(stream.partition("-")[0], []))


@cache
def known_suites() -> Mapping[str, Mapping[int, Protocol]]:
    """Read `suites.json`."""
    return Protocols.model_validate_json(SUITES.read_text(encoding="utf-8")).root
