"""Commands that make runs and go on with them: parse, call, print."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..leaderboards.show import result_tables
from ..tasks.errors import InputError
from .config import CACHE_VARIABLE, RunConfig, names
from .options import (
    CacheDir,
    DataDir,
    DataSource,
    Device,
    Dtype,
    Editor,
    EditorPath,
    EditorPathNow,
    IncludePath,
    IncludePathNow,
    Model,
    ModelNow,
    TrustAgain,
    TrustRemoteCode,
    make_config,
)

if TYPE_CHECKING:
    from .observer import Observer
    from .runner import Outcome

run_app = typer.Typer()

Force = Annotated[
    bool, typer.Option("--force", help="Go on whatever has changed; the result will say what.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@run_app.command("run")
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
    keep_model: Annotated[
        bool,
        typer.Option(
            "--keep-model",
            help="Write the model after the last edit to model/ in the run directory, as "
            "from_pretrained reads it.",
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
    cache_dir: CacheDir = None,
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


@run_app.command("resume")
def resume_command(
    run: Annotated[Path, typer.Argument(help="Run directory of a run that was stopped.")],
    force: Force = False,
    from_start: Annotated[
        bool,
        typer.Option(
            "--from-start", help="Trust no save: make all edits again, compared with the journal."
        ),
    ] = False,
    model: ModelNow = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where the data files are now.")] = None,
    editor_path: EditorPathNow = None,
    include_path: IncludePathNow = None,
    trust_remote_code: TrustAgain = None,
    device: Annotated[str | None, typer.Option(help="Torch device; default: as before.")] = None,
    cache_gb: Annotated[
        float | None, typer.Option(min=0, help="As of `run`; default: as before.")
    ] = None,
    cache_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the cache; default: as before.", envvar=CACHE_VARIABLE),
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
