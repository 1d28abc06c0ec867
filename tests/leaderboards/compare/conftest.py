"""Runs as they are read, made of nothing but numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from made_entries import entry_of
from seqedit_bench.leaderboards.compare import Run
from seqedit_bench.leaderboards.entry import Entry


@pytest.fixture(scope="session")
def make_entry() -> Callable[..., Entry]:
    return entry_of


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Run]:
    """Make a run as it is read from an entry; `bare=True` leaves only its result."""

    def make(editor: str = "rome", *, bare: bool = False, **given: Any) -> Run:
        entry = entry_of(editor, **given)
        if bare:
            return Run(f"{entry.run}.json", entry.result, None, missing="a result file has none")
        return Run(f"{entry.run}.json", entry.result, entry.series, entry)

    return make
