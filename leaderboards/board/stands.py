"""Where an entry stands among those of a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .._one_line import one_line
from ..comparable import first_difference, protocol_key
from ..entry import Entry
from ..results import Result, ResultError
from .filed import Filed, read_entries
from .standings import standings


def where_it_stands(entry: Entry, folder: Path) -> str:
    """Return in one line which rank the row of an entry has, or why no other row is beside it.

    Args:
        entry: The entry; it need not be in the folder.
        folder: Entries of a leaderboard.
    """
    try:
        # A folder that is not there holds nothing.
        found = read_entries(folder) if any(folder.rglob("*.json")) else []
    except ResultError as error:
        return f"not known: {one_line(str(error))}"
    tables: dict[str, list[Filed]] = {}
    for each in found:
        if each.place != entry.place:
            tables.setdefault(protocol_key(each.entry.result), []).append(each)
    ours = Filed(entry, entry.place, "", folder / entry.place)
    (table,) = standings([*tables.pop(protocol_key(entry.result), ()), ours])
    if len(table.ranked) == 1:
        return f"alone: {one_line(_why_alone(entry.result, tables.values()))}"
    ranked = next(each for each in table.ranked if ours in each.row.runs)
    place = f"{ranked.row.label} is {ranked.text} of {len(table.ranked)} by S"
    return one_line(f"{place}, {table.title}: {table.asked}")


def _why_alone(result: Result, tables: Iterable[list[Filed]]) -> str:
    weights = result.model.weights_sha256
    on_it = [table for table in tables if table[0].entry.result.model.weights_sha256 == weights]
    if not on_it:
        return "no other editor is there on this model"
    largest = max(on_it, key=len)
    names = "this entry", f"{len(largest)} others on this model"
    return first_difference(result, largest[0].entry.result, names)
