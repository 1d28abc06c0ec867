"""Entries as they lie in their folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from pathlib import Path
from typing import NamedTuple

from .._files import file_sha256
from ..entry import Entry, read_entry
from ..results import Curves, ResultError
from ..series import misfits


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
    done = entry.result.ending.edits_done
    for field, *lengths in (*misfits(entry.series, done), *_uneven(entry.result.curves)):
        found = " and ".join(str(length) for length in dict.fromkeys(lengths))
        raise ResultError(f"{path}: field {field}: {found} values where there must be as many")
    return Filed(entry, place, file_sha256(path), path)


def _uneven(curves: Curves) -> Iterator[tuple[str | int, ...]]:
    """Yield curves whose lists are not of one length: the name, and the lengths."""
    lists: dict[str, Sequence[Sized]] = {}
    for name, curve in curves.immediate.items():
        lists[f"immediate.{name}"] = (curve.edits, curve.mean_5, curve.mean_50)
    for name, kept in curves.retention.items():
        lists[f"retention.{name}"] = (kept.edits, kept.instant, kept.sticky, kept.all_edits)
    for name, task in curves.tasks.items():
        lists[f"tasks.{name}"] = (task.edits, *task.metrics.values())
    for name, kinds in curves.distance.items():
        lists[f"distance.{name}"] = (curves.checkpoints, *kinds.values())
    for name, each in lists.items():
        lengths = list(map(len, each))
        if len(set(lengths)) > 1:
            yield f"curves.{name}", *lengths
