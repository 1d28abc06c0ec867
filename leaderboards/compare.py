"""Tables of results for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from .results import Result, ResultError


def plain(text: str) -> Text:
    """Make text that can come from anyone safe to show: no markup, no control characters."""
    return Text("".join(letter if letter.isprintable() else "\ufffd" for letter in text))


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def largest_distance(result: Result) -> dict[str, float | None]:
    """Return the distances of the matrix that moved furthest, relative to its size."""
    moved = result.summary.distance.values()
    return max(moved, key=lambda kinds: kinds.get("l2_relative") or 0.0, default={})


def result_table(result: Result) -> Table:
    """Show one run: scores right after each edit beside the unedited model's, then the rest."""
    summary = result.summary
    title = plain(
        f"{result.editor.name} on {result.model.name}: {result.protocol.num_edits} edits, "
        f"suite {result.suite.name}@{result.suite.version}, {result.data.source} data"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("right after each edit")
    for heading in ("all edits", "last 50", f"unedited ({summary.baseline_records})"):
        table.add_column(heading, justify="right")
    names = [name for name in summary.immediate if "_nll" not in name]
    for name in names:
        columns = (summary.immediate, summary.immediate_last_50, summary.baseline)
        table.add_row(plain(name.upper()), *(_percent(column.get(name)) for column in columns))
    table.add_section()
    for name, kinds in summary.retention.items():
        for kind in ("instant", "sticky"):
            table.add_row(plain(f"retained {name.upper()}, {kind}"), _percent(kinds.get(kind)))
    table.add_section()
    for name, kinds in summary.distance.items():
        relative = f"{_number(kinds.get('l2_relative'))} relative"
        table.add_row(plain(f"distance {name}"), _number(kinds.get("l2")), relative)
    table.add_section()
    cost = result.cost
    count = result.protocol.num_edits
    table.add_row("seconds per edit", f"{cost.seconds_edit / count:.2f}")
    table.add_row("seconds of evaluation per edit", f"{cost.seconds_evaluate / count:.2f}")
    table.add_row("peak memory", f"{cost.peak_memory_bytes / 2**30:.2f} GiB")
    return table


_SAME: dict[str, Callable[[Result], Any]] = {
    "suite": lambda result: (result.suite.name, result.suite.version, result.suite.sha256),
    "model": lambda result: (result.model.weights_sha256, result.model.dtype),
    "data": lambda result: (result.data.edits, sorted(result.data.files_sha256.items())),
}


_Column = tuple[str, Callable[[Result], str]]


def _immediate(name: str) -> Callable[[Result], str]:
    return lambda result: _percent(result.summary.immediate.get(name))


def _kept(name: str) -> Callable[[Result], str]:
    return lambda result: _percent(result.summary.retention.get(name, {}).get("instant"))


_COLUMNS: list[_Column] = [
    ("edits", lambda result: str(result.protocol.num_edits)),
    ("ES", _immediate("es")),
    ("PS", _immediate("ps")),
    ("NS", _immediate("ns")),
    ("S", _immediate("s")),
    ("ES last 50", lambda result: _percent(result.summary.immediate_last_50.get("es"))),
    ("kept ES", _kept("es")),
    ("kept exact", _kept("es_exact")),
    ("moved", lambda result: _number(largest_distance(result).get("l2_relative", 0.0))),
    ("s/edit", lambda result: f"{result.cost.seconds_edit / result.protocol.num_edits:.2f}"),
]
_WHERE_THEY_DIFFER: list[_Column] = [
    ("batch", lambda result: str(result.protocol.batch_size)),
    ("sample", lambda result: str(result.data.sample)),
    ("seed", lambda result: str(result.seed)),
]


def comparison_table(results: Sequence[Result]) -> Table:
    """Show several runs side by side, one row each.

    Raises:
        ResultError: they differ in suite, model or data, so their numbers cannot share a table.
    """
    first = results[0]
    for what, key in _SAME.items():
        for other in results[1:]:
            if key(other) != key(first):
                raise ResultError(
                    f"runs with different {what} cannot share a table: "
                    f"{first.editor.name} has {key(first)}, {other.editor.name} has {key(other)}"
                )
    title = plain(
        f"{first.model.name}, suite {first.suite.name}@{first.suite.version}, "
        f"{first.data.source} data"
    )
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("editor", overflow="fold", min_width=6)
    differing = [
        column
        for column in _WHERE_THEY_DIFFER
        if len({column[1](result) for result in results}) > 1
    ]
    columns = [*differing, *_COLUMNS]
    for heading, _ in columns:
        table.add_column(heading, justify="right", overflow="fold")
    for result in results:
        table.add_row(plain(result.editor.name), *(read(result) for _, read in columns))
    table.caption = (
        "percent; kept: share of edits that worked at once and still do at the end; "
        "moved: distance relative to the original matrix"
    )
    table.caption_justify = "left"
    return table
