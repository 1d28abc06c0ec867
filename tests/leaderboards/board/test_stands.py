"""What `submit` says of the place of an entry."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from seqedit_bench.leaderboards.board.filed import read_entries
from seqedit_bench.leaderboards.board.standings import standings
from seqedit_bench.leaderboards.board.stands import where_it_stands
from told_entries import Tale, made_entry, write_entries

BAD, GOOD = Tale("ft", ps=0.2), Tale("memit", es=1.0, ps=1.0, ns=1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_entries(tmp_path, [BAD, GOOD, Tale("none", model="another")])


def test_the_rank_is_that_of_the_board(folder: Path) -> None:
    tale = Tale("rome")
    said = where_it_stands(made_entry(tale), folder)
    write_entries(folder, [tale])
    (board,) = (each for each in standings(read_entries(folder)) if len(each.ranked) == 3)
    places = {each.row.label: each.text for each in board.ranked}
    assert [each.rank for each in board.ranked] == [1, 2, 3]
    assert said == f"rome is {places['rome']} of 3 by S, {board.title}: {board.asked}"
    assert where_it_stands(made_entry(tale), folder) == said  # it is there now, and counts once


def test_another_sample_is_no_other_row(folder: Path) -> None:
    said = where_it_stands(made_entry(Tale("memit", sample=2, es=1.0, ps=1.0, ns=1.0)), folder)
    assert said.startswith("memit is 1 of 2 by S")


@pytest.mark.parametrize(
    ("tale", "says"),
    [
        (
            Tale("rome", num_edits=50),
            "alone: protocol.num_edits is 50 in this entry and 60 in 2 others on this model",
        ),
        (
            Tale("rome", changes={"protocol__checkpoint": {"retention": 5}}),
            'alone: protocol.checkpoint, "retention", is 5 in this entry and 10 in 2 others on '
            "this model",
        ),
        (Tale("rome", model="a third"), "alone: no other editor is there on this model"),
        (Tale("none", model="another", sample=2), "alone: no other editor is there on this model"),
    ],
)
def test_why_it_is_alone(folder: Path, tale: Tale, says: str) -> None:
    assert where_it_stands(made_entry(tale), folder) == says


def test_a_folder_without_entries(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        said = where_it_stands(made_entry(Tale()), folder)
        assert said.startswith("alone: no other e"), said


def test_it_steers_no_terminal(folder: Path) -> None:
    hostile = Tale("rome\x1b[2J", changes={"model__name": "a\u202eb"})
    write_entries(folder, [Tale("emmet", changes={"model__name": "a\u202eb"})])
    for tale in (hostile, replace(hostile, num_edits=50)):
        assert where_it_stands(made_entry(tale), folder).isprintable()


def test_an_entry_that_cannot_be_read_is_named(folder: Path) -> None:
    (folder / "x.json").write_text("{}", encoding="utf-8")
    said = where_it_stands(made_entry(Tale()), folder)
    assert said.startswith(f"not known: {folder / 'x.json'}: ")
