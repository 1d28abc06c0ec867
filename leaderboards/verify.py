"""An entry held against the run it was made of, check by check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from .differences import Difference
from .entry import Entry
from .known import Known
from .recompute import (
    CONFIG,
    FROM_CONFIG,
    Ran,
    found_again,
    recomputed,
    seconds,
    series_and_collapse,
)
from .referee.folder import entry_problems
from .show import plain

_SHOWN = 5
"""Differences of one check that the table shows."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    what: str
    against: str
    """What it was held against."""
    differs: Sequence[str] = ()
    """Where it is not the same: field and both values."""
    note: str = ""
    """What should be known though nothing is wrong."""


def of_entry(entry: Entry, known: Known) -> Check:
    """Check that an entry agrees with itself and with the rules."""
    found = [str(problem) for problem in entry_problems(entry, known)]
    return Check("the entry", "itself", found)


def of_run(entry: Entry, ran: Ran) -> Iterator[Check]:
    """Check an entry against a run's journal, whatever the run's own result says.

    Args:
        entry: The entry.
        ran: The run.

    Raises:
        ResultError: the journal lacks what a result is computed from.
    """
    again = recomputed(ran)
    stored, made = (each.model_dump(mode="json") for each in (entry.result, again))
    for part in stored:
        if part == "schema_version":
            continue
        where = CONFIG if part in _FROM_CONFIG else _AGAINST.get(part, "the journal")
        found = found_again({part: stored[part]}, {part: made[part]})
        yield Check(_NAMES.get(part, part), where, _told(found, "result."))
    differ = [f"result.{each}" for each in seconds(ran, entry.result.cost, "the entry")]
    yield Check("seconds", "the journal", differ)
    series, collapse = series_and_collapse(ran)
    for what, one, other in (
        ("values of single edits", entry.series, series),
        ("collapse", entry.collapse, collapse),
    ):
        prefix = "series." if one is entry.series else "collapse."
        found = found_again(one.model_dump(mode="json"), other.model_dump(mode="json"))
        yield Check(what, "the journal", _told(found, prefix))


_AGAINST = {"journal_sha256": "the files' digests", "cost": "leaderboard.json"}
_NAMES = {"journal_sha256": "journal"}
_FROM_CONFIG = {*FROM_CONFIG, "provenance"}


def _told(found: Sequence[Difference], prefix: str) -> list[str]:
    return [f"{prefix}{each.key} is {each.then!r}, and is {each.now!r} there" for each in found]


def checks_table(checks: Sequence[Check]) -> Group:
    """Show checks, one a line, and below it what differs."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("checked", "against", "outcome"):
        table.add_column(heading, overflow="fold")
    for check in checks:
        differ = f"{len(check.differs)} differ" if check.differs else ""
        outcome = "; ".join(part for part in (differ, check.note) if part) or "same"
        table.add_row(plain(check.what), plain(check.against), plain(outcome))
    told: list[Text] = []
    for check in checks:
        told += [plain(text) for text in check.differs[:_SHOWN]]
        if (more := len(check.differs) - _SHOWN) > 0:
            told.append(plain(f"{check.what}: and {more} more"))
    return Group(table, *told)
