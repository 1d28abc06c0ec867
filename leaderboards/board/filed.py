"""Entries as they lie in their folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..entry import MAX_BYTES, Entry, read_entry
from ..results import ResultError

_DEEPEST = 20
"""Levels of lists in lists: no setting needs as many."""


class Filed(NamedTuple):
    """An entry and its file."""

    entry: Entry
    place: str
    """Its path below the folder of entries, with forward slashes."""
    sha256: str
    """Digest of the file."""
    path: Path


def read_entries(folder: Path) -> list[Filed]:
    """Read all entries below a folder, in the order of their paths.

    Raises:
        ResultError: there is no such folder, no entry in it, or one that cannot be used.
    """
    if not folder.is_dir():
        raise ResultError(f"{folder}: no such folder of entries; `seqedit-bench submit` makes one")
    paths = sorted(
        (path.relative_to(folder).as_posix(), path)
        for path in folder.rglob("*.json")
        if path.is_file()
    )
    if not paths:
        raise ResultError(f"{folder}: no entries in it; `seqedit-bench submit` adds one")
    return [_filed(place, path) for place, path in paths]


def _filed(place: str, path: Path) -> Filed:
    entry = read_entry(path)
    for field, lengths in _lengths(entry):
        if len(set(lengths)) > 1:
            found = " and ".join(str(length) for length in dict.fromkeys(lengths))
            raise ResultError(f"{path}: field {field}: {found} values where there must be as many")
    free = (entry.result.editor.hparams, entry.result.editor.prepared, entry.result.provenance)
    if not all(_shallow(each) for each in free):
        raise ResultError(f"{path}: not an entry: settings or provenance nested too deeply")
    # The reader has refused what is larger.
    digest = hashlib.sha256(path.read_bytes()[: MAX_BYTES + 1]).hexdigest()
    return Filed(entry, place, digest, path)


def _shallow(value: Any) -> bool:
    """Return whether a value can be walked through by functions that call themselves."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return not level


def _lengths(entry: Entry) -> Iterator[tuple[str, Sequence[int]]]:
    """Yield lists that belong to each other, by name, as their lengths."""
    series, curves = entry.series, entry.result.curves
    edits = len(series.case_ids)
    yield "series.case_ids", (edits, entry.result.ending.edits_done)
    for name, values in series.immediate.items():
        yield f"series.immediate.{name}", (edits, len(values))
    for name, followed in series.retained.items():
        values = len(followed.values)
        yield f"series.retained.{name}", (followed.at, values, min(edits, values))
    for name, curve in curves.immediate.items():
        lengths = (len(curve.edits), len(curve.mean_5), len(curve.mean_50))
        yield f"curves.immediate.{name}", lengths
    for name, kept in curves.retention.items():
        lengths = (len(kept.edits), len(kept.instant), len(kept.sticky), len(kept.all_edits))
        yield f"curves.retention.{name}", lengths
    for name, task in curves.tasks.items():
        yield f"curves.tasks.{name}", (len(task.edits), *map(len, task.metrics.values()))
    for name, kinds in curves.distance.items():
        yield f"curves.distance.{name}", (len(curves.checkpoints), *map(len, kinds.values()))
