"""The command line: parse, call, print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..leaderboards import ResultError, read_result
from ..leaderboards.show import result_tables
from ..tasks.errors import InputError, unknown_name
from .cli_analysis import analysis_app
from .cli_board import board_app
from .cli_compare import compare_app
from .cli_leaderboard import leaderboard_app
from .config import RunConfig
from .options import (
    DEFAULT_CACHE,
    CacheDir,
    DataDir,
    DataSource,
    Device,
    Dtype,
    Editor,
    EditorPath,
    IncludePath,
    Model,
    TrustRemoteCode,
    make_config,
    names,
)
from .storage import StorageError

if TYPE_CHECKING:
    from .observer import Observer
    from .runner import Outcome

app = typer.Typer(
    help="Benchmark sequential knowledge editing of language models.\n\n"
    "`seqedit-bench --editor NAME ...` is short for `seqedit-bench run --editor NAME ...`.",
    pretty_exceptions_enable=False,
    add_completion=False,
)

Force = Annotated[
    bool, typer.Option("--force", help="Go on whatever has changed; the result will say what.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
# typer carries click under a private name; this is the base of all mistakes in arguments.
_UsageError: Any = typer.BadParameter.__mro__[1]
_INTERRUPTED = 130


@app.command("run")
def run_command(
    editor: Editor,
    editor_path: EditorPath = None,
    model: Model = "smollm2-135m",
    suite: Annotated[
        str,
        typer.Option(
            help="Suite name or YAML file: `list suites`. The file is data; tasks it names from "
            "--include-path are code."
        ),
    ] = "quick",
    edits: Annotated[str | None, typer.Option(help="Edit stream; default: the suite's.")] = None,
    num_edits: Annotated[int | None, typer.Option(min=1, help="Facts to edit.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Facts per call of the editor.")] = 1,
    mode: Annotated[
        str | None,
        typer.Option(
            help="instance-sequential, batch-sequential or batch-single (all facts in one call); "
            "default: as --batch-size says."
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=0, max=9, help="One of the paper's edit orders.")] = 1,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    downstream: Annotated[
        str | None, typer.Option(help="Further lm-eval tasks at checkpoints, comma-separated.")
    ] = None,
    downstream_every: Annotated[
        int | None, typer.Option(min=1, help="Edits between them; default: as the suite's.")
    ] = None,
    downstream_limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only the first so many documents of each.")
    ] = None,
    skip: Annotated[
        str | None,
        typer.Option(help="Tasks of the suite to leave out, comma-separated, or single_edit."),
    ] = None,
    include_path: IncludePath = None,
    stop_on_collapse: Annotated[
        bool,
        typer.Option(
            "--stop-on-collapse",
            help="End the sequence at the first edit that leaves NaN or infinity: in edited "
            "weights, in log-likelihoods of its prompts, or in the editor's losses.",
        ),
    ] = False,
    trust_remote_code: TrustRemoteCode = False,
    data_dir: DataDir = None,
    data_source: DataSource = None,
    device: Device = None,
    dtype: Dtype = "float32",
    cache_gb: Annotated[
        float,
        typer.Option(
            min=0,
            help="Memory for hidden states under the edited layers: prompts that come again then "
            "run only the layers above. Changes no number.",
        ),
    ] = 1.0,
    hparams: Annotated[
        list[str] | None, typer.Option(help="key=value, may be repeated; values in YAML.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Run directory; default: in runs/, by suite, model, editor and time."),
    ] = None,
    cache_dir: CacheDir = DEFAULT_CACHE,
    save_every: Annotated[
        int, typer.Option(min=1, help="Edits between saves; later ones are made again.")
    ] = 10,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in --output if a run was stopped there.")
    ] = False,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Edit a model fact after fact and measure it on the way."""
    fields = {key: value for key, value in locals().items() if key in RunConfig.model_fields}
    lists = {"downstream": names(downstream), "skip": names(skip)}
    config = make_config({**fields, "hparams": tuple(hparams or ()), **lists})
    if force and not resume:
        raise InputError("--force goes with --resume")
    from . import runner

    _show(lambda observer: runner.run(config, observer, resume=resume, force=force), quiet, json)


@app.command("resume")
def resume_command(
    run: Annotated[Path, typer.Argument(help="Run directory of a run that was stopped.")],
    force: Force = False,
    from_start: Annotated[
        bool,
        typer.Option(
            "--from-start", help="Trust no save: make all edits again, compared with the journal."
        ),
    ] = False,
    model: Annotated[str | None, typer.Option(help="Where the model is now.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the data files are now.")] = None,
    editor_path: Annotated[
        Path | None, typer.Option(help="Where the editor's file is now; it is code.")
    ] = None,
    include_path: Annotated[
        Path | None, typer.Option(help="Where the task files are now; their functions are code.")
    ] = None,
    trust_remote_code: Annotated[
        bool | None,
        typer.Option(
            "--trust-remote-code", help="Run Python code that comes with the model; it runs as you."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Torch device; default: as before.")] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the cache; default: as before.", envvar="SEQEDIT_CACHE_DIR"),
    ] = None,
    save_every: Annotated[
        int | None, typer.Option(min=1, help="Edits between saves; default: as before.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Go on with a run that was stopped, as if it had never been.

    Edits made after the last save are made again and compared with the journal.
    """
    given = {name: value for name, value in locals().items() if name in RunConfig.model_fields}
    from . import runner

    def go_on(observer: Observer) -> Outcome:
        return runner.resume_run(run, observer, force=force, from_start=from_start, **given)

    _show(go_on, quiet, json)


def _show(work: Callable[[Observer], Outcome], quiet: bool, json: bool) -> None:
    """Run something under a display and print its result; a wish to stop ends the process."""
    from .display import display_for
    from .observer import Silent
    from .stopping import Interrupted

    console = Console(stderr=json)
    try:
        if quiet:
            outcome = work(Silent())
        else:
            with display_for(console) as display:
                outcome = work(display)
    except Interrupted as stop:
        sys.stderr.write(f"{stop}\n")
        raise SystemExit(stop.status) from None
    if json:
        sys.stdout.write(outcome.result.to_json())
    else:
        console.print(result_tables(outcome.result))
        console.print(f"result: {outcome.path}", markup=False, highlight=False, soft_wrap=True)


@app.command("list")
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


@app.command("plot")
def plot_command(
    runs: Annotated[list[Path], typer.Argument(help="Run directories or result files.")],
    output: Annotated[
        Path | None,
        typer.Option(help="File name without ending; default: curves in the run, or overlay."),
    ] = None,
) -> None:
    """Draw a run's curves, or several runs' over each other, as PNG and SVG."""
    from ..leaderboards.plot import plot_run, plot_runs

    results = [read_result(path) for path in runs]
    if len(results) == 1 and output is None:
        written = plot_run(results[0], runs[0] if runs[0].is_dir() else runs[0].parent)
    else:
        editors = [result.editor.name for result in results]
        folders = [path.name if path.is_dir() else path.stem for path in runs]
        labels = editors if len(set(editors)) == len(editors) else folders
        written = plot_runs(results, labels, output or Path("overlay"))
    for path in written:
        sys.stdout.write(f"{path}\n")


@app.command(
    "lm-eval",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)
def lm_eval_command(context: typer.Context) -> None:
    """Run lm-evaluation-harness with our tasks and the model `seqedit`; arguments are its own."""
    from .lmeval import forward

    forward(context.args)


@app.command("moments")
def moments_command(
    model: Model = "smollm2-135m",
    text: Annotated[
        Path | None, typer.Option(help="Text file, documents separated by blank lines.")
    ] = None,
    hub: Annotated[str | None, typer.Option(help="Data set on the hub with a text column.")] = None,
    from_npz: Annotated[
        Path | None, typer.Option(help="Folder with the .npz files of ROME and MEMIT.")
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens to average over; default: 10 x d_ff.")
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(help="Layers, e.g. 3,4,5; default: all that our editors need for this model."),
    ] = None,
    mom2_dtype: Annotated[
        str, typer.Option(help="Type of the sums: float32 or float64.")
    ] = "float32",
    trust_remote_code: TrustRemoteCode = False,
    device: Device = None,
    cache_dir: CacheDir = DEFAULT_CACHE,
) -> None:
    """Estimate or check the second moments that editors need, ahead of a run."""
    from .display import display_for
    from .moments import precompute

    console, source = Console(), _moment_source(text, hub, from_npz)
    with display_for(console) as display:
        moments = precompute(
            model=model,
            source=source,
            num_tokens=tokens,
            layers=_layers(layers),
            mom2_dtype=mom2_dtype,
            trust_remote_code=trust_remote_code,
            device=device,
            cache_dir=cache_dir,
            observer=display,
        )
    table = Table("layer", "tokens", "condition number", "text")
    for moment in moments:
        table.add_row(
            str(moment.layer), str(moment.tokens), f"{moment.condition:.3g}", Text(moment.source)
        )
    console.print(table)
    use = [f"mom2_source={moments[0].source if source == 'auto' else source}"]
    if tokens is not None and from_npz is None:  # of published files all are used
        use.append(f"mom2_n_tokens={tokens}")
    if mom2_dtype != "float32":
        use.append(f"mom2_dtype={mom2_dtype}")
    options = " ".join(f"--hparams {each}" for each in use)
    console.print(f"use: {options}", markup=False, highlight=False, soft_wrap=True)


def _moment_source(text: Path | None, hub: str | None, from_npz: Path | None) -> str:
    given = [
        word
        for word in (text and str(text), hub and f"hub:{hub}", from_npz and f"npz:{from_npz}")
        if word
    ]
    if len(given) > 1:
        raise InputError("--text, --hub and --from-npz exclude each other: give one")
    return given[0] if given else "auto"


def _layers(text: str | None) -> list[int] | None:
    try:
        return sorted({int(part) for part in text.split(",")}) if text else None
    except ValueError:
        raise InputError(f"--layers {text!r}: write numbers separated by commas") from None


@app.command("train")
def train_command(
    editor: Annotated[str, typer.Argument(help="Editor that needs training.")],
    model: Model = "smollm2-135m",
    data: Annotated[
        str,
        typer.Option(help="counterfact, counterfact-edits, zsre; several comma-separated."),
    ] = "counterfact",
    data_dir: DataDir = None,
    data_source: DataSource = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps in all; repeat to go on.")] = 400,
    training: Annotated[
        list[str] | None, typer.Option(help="key=value of the training, may be repeated.")
    ] = None,
    hparams: Annotated[
        list[str] | None, typer.Option(help="key=value, may be repeated; values in YAML.")
    ] = None,
    hold_back: Annotated[
        int, typer.Option(min=0, help="Never train on the first so many edits of any stream.")
    ] = 1000,
    restart: Annotated[bool, typer.Option("--restart", help="Replace what is there.")] = False,
    from_pt: Annotated[
        Path | None, typer.Option(help="Convert a published .pt checkpoint instead.")
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
    device: Device = None,
    cache_dir: CacheDir = DEFAULT_CACHE,
) -> None:
    """Train what an editor needs, on facts that runs do not edit; repeated, it goes on."""
    from .display import display_for
    from .train import train_editor

    console = Console()
    with display_for(console) as display:
        outcome = train_editor(
            editor,
            model=model,
            data=names(data),
            data_dir=data_dir,
            data_source=data_source,
            steps=steps,
            settings=tuple(training or ()),
            hparams=tuple(hparams or ()),
            held_back=hold_back,
            restart=restart,
            trust_remote_code=trust_remote_code,
            device=device,
            cache_dir=cache_dir,
            from_pt=from_pt,
            observer=display,
        )
    for line in (*outcome.lines, f"checkpoint: {outcome.path}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command("check-editor")
def check_editor_command(
    editor: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE.py",
            help="An editor's name, or a file that registers one; a file is code and runs as you.",
        ),
    ],
    hparams: Annotated[
        list[str] | None, typer.Option(help="key=value, may be repeated; values in YAML.")
    ] = None,
) -> None:
    """Put an editor through its contract on tiny models; the status is 1 if a check fails."""
    from .check_editor import check_editor, find_editors, passed, report

    console = Console()
    good = True
    for name in find_editors(editor):
        with console.status(f"checking {name}"):
            outcomes = check_editor(name, overrides=tuple(hparams or ()))
        console.print(report(name, outcomes), soft_wrap=True)
        good = good and passed(outcomes)
    if not good:
        raise SystemExit(1)


@app.command("new-editor")
def new_editor_command(
    name: Annotated[str, typer.Argument(help="Name of the editor, in lower-case letters and _.")],
) -> None:
    """Write a working editor to start from, as NAME.py, and its card for the leaderboard."""
    from .new_editor import new_editor

    path, card = new_editor(name)
    sys.stdout.write(
        f"{path}\n{card}\ncheck:  seqedit-bench check-editor {path}\n"
        f"run:    seqedit-bench --editor {name} --editor-path {path} --num-edits 10\n"
        f"submit: fill in {card}, run the whole suite, then seqedit-bench submit RUN\n"
    )


app.registered_commands += analysis_app.registered_commands
app.registered_commands += board_app.registered_commands
app.registered_commands += compare_app.registered_commands
app.registered_commands += leaderboard_app.registered_commands


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
        shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
        sys.stderr.write(f"error: {shown}\n")
        raise SystemExit(2) from None
    except StorageError as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        raise SystemExit(1) from None
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("stopped: what was done so far is in the run directory or the cache\n")
        raise SystemExit(_INTERRUPTED) from None
