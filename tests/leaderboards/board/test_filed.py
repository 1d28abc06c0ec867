"""Entries as files: found, and refused where they cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.board.choose import Choice
from seqedit_bench.leaderboards.board.filed import read_entries
from told_entries import Tale, made_entry, write_entries


def test_all_below_a_folder_in_order(entries: Path) -> None:
    found = read_entries(entries)
    assert len(found) == 8
    assert [each.place for each in found] == sorted(each.entry.place for each in found)
    assert all((entries / each.place).is_file() for each in found)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no such folder of entries"):
        read_entries(tmp_path / "absent")
    with pytest.raises(ResultError, match="no entries in it"):
        read_entries(tmp_path)


def _shorter(*path: str) -> Callable[[Any], None]:
    def spoil(data: Any) -> None:
        for key in path:
            data = data[key]
        data.pop()

    return spoil


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_shorter("series", "case_ids"), "field series.case_ids: 60 and 59 values"),
        (_shorter("series", "immediate", "es"), "field series.immediate.es: 60 and 59 values"),
        (_shorter("series", "retained", "es", "values"), "field series.retained.es: 60 and 59"),
        (_shorter("result", "curves", "immediate", "es", "mean_50"), "curves.immediate.es"),
        (_shorter("result", "curves", "retention", "es", "sticky"), "curves.retention.es"),
        (_shorter("result", "curves", "tasks", "sst2_ll", "edits"), "curves.tasks.sst2_ll"),
        (_shorter("result", "curves", "checkpoints"), "curves.distance.layer.weight"),
        (lambda data: data.update(entry_version=9), "entry_version 9"),
        (lambda data: data.pop("submission"), "field submission"),
    ],
)
def test_entries_that_cannot_be_drawn_are_refused(
    spoil: Callable[[Any], None], says: str, tmp_path: Path
) -> None:
    data = json.loads(made_entry(Tale()).to_json())
    spoil(data)
    (tmp_path / "a.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ResultError, match=r"a\.json: ") as refused:
        read_entries(tmp_path)
    assert says in str(refused.value)


def test_settings_nested_without_end_are_refused(tmp_path: Path) -> None:
    deep: Any = []
    for _ in range(30):
        deep = [deep]
    write_entries(tmp_path, [Tale(hparams={"deep": deep})])
    with pytest.raises(ResultError, match="nested too deeply"):
        read_entries(tmp_path)


@pytest.mark.parametrize(
    ("choice", "count"),
    [
        (Choice(), 8),
        (Choice(suite="clean"), 2),
        (Choice(suite="quick@2"), 6),
        (Choice(model="gpt-j-6b"), 2),
        (Choice(kind="hooks"), 1),
        (Choice(needs=("covariance",)), 5),
        (Choice(needs=("covariance", "subject"), suite="clean"), 1),
        (Choice(without=("covariance",)), 3),
        (Choice(without=("covariance", "training")), 2),
        (Choice(kind="hooks", needs=("covariance",)), 0),
    ],
)
def test_choices(choice: Choice, count: int, entries: Path) -> None:
    assert len(choice.chosen(read_entries(entries))) == count
