"""Tables of results for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from .results import Result, ResultError


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def largest_distance(result: Result) -> dict[str, float | None]:
    """Return the distances of the matrix that moved furthest, relative to its size."""
    moved = result.summary.distance.values()
    return max(moved, key=lambda kinds: kinds["l2_relative"] or 0.0, default={})


def result_table(result: Result) -> Table:
    """Show one run: scores right after each edit beside the unedited model's, then the rest."""
    summary = result.summary
    title = Text(
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
        table.add_row(Text(name.upper()), *(_percent(column.get(name)) for column in columns))
    table.add_section()
    for name, kinds in summary.retention.items():
        for kind in ("instant", "sticky"):
            table.add_row(Text(f"retained {name.upper()}, {kind}"), _percent(kinds[kind]))
    table.add_section()
    for name, kinds in summary.distance.items():
        relative = f"{_number(kinds['l2_relative'])} relative"
        table.add_row(Text(f"distance {name}"), _number(kinds["l2"]), relative)
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


def comparison_table(results: Sequence[Result]) -> Table:
    """Show several runs side by side, one row each.

    Raises:
        ResultError: they differ in suite, model or data, so their numbers cannot share a table.
    """
    for what, key in _SAME.items():
        first = results[0]
        for other in results[1:]:
            if key(other) != key(first):
                raise ResultError(
                    f"runs with different {what} cannot share a table: "
                    f"{first.editor.name} has {key(first)}, {other.editor.name} has {key(other)}"
                )
    first = results[0]
    title = Text(
        f"{first.model.name}, suite {first.suite.name}@{first.suite.version}, "
        f"{first.data.source} data"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("editor")
    for heading in (
        "edits",
        "batch",
        "sample",
        "ES",
        "PS",
        "NS",
        "S",
        "ES last 50",
        "kept ES",
        "kept exact",
        "distance",
        "s/edit",
    ):
        table.add_column(heading, justify="right")
    for result in results:
        summary, count = result.summary, result.protocol.num_edits
        kept = summary.retention
        table.add_row(
            Text(result.editor.name),
            str(count),
            str(result.protocol.batch_size),
            str(result.data.sample),
            *(_percent(summary.immediate.get(name)) for name in ("es", "ps", "ns", "s")),
            _percent(summary.immediate_last_50.get("es")),
            _percent(kept.get("es", {}).get("instant")),
            _percent(kept.get("es_exact", {}).get("instant")),
            _number(largest_distance(result).get("l2_relative", 0.0)),
            f"{result.cost.seconds_edit / count:.2f}",
        )
    table.caption = "percent; kept: share of edits that worked at once and still do at the end"
    table.caption_justify = "left"
    return table
