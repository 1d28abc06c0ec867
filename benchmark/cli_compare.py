"""Commands that put results side by side and hand them on: parse, call, print."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from ..leaderboards.show import plain
from ..tasks.errors import InputError, unknown_name
from .config import names

if TYPE_CHECKING:
    from ..leaderboards.compare import Comparison, Metric, Run

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
    found = replace(found, notes=[*found.notes, *notes])
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
    from ..leaderboards.compare import records
    from ..leaderboards.compare.grid import in_depth, overview
    from ..leaderboards.compare.latex import as_latex
    from ..leaderboards.compare.markdown import as_markdown
    from ..leaderboards.compare.table import ComparisonTable

    if format in ("csv", "json"):
        sys.stdout.write(records.as_csv(found) if format == "csv" else records.as_json(found))
        return
    grid = in_depth(found) if deep else overview(found)
    if format == "table":
        Console().print(ComparisonTable(grid))
    else:
        sys.stdout.write(as_markdown(grid) if format == "markdown" else as_latex(grid))


@compare_app.command("export")
def export_command(
    what: Annotated[
        Literal["lm-eval", "hf"],
        typer.Argument(help="lm-eval: result files of the harness; hf: a Hugging Face data set."),
    ],
    results: Annotated[
        list[Path], typer.Argument(help="Runs, results or entries; for hf, entries.")
    ],
    output: Annotated[Path, typer.Option(help="Folder to write to.")],
) -> None:
    """Write results in the shape of lm-evaluation-harness, or entries as a data set for the hub."""
    from ..leaderboards.compare import read_runs

    runs, notes = read_runs(results)
    if what == "hf":
        from ..leaderboards.exports.dataset import only_entries, write_dataset

        written = write_dataset(only_entries(runs), output, _bibtex(runs))
    else:
        from ..leaderboards.exports.harness import HarnessFacts, write_harness
        from .document_counts import count_documents
        from .task_facts import task_facts

        versions = {name: version(name.replace("_", "-")) for name in ("lm_eval", "seqedit-bench")}
        known = HarnessFacts(task_facts(), versions, count_documents)
        written = write_harness(runs, known, output)
    for note in notes:
        Console(stderr=True).print(plain(note), soft_wrap=True)
    for path in written:
        sys.stdout.write(f"{path}\n")


@compare_app.command("cite")
def cite_command(
    results: Annotated[
        list[Path] | None, typer.Argument(help="Entries or runs whose editors are cited too.")
    ] = None,
) -> None:
    """Print BibTeX: the suite, the paper behind it, and the editors of some entries."""
    from ..leaderboards.compare import read_runs

    sys.stdout.write(_bibtex(read_runs(results)[0] if results else []))


def _bibtex(runs: Sequence[Run]) -> str:
    from ..leaderboards.exports.bibtex import Credit, bibtex

    credits = [Credit(name, paper) for run in runs for name, paper in _papers(run)]
    return bibtex(credits, version("seqedit-bench"))


def _papers(run: Run) -> Iterator[tuple[str, str]]:
    """Yield what is to be cited for a run: by its entry's card, else by the editors' own."""
    name = run.result.editor.name
    if run.entry is not None:
        submission = run.entry.submission
        yield name, submission.card.paper
        if submission.paper is not None:
            yield f"the results of {submission.team}", submission.paper
    else:
        from ..editors import about_editor, available_editors, available_wrappers

        known = {*available_editors(), *available_wrappers()}
        for part in name.split("+"):
            if part in known:
                yield part, str(about_editor(part).get("paper", "-"))
