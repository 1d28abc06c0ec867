"""Tables: what can share one, what is shown, and that names are only names."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from seqedit_bench.leaderboards import Result, ResultError
from seqedit_bench.leaderboards.compare import comparison_table, largest_distance, result_table

Make = Callable[..., Result]
TableOf = Callable[[Sequence[Result]], Table]


def one_result(results: Sequence[Result]) -> Table:
    return result_table(results[0])


def shown(table: Table, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(text: str, start: str) -> list[str]:
    """Return the cells of the row whose first cell is `start`."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.replace("┃", "│").split("│")]
        if len(cells) > 2 and cells[1] == start:
            return cells[2:-1]
    raise AssertionError(f"no row {start!r} in\n{text}")


def test_result_table_shows_the_headline(make_result: Make) -> None:
    text = shown(result_table(make_result()))
    assert "rome on tiny-gpt2: 10 edits, suite tiny@2, bundled data" in text
    assert row(text, "ES") == ["90.0", "90.0", "20.0"]
    assert row(text, "S") == ["73.0", "73.0", "31.3"]
    assert row(text, "retained ES, instant")[0] == "50.0"
    assert row(text, "retained ES, sticky")[0] == "40.0"
    assert row(text, "distance layer.weight")[:2] == ["3", "0.2 relative"]
    assert row(text, "seconds per edit")[0] == "0.25"
    assert row(text, "peak memory")[0] == "1.00 GiB"
    assert "NLL" not in text.upper()


def test_comparison_has_a_row_for_each_run(make_result: Make) -> None:
    results = [
        make_result(),
        make_result(
            editor__name="memit",
            summary__immediate={"es": 0.25, "ps": 0.5, "ns": 1.0, "s": 0.4286},
        ),
    ]
    text = shown(comparison_table(results))
    assert row(text, "rome")[:7] == ["10", "1", "1", "90.0", "60.0", "75.0", "73.0"]
    assert row(text, "memit")[3:7] == ["25.0", "50.0", "100.0", "42.9"]
    assert "50.0" in row(text, "rome")


def test_comparison_is_whole_on_a_narrow_terminal(make_result: Make) -> None:
    """80 columns are what a pipe gets: numbers cut to `90…` would be worse than none."""
    text = shown(comparison_table([make_result()]), width=80)
    assert "…" not in text
    assert "rome" in text
    assert "90.0" in text


def test_missing_numbers_are_dashes(make_result: Make) -> None:
    empty = make_result(
        summary__immediate={"es": 0.5},
        summary__immediate_last_50={},
        summary__baseline={},
        summary__retention={},
        summary__distance={"w": {"l2": None, "l2_per_param": None, "l2_relative": None}},
    )
    assert row(shown(result_table(empty)), "ES") == ["50.0", "-", "-"]
    assert row(shown(comparison_table([empty])), "rome")[3:9] == ["50.0", *["-"] * 5]


def test_no_distance_where_nothing_can_move(make_result: Make) -> None:
    still = make_result(summary__distance={})
    assert largest_distance(still) == {}
    assert row(shown(comparison_table([still])), "rome")[10] == "0"


def test_the_furthest_matrix_is_shown(make_result: Make) -> None:
    near = {"l2": 9.0, "l2_per_param": 0.1, "l2_relative": 0.1}
    far = {"l2": 1.0, "l2_per_param": 0.1, "l2_relative": 0.75}
    result = make_result(summary__distance={"a": near, "b": far, "c": near})
    assert largest_distance(result) == far
    assert "0.75" in row(shown(comparison_table([result])), "rome")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"suite__name": "other"}, "suite"),
        ({"suite__version": 3}, "suite"),
        ({"suite__sha256": "0dd"}, "suite"),
        ({"model__weights_sha256": "0dd"}, "model"),
        ({"model__dtype": "bfloat16"}, "model"),
        ({"data__edits": "counterfact-edits"}, "data"),
        ({"data__files_sha256": {"counterfact.jsonl": "0dd"}}, "data"),
        ({"data__files_sha256": {"other.jsonl": "da7a"}}, "data"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_unlike_runs_share_no_table(
    changes: dict[str, Any], what: str, first: bool, make_result: Make
) -> None:
    other = make_result(editor__name="memit", **changes)
    results = [other, make_result(), make_result()] if first else [make_result(), other]
    with pytest.raises(ResultError, match=f"different {what} cannot share a table") as caught:
        comparison_table(results)
    assert "rome" in str(caught.value)
    assert "memit" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"editor__name": "memit"},
        {"data__sample": 2},
        {"seed": 5},
        {"protocol__num_edits": 20},
        {"protocol__batch_size": 5},
        {"model__name": "the same weights by another name"},
    ],
)
def test_runs_that_differ_in_what_is_shown_share_a_table(
    changes: dict[str, Any], make_result: Make
) -> None:
    text = shown(comparison_table([make_result(), make_result(**changes)]))
    assert text.count("73.0") == 2


HOSTILE = ["[bold]loud[/bold]", "[/red]", "[link=http://example.org]x[/link]", ":smile:", "[0]"]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("table", [one_result, comparison_table])
def test_markup_in_names_is_only_text(table: TableOf, name: str, make_result: Make) -> None:
    hostile = make_result(
        editor__name=name,
        model__name=name,
        suite__name=name,
        summary__immediate={"es": 0.5, name: 0.5},
        summary__retention={name: {"instant": 1.0, "sticky": 1.0, "all_edits": 1.0}},
        summary__distance={name: {"l2": 1.0, "l2_per_param": 1.0, "l2_relative": 1.0}},
    )
    assert name in shown(table([hostile]))


def test_names_do_not_steer_the_terminal(make_result: Make) -> None:
    """A result file may come from anyone; an escape sequence in it must not reach the screen."""
    hostile = make_result(editor__name="rome\x1b]0;title\x07\x1b[2J", model__name="m\x1b[31m\r")
    text = shown(comparison_table([hostile]))
    assert "rome" in text
    assert not {"\x1b", "\x07", "\r"} & set(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"summary__distance": {"w": {}}},
        {"summary__distance": {"w": {"l2_relative": 0.5}}},
        {"summary__retention": {"es": {}}},
        {"summary__immediate": {}},
    ],
)
def test_incomplete_summaries_do_not_break_the_table(
    changes: dict[str, Any], make_result: Make
) -> None:
    """The schema lets these through, so the table must show them."""
    assert row(shown(comparison_table([make_result(**changes)])), "rome")[0] == "10"
