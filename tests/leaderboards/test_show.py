"""Tables of one run: what is shown, and that names are only names."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from rich.console import Console, Group

from seqedit_bench.leaderboards import Result
from seqedit_bench.leaderboards.show import result_tables

Make = Callable[..., Result]


def shown(table: Group, width: int = 200) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def cells_of(text: str, start: str) -> list[str]:
    """Return what stands behind a label in printed tables."""
    (line,) = [line for line in text.splitlines() if re.match(rf"{re.escape(start)}\s{{2,}}", line)]
    return line[len(start) :].split()


def test_result_tables_show_the_headline(make_result: Make) -> None:
    text = shown(result_tables(make_result()))
    assert "rome on tiny-gpt2: 10 edits, suite tiny@2, bundled data" in text
    assert cells_of(text, "ES") == ["90.0", "90.0", "20.0"]
    assert cells_of(text, "S") == ["73.0", "73.0", "31.3"]
    assert cells_of(text, "retained ES, instant") == ["50.0"]
    assert cells_of(text, "retained ES, sticky") == ["40.0"]
    assert cells_of(text, "sst2_ll weighted_f1") == ["25.0", "80.0"]
    assert cells_of(text, "relative distance layer.weight") == ["0.2", "0"]
    assert cells_of(text, "question answered, of 10") == ["90.0", "10.0"]
    assert cells_of(text, "statement completed") == ["30.0", "0.0"]
    assert cells_of(text, "of 9 learned, statement fails") == ["66.7"]
    assert cells_of(text, "95 % interval") == ["35.4", "to", "87.9"]
    assert cells_of(text, "seconds per edit") == ["0.25"]
    assert cells_of(text, "peak memory") == ["1.00", "GiB"]
    assert "NLL" not in text.upper()


def test_a_task_is_shown_by_its_headline_in_any_order(make_result: Make) -> None:
    """Entries have their keys sorted: `acc` comes before what the task is named for."""
    both = {"final": 0.25, "unedited": 0.5}
    other = {"final": 0.9, "unedited": 0.9}
    text = shown(
        result_tables(make_result(summary__tasks={"sst2_ll": {"acc": other, "weighted_f1": both}}))
    )
    assert cells_of(text, "sst2_ll weighted_f1") == ["25.0", "50.0"]


def test_missing_numbers_are_dashes(make_result: Make) -> None:
    empty = make_result(
        summary__immediate={"es": 0.5},
        summary__immediate_last_50={},
        summary__baseline={},
        summary__retention={},
        summary__distance={"w": {"l2": None, "l2_per_param": None, "l2_relative": None}},
    )
    assert cells_of(shown(result_tables(empty)), "ES") == ["50.0", "-", "-"]


HOSTILE = ["[bold]loud[/bold]", "[/red]", "[link=http://example.org]x[/link]", ":smile:", "[0]"]


@pytest.mark.parametrize("name", HOSTILE)
def test_markup_in_names_is_only_text(name: str, make_result: Make) -> None:
    hostile = make_result(
        editor__name=name,
        model__name=name,
        suite__name=name,
        summary__immediate={"es": 0.5, name: 0.5},
        summary__retention={name: {"instant": 1.0, "sticky": 1.0, "all_edits": 1.0}},
        summary__distance={name: {"l2": 1.0, "l2_per_param": 1.0, "l2_relative": 1.0}},
    )
    assert name in shown(result_tables(hostile))
