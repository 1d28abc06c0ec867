"""Commands that put results side by side and hand them on: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from ..tasks.errors import InputError, unknown_name
from .options import names

if TYPE_CHECKING:
    from ..leaderboards.compare import Comparison, Metric

compare_app = typer.Typer()

_LISTED = 40
"""Metrics that a message lists, at most."""


@compare_app.command("compare")
def compare_command(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="Run directories, leaderboard.json files, entries, or folders that hold them."
        ),
    ],
    metric: Annotated[
        str | None,
        typer.Option(help="One metric in depth, e.g. es, kept_es, sst2_ll.acc, moved."),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Metrics to show, comma-separated, or all.")
    ] = None,
    at: Annotated[int | None, typer.Option(min=1, help="Look at the first so many edits.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="Metric to sort by, the best first; -METRIC: the worst.")
    ] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="The worst first.")] = False,
    format: Annotated[
        Literal["table", "markdown", "latex", "csv", "json"], typer.Option(help="How to print it.")
    ] = "table",
    bootstrap: Annotated[
        int, typer.Option(min=100, max=100_000, help="Draws of the bootstrap.")
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
) -> None:
    """Show editors side by side: means over samples, intervals, paired differences."""
    from ..leaderboards.compare import compare, read_runs
    from ..leaderboards.compare.metrics import all_metrics, catalogue, default_metrics

    if metric is not None and columns is not None:
        raise InputError("--metric and --columns exclude each other: give one")
    runs, notes = read_runs(results)
    known = catalogue(runs)
    if metric is not None:
        shown = [_metric(metric, known)]
    elif columns == "all":
        shown = all_metrics(known)
    else:
        shown = [_metric(name, known) for name in names(columns)] or default_metrics(known)
    worst = sort is not None and sort.startswith("-")
    found = compare(
        runs,
        shown,
        shown[0] if metric or columns not in (None, "all") else _curve(shown, known),
        at=at,
        sort=None if sort is None else _metric(sort.removeprefix("-"), known),
        reverse=reverse != worst,
        draws=bootstrap,
        seed=seed,
    )
    found.notes.extend(notes)
    _print(found, format, deep=metric is not None)


def _metric(name: str, known: dict[str, Metric]) -> Metric:
    """Find a metric, or say which name comes near.

    Raises:
        InputError: no result has it.
    """
    from ..leaderboards.compare.metrics import find

    found = find(name, known)
    if found is None:
        few = None if len(known) <= _LISTED else list(known)[:_LISTED]
        raise unknown_name("metric", name, known, shown=few)
    return found


def _curve(shown: list[Metric], known: dict[str, Metric]) -> Metric:
    """Return what small curves show if nobody says so: efficacy, where there is one."""
    return next((known[name] for name in ("es", "efficacy") if name in known), shown[0])


def _print(found: Comparison, format: str, deep: bool) -> None:
    from ..leaderboards.compare import formats
    from ..leaderboards.compare.grid import in_depth, overview
    from ..leaderboards.compare.table import ComparisonTable

    if format in ("csv", "json"):
        sys.stdout.write(formats.as_csv(found) if format == "csv" else formats.as_json(found))
        return
    grid = in_depth(found) if deep else overview(found)
    if format == "table":
        Console().print(ComparisonTable(grid))
    else:
        sys.stdout.write(
            formats.as_markdown(grid) if format == "markdown" else formats.as_latex(grid)
        )
