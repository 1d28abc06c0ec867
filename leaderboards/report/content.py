"""What a report says of each run: its verdict, its key numbers, the edits to look at."""

from __future__ import annotations

from dataclasses import dataclass

from ..analysis.records import OverwritingSummary
from ..analysis.series import EXACT, downstream, efficacy, first_of, retained
from ..analysis.show import interval, place, verdict
from ..show import number, percent
from .course import Told
from .facts import Ribbon, Triangle, ribbon, triangle
from .tables import Table, provenance_table
from .worst import WorstEdit, Written, worst_edits, written

_LISTED = 40


@dataclass(frozen=True, slots=True)
class Card:
    """A run in the report."""

    index: int
    label: str
    sentence: str
    """The finding, to stand behind the name."""
    verdict: str
    collapse_edit: int | None
    ribbon: Ribbon
    strip_text: str
    """What the strip shows, in words."""
    numbers: list[tuple[str, str]]
    worst: list[WorstEdit]
    written: list[Written]
    overwritten: Table | None
    overwritten_note: str
    provenance: Table


def card(at: int, told: Told, longest: int) -> Card:
    """Put together what is said of a run."""
    found = told.found
    strip = ribbon(told, longest)
    numbers = _numbers(told)
    return Card(
        index=at,
        label=told.label,
        sentence=_sentence(told, numbers),
        verdict=str(verdict(found)),
        collapse_edit=found.collapse.edit,
        ribbon=strip,
        strip_text=f"{told.label}: of {sum(each.facts for each in strip.strips)} facts "
        + ", ".join(f"{each.facts} {each.fate}" for each in strip.strips),
        numbers=numbers,
        worst=worst_edits(told.run, found),
        written=written(told.run),
        overwritten=_overwritten(found.overwriting) if found.overwriting else None,
        overwritten_note=_overwritten_note(found.overwriting) if found.overwriting else "",
        provenance=provenance_table(told),
    )


def _numbers(told: Told) -> list[tuple[str, str]]:
    run, found = told.run, told.found
    numbers = []
    es = efficacy(run)
    if es:
        numbers.append(("ES", f"{percent(sum(es) / len(es))} %"))
    if name := first_of(run, EXACT):
        points = retained(run, name)
        if points.values:
            numbers.append(("kept", f"{percent(points.values[-1])} %"))
    asked = downstream(run.checkpoints, found.constants.headroom)
    if asked and asked.unedited is not None:
        numbers.append(("F1", f"{percent(asked.unedited)} to {percent(asked.points.values[-1])}"))
    numbers.append(("spikes", str(len(found.spikes))))
    return numbers


def _sentence(told: Told, numbers: list[tuple[str, str]]) -> str:
    """Say what happened."""
    collapse, known = told.found.collapse, dict(numbers)
    if collapse.kind == "catastrophic":
        text = f"breaks the model with edit {collapse.edit}"
    elif collapse.kind == "gradual":
        text = f"breaks the model near {place(collapse)}, and no single update explains it"
    else:
        text = f"does not break it in {told.found.edits} edits"
    rest = []
    if "kept" in known:
        rest.append(f"{known['kept']} of what was learned is still there at the end")
    if "F1" in known:
        rest.append(f"downstream F1 went from {known['F1']}")
    return f"{text}; {', '.join(rest)}." if rest else f"{text}."


def _overwritten(found: OverwritingSummary) -> Table | None:
    if not found.lost:
        return None
    rows = [
        [
            f"edit {each.lost_edit}: {each.lost}",
            f"{each.last_kept + 1} to {each.found_lost}",
            f"edit {each.by_edit}: {each.by}" if each.by_edit else "-",
            each.reason,
            number(each.score),
        ]
        for each in found.lost[:_LISTED]
    ]
    headings = ["lost fact", "lost between edits", "likeliest cause", "why", "score"]
    return Table("Which edit overwrote which", headings, rows)


def _overwritten_note(found: OverwritingSummary) -> str:
    how = (
        "Causes are guessed from words in common and the relation; `analyze --keys` compares keys."
        if found.measure == "text"
        else "Causes are the edits whose update answers most to the lost fact's key."
    )
    return (
        f"{how} Edits of the fact's own relation are {interval(found.relation_share_lost)} % of "
        f"those made while a fact was lost, and {interval(found.relation_share_kept)} % of those "
        "made while one was kept."
    )


@dataclass(frozen=True, slots=True)
class ShownTriangle:
    """A triangle with its name."""

    index: int
    label: str
    text: str
    cells: Triangle

    def for_script(self) -> dict[str, object]:
        """Return what the script needs to follow a pointer."""
        return {
            "edits": self.cells.edits,
            "rows": self.cells.rows,
            "per_row": self.cells.per_row,
            "shares": [
                [None if share is None else round(share, 3) for share in column]
                for column in self.cells.shares
            ],
        }


def shown_triangle(at: int, told: Told) -> ShownTriangle | None:
    """Return the triangle of a run, if there is one."""
    cells = triangle(told.run)
    if cells is None:
        return None
    last = [share for share in cells.shares[-1] if share is not None]
    there = f"{percent(sum(last) / len(last))} % are there at the end" if last else "none learned"
    text = f"{told.label}: facts in {cells.rows} rows, {len(cells.edits)} checkpoints; {there}"
    return ShownTriangle(at, told.label, text, cells)
