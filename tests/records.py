"""Records that tests begin with, and how they are changed by the path of a field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent / "leaderboards" / "result.json"
"""A small result by hand."""


def example() -> dict[str, Any]:
    """Return the example decoded, to be changed at will."""
    return json.loads(EXAMPLE.read_text(encoding="utf-8"))


def put(record: dict[str, Any], path: str, value: Any) -> None:
    """Set a value by its path, whose keys are parted by `__`, by `/` or by dots."""
    between = next((mark for mark in ("__", "/") if mark in path), ".")
    *parents, last = path.split(between)
    place: Any = record
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    place[int(last) if isinstance(place, list) else last] = value


def changed(record: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Set values by their paths, and return the record."""
    for path, value in changes.items():
        put(record, path, value)
    return record


def sha(text: str) -> str:
    """Return what stands for a file's digest."""
    return hashlib.sha256(text.encode()).hexdigest()
