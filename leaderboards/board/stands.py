"""Where an entry stands among those of a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..comparable import protocol_key
from ..entry import Entry
from ..results import ResultError
from .filed import Filed, read_entries
from .protocol import protocol_parts
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
        return f"not known: {error}"
    others = [each for each in found if each.place != entry.place]
    ours = Filed(entry, entry.place, "", folder / entry.place)
    key = protocol_key(entry.result)
    (table,) = standings([*(x for x in others if protocol_key(x.entry.result) == key), ours])
    if len(table.ranked) == 1:
        return f"alone: {_why_alone(entry, others)}"
    ranked = next(each for each in table.ranked if ours in each.row.runs)
    return (
        f"{ranked.row.label} is {ranked.text} of {len(table.ranked)} by S, {table.title}: "
        f"{table.asked}"
    )


def _why_alone(entry: Entry, others: Sequence[Filed]) -> str:
    """Return what tells an entry from most others on the same model."""
    result = entry.result
    weights = result.model.weights_sha256
    tables = Counter(
        protocol_key(each.entry.result)
        for each in others
        if each.entry.result.model.weights_sha256 == weights
    )
    tables.pop(protocol_key(result), None)  # other samples of its own row
    if not tables:
        return "no other editor is there on this model"
    ((key, count),) = tables.most_common(1)
    theirs = next(x.entry.result for x in others if protocol_key(x.entry.result) == key)
    here, there = protocol_parts(result), protocol_parts(theirs)
    part = next(name for name in here if here[name] != there[name])
    return (
        f'its "{part}" is {here[part]}; that of {count} other entries on this model is '
        f"{there[part]}"
    )
