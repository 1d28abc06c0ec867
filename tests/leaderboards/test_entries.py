"""Every entry that is committed, by the referee's rules; and one that was just made."""

from __future__ import annotations

from pathlib import Path

import pytest

from made_run import made_entry
from seqedit_bench.benchmark.protocols import known
from seqedit_bench.leaderboards.entry import ENTRIES
from seqedit_bench.leaderboards.referee import Validated, validate

COMMITTED = sorted(path.relative_to(ENTRIES).as_posix() for path in ENTRIES.rglob("*.json"))


@pytest.fixture(scope="module")
def judged() -> Validated:
    return validate(ENTRIES, known())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of entries that are made here: the rules are tried though none were committed."""
    folder = tmp_path_factory.mktemp("board")
    for sample in (1, 2):
        entry = made_entry(folder / f"run{sample}", sample=sample)
        path = folder / "entries" / entry.place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(entry.to_json(), encoding="utf-8")
    return folder / "entries"


@pytest.mark.parametrize("name", COMMITTED)
def test_committed_entry_is_good(name: str, judged: Validated) -> None:
    assert name in judged.entries
    assert [str(each) for each in judged.problems if each.file == name] == []


def test_nothing_else_is_there(judged: Validated) -> None:
    assert list(judged.entries) == COMMITTED
    assert judged.problems == []


def test_the_rules_hold_for_entries_that_are_made_here(made: Path) -> None:
    judged = validate(made, known())
    assert (len(judged.entries), judged.problems) == (2, [])
    spoilt = next(made.rglob("*.json"))
    spoilt.write_text(spoilt.read_text(encoding="utf-8") + " ")
    assert [each.field for each in validate(made, known()).problems] == ["file"]
