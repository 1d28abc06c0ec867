"""The command line: parse, call, print."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..leaderboards import ResultError, read_result
from ..leaderboards._letters import visible
from ..tasks.errors import InputError, unknown_name
from .cli_analysis import analysis_app
from .cli_board import board_app
from .cli_compare import compare_app
from .cli_editors import editors_app
from .cli_leaderboard import leaderboard_app
from .cli_run import run_app
from .lacking_signs import write_otherwise
from .storage import StorageError

app = typer.Typer(
    help="Benchmark sequential knowledge editing of language models.\n\n"
    "`seqedit-bench --editor NAME ...` is short for `seqedit-bench run --editor NAME ...`.",
    pretty_exceptions_enable=False,
    add_completion=False,
)

# typer carries click under a private name; this is the base of all mistakes in arguments.
_UsageError: Any = typer.BadParameter.__mro__[1]
_INTERRUPTED = 130


@app.command("list", rich_help_panel="Run")
def list_command(
    what: Annotated[Literal["editors", "tasks", "suites", "models"], typer.Argument()],
    paths: Annotated[
        bool,
        typer.Option("--paths", help="Print the folder itself, e.g. for lm_eval --include_path."),
    ] = False,
) -> None:
    """List what can be named on the command line."""
    from . import listing

    if paths:
        sys.stdout.write(f"{listing.folder(what)}\n")
        return
    table = Table(box=None, pad_edge=False)
    headings, rows = listing.LISTINGS[what]()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


@app.command("plot", rich_help_panel="Look back")
def plot_command(
    runs: Annotated[list[Path], typer.Argument(help="Run directories or result files.")],
    output: Annotated[
        Path | None,
        typer.Option(help="File name without ending; default: curves in the run, or overlay."),
    ] = None,
) -> None:
    """Draw a run's curves, or several runs' over each other, as PNG and SVG."""
    from ..leaderboards.plot import plot_run, plot_runs
    from ..leaderboards.run_labels import run_labels

    results = [read_result(path) for path in runs]
    if len(results) == 1 and output is None:
        written = plot_run(results[0], runs[0] if runs[0].is_dir() else runs[0].parent)
    else:
        labels = run_labels(list(zip(results, runs, strict=True)))
        written = plot_runs(results, labels, output or Path("overlay"))
    for path in written:
        sys.stdout.write(f"{path}\n")


@app.command(
    "lm-eval",
    rich_help_panel="Run",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def lm_eval_command(context: typer.Context) -> None:
    """Run lm-evaluation-harness with our tasks and the model `seqedit`; arguments are its own."""
    from .lmeval import forward

    forward(context.args)


_PANELS = {
    "Run": [run_app],
    "Editors": [editors_app],
    "Look back": [analysis_app],
    "Compare and publish": [compare_app, leaderboard_app, board_app],
}


def _put_together() -> None:
    """Take in the commands of the other modules, in panels."""
    commands = []
    for panel, parts in _PANELS.items():
        for command in (each for part in parts for each in part.registered_commands):
            command.rich_help_panel = panel
            commands.append(command)
    panels = list(_PANELS)
    app.registered_commands = sorted(
        [*commands, *app.registered_commands],
        key=lambda command: panels.index(str(command.rich_help_panel)),
    )


_put_together()


def _version(show: bool) -> None:
    if show:
        sys.stdout.write(f"seqedit-bench {version('seqedit-bench')}\n")
        raise typer.Exit


@app.callback()
def _app(
    show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; user mistakes end in one line and exit status 2."""
    write_otherwise()
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if arguments[0].startswith("--") and arguments[0] not in ("--help", "--version"):
        arguments = ["run", *arguments]
    commands = [command.name for command in app.registered_commands if command.name]
    try:
        if not arguments[0].startswith("-") and arguments[0] not in commands:
            raise unknown_name("command", arguments[0], commands)
        status = app(args=arguments, prog_name="seqedit-bench", standalone_mode=False)
        if status == _INTERRUPTED:
            raise KeyboardInterrupt
    except (InputError, ResultError, _UsageError) as error:
        # The message of click's errors names the option only when formatted.
        text = " ".join(getattr(error, "format_message", error.__str__)().split())
        # Messages repeat names out of files, which must not steer the terminal.
        sys.stderr.write(f"error: {visible(text)}\n")
        raise SystemExit(2) from None
    except StorageError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        raise SystemExit(1) from None
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("stopped: what was done so far is in the run directory or the cache\n")
        raise SystemExit(_INTERRUPTED) from None
