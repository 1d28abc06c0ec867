"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..tasks.errors import InputError
from ..tasks.sources import DATA_VARIABLE, data_folder
from .config import CACHE_VARIABLE, RunConfig, make_request

Editor = Annotated[str, typer.Option(help="Editor to benchmark: `seqedit-bench list editors`.")]
EditorPath = Annotated[
    Path | None,
    typer.Option(help="Python file that registers an editor; it is code and runs as you."),
]
Model = Annotated[str, typer.Option(help="Hub id, local folder, or alias: `list models`.")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help=f"Folder with the official data files; default: {DATA_VARIABLE}, unless data is to "
        "come from elsewhere."
    ),
]
DataSource = Annotated[
    str | None,
    typer.Option(
        help="bundled, folder or hub; default: the folder if one is named, else what the suite "
        "says, else bundled."
    ),
]
FactsSource = Annotated[
    str | None,
    typer.Option(help="bundled, folder or hub; default: the folder if one is named, else bundled."),
]
"""Where facts come from in commands without a suite."""
IncludePath = Annotated[
    Path | None,
    typer.Option(
        help="Folder of further lm-eval task files; what they name by !function is code and runs "
        "as you."
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code", help="Run Python code that comes with the model; it runs as you."
    ),
]
ModelNow = Annotated[str | None, typer.Option("--model", help="Where the model is now.")]
EditorPathNow = Annotated[
    Path | None,
    typer.Option("--editor-path", help="Where the editor's file is now; it is code."),
]
IncludePathNow = Annotated[
    Path | None,
    typer.Option("--include-path", help="Where the task files are now; their functions are code."),
]
TrustAgain = Annotated[
    bool | None,
    typer.Option(
        "--trust-remote-code", help="Run Python code that comes with the model; it runs as you."
    ),
]
"""Options for a run that was made: what is not named again is not run."""
Device = Annotated[
    str | None,
    typer.Option(
        help="Torch device; default: the GPU if there is one. auto: layers over all GPUs there are."
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        help="float32, bfloat16 or float16. Matrices that edits change are kept in float32 all the "
        "same: half precision cannot hold a single edit."
    ),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        help=f"Folder for what can be computed again; default: {CACHE_VARIABLE}, else in ~/.cache."
    ),
]


def refuse_beside(
    context: typer.Context, flag: str, names: Iterable[str], *, word: str = "beside"
) -> None:
    """Refuse options that have no effect beside another, or without it.

    Args:
        context: Of the command: it knows what was typed.
        flag: The other.
        names: The options, as the command's function calls them.
        word: `beside` or `without`.

    Raises:
        InputError: one of them was given.
    """
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(
                f"--{name.replace('_', '-')} has no effect {word} {flag}: leave it out"
            )


def make_config(fields: dict[str, Any]) -> RunConfig:
    """Put a request together.

    Raises:
        InputError: a value that is not allowed; names the option.
    """
    folder = data_folder(fields.get("data_source"), fields.get("data_dir"))
    every = {**fields, "data_dir": folder}
    given = {name: value for name, value in every.items() if value is not None}
    return make_request(given, lambda name: f"--{name.replace('_', '-')}")
