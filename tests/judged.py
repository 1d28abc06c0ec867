"""Folders of entries, and what the referee says of them."""

from __future__ import annotations

from pathlib import Path

from seqedit_bench.benchmark.protocols import known
from seqedit_bench.leaderboards.entry import Entry
from seqedit_bench.leaderboards.referee import Problem, validate


def add(board: Path, entry: Entry) -> Path:
    """Put an entry where it belongs in a leaderboard."""
    path = board / "entries" / entry.place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(entry.to_json(), encoding="utf-8")
    return board


def problems(board: Path) -> list[Problem]:
    """Return all that is wrong with a leaderboard."""
    return validate(board, known()).problems


def fields(board: Path) -> set[str]:
    """Return the fields that something is wrong with."""
    return {problem.field for problem in problems(board)}
