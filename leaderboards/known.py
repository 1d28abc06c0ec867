"""What entries are judged by: the versions of our suites, our own editors, models and data."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import RootModel

from .entry import MOST_LETTERS, Card
from .results import Count, Positive, Record, Result, SuiteInfo

SUITES = Path(__file__).with_name("suites.json")
OWN = Path(__file__).with_name("own.json")


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
    data_source: Literal["bundled", "hub"]
    """Where its data is by itself; of a suite for bundled data nowhere else."""
    single_edit: bool
    """Whether there are edits beside the sequence."""
    score: dict[str, list[str]]
    """Metrics whose harmonic mean is the score S, by family of edits."""
    smoothing: Literal["buckets", "sliding"]
    metrics: dict[str, list[str]]
    """What each task of ours among these gives, log-likelihoods aside."""


class Protocols(RootModel[dict[str, dict[int, Protocol]]]):
    """`suites.json`: protocols by name and version."""


class OwnEditor(Record):
    """What an editor or wrapper of this project says of itself, in one of its versions."""

    summary: str
    paper: str
    kind: Literal["weights", "hooks", "context"] | None
    """Null of a wrapper, which is of the kind of what it goes around."""
    needs: list[str]
    hparams: list[str]
    """Names of all hyper-parameters, sorted."""


class Own(Record):
    """`own.json`: what is this project's. Versions that were once in there stay, as for suites."""

    editors: dict[str, list[OwnEditor]]
    """Editors and wrappers, the present version last; all others need a link to their code."""
    files: dict[str, list[str]]
    """Digests that each file of the bundled data has had."""
    orders: dict[str, dict[str, list[list[int]]]]
    """Facts of the bundled edit streams by digest of their file, in the paper's ten orders."""


@dataclass(frozen=True, slots=True)
class Known:
    """What there is, for the referee."""

    suites: Mapping[str, Mapping[int, Protocol]]
    models: Mapping[str, Mapping[str, str]]
    """Models that their name alone identifies, with the digest of their weights by type; all others
    need a revision."""
    own: Own

    def protocol(self, suite: SuiteInfo) -> Protocol | None:
        """Return what a version of a suite asks, whatever its file is."""
        return self.suites.get(suite.name, {}).get(suite.version)

    def score(self, result: Result) -> list[str]:
        """Return the metrics whose harmonic mean is the score S of a result."""
        protocol = self.protocol(result.suite)
        return score_of(protocol.score, result.data.edits) if protocol else []

    def is_ours(self, editor: str) -> bool:
        """Return whether all of an editor, wrappers included, is this project's."""
        *wrappers, base = editor.split("+")
        return (
            base in self.own.editors
            and self.own.editors[base][-1].kind is not None
            and all(self.is_wrapper(each) for each in wrappers)
        )

    def is_wrapper(self, name: str) -> bool:
        """Return whether a name is that of a wrapper of this project."""
        return name in self.own.editors and self.own.editors[name][-1].kind is None

    def cards(self, editor: str) -> list[Card]:
        """Return the cards that an editor of ours has had, wrappers included, the present last."""
        outer, _, inner = editor.partition("+")
        versions = self.own.editors[outer]
        if not inner:
            return [
                Card.model_validate(
                    {**each.model_dump(exclude={"hparams"}), "name": outer, **_OURS}
                )
                for each in versions
            ]
        return [around(outer, each, card) for each in versions for card in self.cards(inner)]

    def listed(self) -> str:
        """Return the protocols in words."""
        return ", ".join(
            f"{name}@{version}" for name in sorted(self.suites) for version in self.suites[name]
        )


_OURS = {"code": None, "licence": None}


def around(wrapper: str, about: OwnEditor, card: Card) -> Card:
    """Return the card of a wrapper of ours around an editor; what is too long for it is cut.

    Raises:
        ValidationError: the name is too long.
    """
    made = {
        "name": f"{wrapper}+{card.name}",
        "summary": _cut(f"{about.summary}; around {card.name}: {card.summary}"),
        "paper": _cut("; ".join(each for each in (about.paper, card.paper) if each != "-")),
    }
    return Card.model_validate({**card.model_dump(), **made})


def _cut(text: str) -> str:
    return textwrap.shorten(text, MOST_LETTERS, placeholder=" …")


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


@cache
def known_own() -> Own:
    """Read `own.json`."""
    return Own.model_validate_json(OWN.read_text(encoding="utf-8"))
