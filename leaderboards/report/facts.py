"""Every fact of a run at a glance: what became of it, and when."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..analysis.journal import RunJournal
from ..analysis.records import Phase
from ..analysis.series import EXACT, first_of, followed, immediate
from .course import Told

Fate = Literal["kept", "lost", "missed"]
WIDTH = 1000
ROWS, LEVELS = 40, 5


class Strip(NamedTuple):
    """The facts of one fate, as a path of bars in a strip 1000 wide and 1 high."""

    fate: Fate
    facts: int
    path: str


class Mark(NamedTuple):
    """A place along a strip."""

    at: float
    """In percent of its width."""
    edit: int
    kind: Literal["collapse", "spike"]


@dataclass(frozen=True, slots=True)
class Ribbon:
    """A run from its first edit to its last."""

    strips: list[Strip]
    phases: list[tuple[Phase, float, float]]
    """Each with its place and width in percent."""
    marks: list[Mark]
    measured: bool
    """Whether facts were asked again, so that their fate is known."""


def fates(run: RunJournal) -> list[Fate] | None:
    """Return what became of each fact that was asked again at the last checkpoint.

    `kept` and `lost` are of facts learned exactly, `missed` those that never were.
    """
    name = first_of(run, EXACT)
    asked = followed(run, name) if name else []
    if name is None or not asked:
        return None
    done, now = asked[-1]
    return [
        ("kept" if works else "lost") if learned else "missed"
        for learned, works in zip(immediate(run, name)[:done], now, strict=True)
    ]


def ribbon(told: Told, longest: int) -> Ribbon:
    """Lay a run out as a strip; the longest of several runs has the whole width."""
    found = fates(told.run) or []
    strips = [
        Strip(
            fate,
            found.count(fate),
            _bars([at for at, each in enumerate(found) if each == fate], longest),
        )
        for fate in ("kept", "lost", "missed")
    ]
    return Ribbon(
        strips,
        [
            (
                phase,
                100 * (phase.first - 1) / longest,
                100 * (phase.last - phase.first + 1) / longest,
            )
            for phase in told.found.phases
        ],
        _marks(told, longest),
        bool(found),
    )


def _marks(told: Told, longest: int) -> list[Mark]:
    collapse = told.found.collapse.edit
    spikes = sorted(told.found.spikes, key=lambda spike: -spike.size)[:20]
    marks = [
        Mark(100 * (spike.edit - 0.5) / longest, spike.edit, "spike")
        for spike in spikes
        if spike.edit != collapse
    ]
    if collapse is not None:
        marks.append(Mark(100 * (collapse - 0.5) / longest, collapse, "collapse"))
    return marks


def _bars(places: list[int], longest: int) -> str:
    """Return bars at these places, neighbors joined.

    Example:
        >>> _bars([0, 1, 3], 4)
        'M0,0h500v1h-500zM750,0h250v1h-250z'
    """
    parts: list[list[int]] = []
    for place in places:
        if parts and parts[-1][1] == place:
            parts[-1][1] = place + 1
        else:
            parts.append([place, place + 1])
    each = WIDTH / longest
    return "".join(
        f"M{start * each:.4g},0h{(end - start) * each:.4g}v1h-{(end - start) * each:.4g}z"
        for start, end in parts
    )


@dataclass(frozen=True, slots=True)
class Triangle:
    """Which facts, from first to last, still work at which checkpoint: share by group of facts."""

    columns: int
    rows: int
    paths: list[str]
    """Cells of each level, from nothing left to everything left."""
    missed: str
    """Cells of facts none of which was ever learned."""
    edits: list[int]
    """Edits done at each column."""
    per_row: int
    """Facts in a row."""
    shares: list[list[float | None]]
    """By column and row; None where no fact of the row had been learned by then."""


def triangle(run: RunJournal) -> Triangle | None:
    """Return the triangle of a run; None where facts were asked again less than three times."""
    name = first_of(run, EXACT)
    asked = followed(run, name) if name else []
    if name is None or len(asked) < 3:
        return None
    step = math.ceil(len(asked) / ROWS)
    asked = asked[::-1][::step][::-1]
    learned = [bool(value) for value in immediate(run, name)]
    total = asked[-1][0]
    per_row = math.ceil(total / ROWS)
    rows = math.ceil(total / per_row)
    shares: list[list[float | None]] = []
    for done, now in asked:
        column: list[float | None] = []
        for row in range(rows):
            there = [
                at for at in range(row * per_row, min((row + 1) * per_row, done)) if learned[at]
            ]
            column.append(sum(now[at] for at in there) / len(there) if there else None)
        shares.append(column)
    edits = [done for done, _ in asked]
    paths, missed = [""] * LEVELS, ""
    for x, column in enumerate(shares):
        for y, share in enumerate(column):
            cell = f"M{x},{y}h1v1h-1z"
            if share is not None:
                paths[min(LEVELS - 1, int(share * LEVELS))] += cell
            elif y * per_row < edits[x]:
                missed += cell
    return Triangle(len(shares), rows, paths, missed, edits, per_row, shares)
