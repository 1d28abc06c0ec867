"""Commands that look back at runs: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from ..leaderboards.results import ResultError
from .config import RunConfig, names
from .options import (
    CacheDir,
    DataDir,
    Device,
    Dtype,
    Editor,
    EditorPath,
    EditorPathNow,
    FactsSource,
    IncludePath,
    IncludePathNow,
    Model,
    ModelNow,
    TrustAgain,
    TrustRemoteCode,
    make_config,
    refuse_beside,
)

analysis_app = typer.Typer()

_OF_REPLAY = ("candidates", "controls", "fresh", "downstream")
_OF_MODEL = (
    *("model", "editor_path", "include_path", "trust_remote_code"),
    *("data_dir", "device", "cache_dir"),
)
"""Options of `analyze` for what it computes only by --replay, or only with the model in hand."""

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="name=value of a threshold, may be repeated: see docs/analysis.md."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@analysis_app.command("analyze")
def analyze_command(
    context: typer.Context,
    run: Annotated[Path, typer.Argument(help="Run directory, finished or not.")],
    settings: Settings = None,
    output: Annotated[
        Path | None, typer.Option(help="Where to write; default: analysis.json in the run.")
    ] = None,
    json: Json = False,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay",
            help="Make suspicious edits again as the first edit of the pristine model (Table 2).",
        ),
    ] = False,
    candidates: Annotated[int, typer.Option(min=1, help="Edits to replay, at most.")] = 10,
    controls: Annotated[
        int, typer.Option(min=20, help="Random first edits to compare them with.")
    ] = 100,
    fresh: Annotated[
        int, typer.Option(min=0, help="Fresh sets of templates for each replayed edit.")
    ] = 5,
    downstream: Annotated[
        bool, typer.Option(help="Ask the run's downstream tasks after each replayed edit.")
    ] = True,
    keys: Annotated[
        bool, typer.Option("--keys", help="Compare the keys of edits: which overwrote which.")
    ] = False,
    model: ModelNow = None,
    editor_path: EditorPathNow = None,
    include_path: IncludePathNow = None,
    trust_remote_code: TrustAgain = None,
    data_dir: DataDir = None,
    device: Device = None,
    cache_dir: CacheDir = None,
) -> None:
    """Find spikes, the point of collapse, phases and changes in a run."""
    here = {name: value for name, value in locals().items() if name in _OF_MODEL}
    from ..leaderboards._files import write_whole
    from ..leaderboards.analysis.analyse import analyse
    from ..leaderboards.analysis.constants import Constants
    from ..leaderboards.analysis.journal import read_run
    from ..leaderboards.analysis.show import analysis_tables

    if not replay:
        refuse_beside(context, "--replay", _OF_REPLAY, word="without")
    if not (replay or keys):
        refuse_beside(context, "--replay or --keys", _OF_MODEL, word="without")
    constants = Constants.with_settings(settings or ())
    if replay or keys:
        from .display import display_for
        from .overlaps import compute_overlaps
        from .replay import Wanted
        from .replay import replay as make_again

        with display_for(Console(stderr=json)) as display:
            if replay:
                wanted = Wanted(controls, fresh, candidates, downstream)
                make_again(read_run(run), wanted, constants, display, **here)
            if keys:
                compute_overlaps(read_run(run), display, **here)
    found = analyse(read_run(run), constants)
    console = Console()
    if json:
        sys.stdout.write(found.to_json())
    else:
        console.print(analysis_tables(found))
    try:
        path = write_whole(output or run / "analysis.json", found.to_json())
    except ResultError as error:
        elsewhere = "" if output else ": name another file with --output"
        raise ResultError(f"{error}{elsewhere}") from None
    if not json:
        console.print(f"analysis: {path}", markup=False, highlight=False, soft_wrap=True)


@analysis_app.command("properties")
def properties_command(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, several of each editor.")],
    settings: Settings = None,
    format: Annotated[
        Literal["table", "markdown", "json"], typer.Option(help="How to print it.")
    ] = "table",
) -> None:
    """Derive the table of the editors' properties (the paper's Table 3) from runs."""
    from ..leaderboards.analysis import properties_table
    from ..leaderboards.analysis.constants import Constants
    from ..leaderboards.analysis.journal import read_run
    from ..leaderboards.analysis.properties import properties

    constants = Constants.with_settings(settings or ())
    rows = properties([read_run(run) for run in runs], constants)
    if format == "table":
        Console().print(properties_table.PropertiesTable(rows))
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
    from ..leaderboards._files import write_whole
    from ..leaderboards.analysis.constants import Constants
    from ..leaderboards.analysis.journal import read_run
    from ..leaderboards.report.figures import write_figures
    from ..leaderboards.report.page import report

    constants = Constants.with_settings(settings or ())
    read = [read_run(run) for run in runs]
    written = [write_whole(output, report(read, constants))]
    if figures is not None:
        written += write_figures(read, figures, constants)
    for path in written:
        sys.stdout.write(f"{path}\n")


@analysis_app.command("hunt")
def hunt_command(
    context: typer.Context,
    editor: Editor,
    editor_path: EditorPath = None,
    model: Model = "smollm2-135m",
    edits: Annotated[str, typer.Option(help="Edit stream the facts are from.")] = "counterfact",
    sample: Annotated[int, typer.Option(min=0, max=9, help="Order in which they are tried.")] = 1,
    num: Annotated[int | None, typer.Option(min=1, help="Facts to try; default: all.")] = None,
    screen: Annotated[
        int | None,
        typer.Option(
            min=1, help="ROME and its kin: look at all keys first, edit only the likeliest so many."
        ),
    ] = None,
    controls: Annotated[
        int, typer.Option(min=1, help="With --screen: random facts edited for comparison.")
    ] = 20,
    screened_by: Annotated[
        Path | None,
        typer.Option(
            help="With --screen: folder of another hunt whose look at the keys decides, "
            "for any editor and the same facts."
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="Facts to measure in the end.")] = 10,
    downstream: Annotated[
        str | None, typer.Option(help="lm-eval tasks to ask of these, comma-separated.")
    ] = None,
    downstream_limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only the first so many documents of each.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    include_path: IncludePath = None,
    trust_remote_code: TrustRemoteCode = False,
    data_dir: DataDir = None,
    data_source: FactsSource = None,
    device: Device = None,
    dtype: Dtype = "float32",
    hparams: Annotated[
        list[str] | None, typer.Option(help="key=value, may be repeated; values in YAML.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder; default: in runs/hunt/, by model and editor.")
    ] = None,
    cache_dir: CacheDir = None,
    json: Json = False,
) -> None:
    """Try many facts as single edits: which ones disable the model? Repeated, it goes on."""
    fields = {key: value for key, value in locals().items() if key in RunConfig.model_fields}
    if not downstream:
        refused = ("downstream_limit", "include_path")
        refuse_beside(context, "--downstream", refused, word="without")
    if screen is None:
        refuse_beside(context, "--screen", ("controls",), word="without")
    lists = {"downstream": names(downstream), "hparams": tuple(hparams or ())}
    config = make_config({**fields, **lists})
    from .display import display_for
    from .hunt import Hunt, hunt
    from .hunt_table import hunt_table

    console = Console(stderr=json)
    with display_for(console) as display:
        found = hunt(Hunt(config, num, screen, screened_by, controls, top), display)
    if json:
        sys.stdout.write((found.folder / "hunt.json").read_text(encoding="utf-8"))
        return
    console.print(hunt_table(found.summary))
    console.print(f"hunt: {found.folder}", markup=False, highlight=False, soft_wrap=True)
