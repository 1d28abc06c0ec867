"""Tables of results for the terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean

from rich.table import Table

from .comparable import ensure_comparable
from .results import Result
from .show import number, percent, plain, seconds


def largest_distance(result: Result) -> dict[str, float | None]:
    """Return the distances of the matrix that moved furthest, relative to its size.

    One that is not finite any more is the furthest.
    """

    def relative(kinds: dict[str, float | None]) -> float:
        value = kinds.get("l2_relative", 0.0)
        return math.inf if value is None else value

    return max(result.summary.distance.values(), key=relative, default={})


_Column = tuple[str, Callable[[Result], str]]


def _immediate(name: str) -> Callable[[Result], str]:
    return lambda result: percent(result.summary.immediate.get(name))


def _kept(name: str) -> Callable[[Result], str]:
    return lambda result: percent(result.summary.retention.get(name, {}).get("instant"))


def _mean_f1(result: Result) -> str:
    found = [
        metrics["weighted_f1"]["final"]
        for metrics in result.summary.tasks.values()
        if "weighted_f1" in metrics
    ]
    known = [value for value in found if value is not None]
    return percent(fmean(known) if known else None)


def _perplexity(result: Result) -> str:
    of_task = result.summary.tasks.get("heldout_perplexity", {})
    return number(of_task.get("word_perplexity", {}).get("final"))


_COLUMNS: list[_Column] = [
    ("edits", lambda result: result.num_edits),
    ("ES", _immediate("es")),
    ("PS", _immediate("ps")),
    ("NS", _immediate("ns")),
    ("efficacy", _immediate("efficacy")),
    ("paraphrase", _immediate("paraphrase")),
    ("specificity", _immediate("specificity")),
    ("S", _immediate("s")),
    ("free", _immediate("free")),
    ("kept ES", _kept("es")),
    ("kept exact", _kept("es_exact")),
    ("kept efficacy", _kept("efficacy_exact")),
    ("F1", _mean_f1),
    ("ppl", _perplexity),
    ("moved", lambda result: number(largest_distance(result).get("l2_relative", 0.0))),
    ("s/edit", lambda result: seconds(result.cost.seconds_edit / result.ending.edits_done)),
]
_ALWAYS = {"edits", "moved", "s/edit"}
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
    ensure_comparable(results)
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
    measured = [
        (heading, read)
        for heading, read in _COLUMNS
        if heading in _ALWAYS or any(read(result) != "-" for result in results)
    ]
    columns = [*differing, *measured]
    for heading, _ in columns:
        table.add_column(heading, justify="right", overflow="fold")
    for result in results:
        table.add_row(plain(result.editor.name), *(read(result) for _, read in columns))
    table.caption = (
        "percent; kept: share of edits that worked at once and still do at the end; "
        "F1: mean over downstream tasks at the end; moved: distance relative to the original matrix"
    )
    table.caption_justify = "left"
    return table
