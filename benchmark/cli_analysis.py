"""Commands that look back at runs: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

analysis_app = typer.Typer()

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="name=value of a threshold, may be repeated: see docs/analysis.md."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@analysis_app.command("analyze")
def analyze_command(
    run: Annotated[Path, typer.Argument(help="Run directory, finished or not.")],
    settings: Settings = None,
    output: Annotated[
        Path | None, typer.Option(help="Where to write; default: analysis.json in the run.")
    ] = None,
    json: Json = False,
) -> None:
    """Find spikes, the point of collapse, phases and changes in a run."""
    from ..leaderboards.analysis.analyse import analyse
    from ..leaderboards.analysis.constants import Constants
    from ..leaderboards.analysis.journal import read_run
    from ..leaderboards.analysis.show import analysis_tables
    from ..leaderboards.analysis.write import write_text

    constants = Constants.with_settings(settings or ())
    found = analyse(read_run(run), constants)
    path = write_text(output or run / "analysis.json", found.to_json())
    if json:
        sys.stdout.write(found.to_json())
        return
    console = Console()
    console.print(analysis_tables(found))
    console.print(f"analysis: {path}", markup=False, highlight=False, soft_wrap=True)


@analysis_app.command("properties")
def properties_command(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, several of each editor.")],
    settings: Settings = None,
    format: Annotated[Literal["table", "markdown", "json"], typer.Option()] = "table",
) -> None:
    """Derive the table of the editors' properties (the paper's Table 3) from runs."""
    from ..leaderboards.analysis import properties_table
    from ..leaderboards.analysis.constants import Constants
    from ..leaderboards.analysis.journal import read_run
    from ..leaderboards.analysis.properties import properties

    constants = Constants.with_settings(settings or ())
    rows = properties([read_run(run) for run in runs], constants)
    if format == "table":
        Console().print(properties_table.as_table(rows))
    elif format == "markdown":
        sys.stdout.write(properties_table.as_markdown(rows))
    else:
        sys.stdout.write(properties_table.as_json(rows))


@analysis_app.command("calibrate")
def calibrate_command(
    runs: Annotated[int, typer.Option(min=1, help="Synthetic runs of each kind.")] = 200,
    settings: Settings = None,
) -> None:
    """Measure false alarms and misses of the analysis on synthetic runs with known answers."""
    from ..leaderboards.analysis.calibrate import calibrate
    from ..leaderboards.analysis.constants import Constants
    from ..leaderboards.analysis.show import calibration_table
    from .display import display_for

    constants = Constants.with_settings(settings or ())
    console = Console()
    with display_for(Console(stderr=True)) as display:
        rates = calibrate(runs, constants, display.working)
    console.print(calibration_table(rates))


@analysis_app.command("report")
def report_command(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, finished or not.")],
    output: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for figures in the paper's arrangement, as PNG and SVG."),
    ] = None,
    settings: Settings = None,
) -> None:
    """Write runs as one page that opens without a network, and as figures for a paper."""
    from ..leaderboards.analysis.constants import Constants
    from ..leaderboards.analysis.journal import read_run
    from ..leaderboards.analysis.write import write_text
    from ..leaderboards.report.figures import write_figures
    from ..leaderboards.report.page import report

    constants = Constants.with_settings(settings or ())
    read = [read_run(run) for run in runs]
    written = [write_text(output, report(read, constants))]
    if figures is not None:
        written += write_figures(read, figures, constants)
    for path in written:
        sys.stdout.write(f"{path}\n")
