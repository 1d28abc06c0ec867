"""Commands for what editors need before a run, and for writing new ones: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..tasks.errors import InputError
from ..tasks.sources import data_folder
from .config import default_cache, names
from .options import (
    CacheDir,
    DataDir,
    Device,
    Dtype,
    FactsSource,
    Model,
    TrustRemoteCode,
    refuse_beside,
)

editors_app = typer.Typer()

_OF_TRAINING = ("data", "data_dir", "data_source", "steps", "training", "hold_back", "restart")
"""Options of `train` that say how to train."""


@editors_app.command("moments")
def moments_command(
    context: typer.Context,
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
    dtype: Dtype = "float32",
    cache_dir: CacheDir = None,
) -> None:
    """Estimate or check the second moments that editors need, ahead of a run."""
    from .display import display_for
    from .moments import precompute

    if from_npz is not None:
        # Published files are taken as they are.
        refuse_beside(context, "--from-npz", ("tokens", "mom2_dtype"))
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
            dtype=dtype,
            cache_dir=cache_dir or default_cache(),
            observer=display,
        )
    table = Table("layer", "tokens", "condition number", "text")
    for moment in moments:
        table.add_row(
            str(moment.layer), str(moment.tokens), f"{moment.condition:.3g}", Text(moment.source)
        )
    console.print(table)
    use = [f"mom2_source={moments[0].source if source == 'auto' else source}"]
    if tokens is not None:
        use.append(f"mom2_n_tokens={tokens}")
    if mom2_dtype != "float32":
        use.append(f"mom2_dtype={mom2_dtype}")
    options = " ".join(f"--hparams {each}" for each in use)
    if dtype != "float32":
        options = f"--dtype {dtype} {options}"
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


@editors_app.command("train")
def train_command(
    context: typer.Context,
    editor: Annotated[str, typer.Argument(help="Editor that needs training.")],
    model: Model = "smollm2-135m",
    data: Annotated[
        str,
        typer.Option(help="counterfact, counterfact-edits, zsre; several comma-separated."),
    ] = "counterfact",
    data_dir: DataDir = None,
    data_source: FactsSource = None,
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
    dtype: Dtype = "float32",
    cache_dir: CacheDir = None,
) -> None:
    """Train what an editor needs, on facts that runs do not edit; repeated, it goes on."""
    from .display import display_for
    from .train import train_editor

    if from_pt is not None:
        refuse_beside(context, "--from-pt", _OF_TRAINING)
    console = Console()
    with display_for(console) as display:
        outcome = train_editor(
            editor,
            model=model,
            data=names(data),
            data_dir=data_folder(data_source, data_dir),
            data_source=data_source,
            steps=steps,
            settings=tuple(training or ()),
            hparams=tuple(hparams or ()),
            held_back=hold_back,
            restart=restart,
            trust_remote_code=trust_remote_code,
            device=device,
            dtype=dtype,
            cache_dir=cache_dir or default_cache(),
            from_pt=from_pt,
            observer=display,
        )
    for line in (*outcome.lines, f"checkpoint: {outcome.path}"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@editors_app.command("check-editor")
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


@editors_app.command("new-editor")
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
