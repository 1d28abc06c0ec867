"""How much each edit's update answers to the keys of earlier edits, on the unedited model.

A locate-then-edit update is (what is written) u^T; ROME's u is C^-1 k, k being the mean key over
context templates. At another fact's key k' it writes the share (u . k') / (u . k) of what it writes
at its own: the disturbance that the editor itself accepts. Keys are those of the value's layer,
before any edit; for MEMIT, whose lower layers change too, they are near the true ones.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..editors._architecture import Architecture
from ..editors._keys import keys_and_outputs, subject_rows
from ..editors._locate import decode_strings
from ..editors._steps import SolvesValues
from ..editors._wrapper import Wrapper
from ..leaderboards.analysis.journal import OVERLAPS, RunJournal
from ..tasks import EditRequest, InputError
from .journal import write_whole
from .observer import Observer
from .rerun import open_rerun

_DIGITS = 5


def compute_overlaps(
    run: RunJournal, observer: Observer, **location: Path | str | bool | None
) -> Path:
    """Compute the overlaps of a run's edits and write them into its directory.

    Args:
        run: The run.
        observer: Told how far this has come.
        location: As for `open_rerun`.

    Returns:
        The file.

    Raises:
        InputError: the editor has no keys, or the run cannot be opened again.
    """
    rerun = open_rerun(run, observer, **location)
    editor = rerun.editor.core if isinstance(rerun.editor, Wrapper) else rerun.editor
    if not isinstance(editor, SolvesValues):
        raise InputError(f"--keys: editor {run.editor!r} has no keys to compare")
    requests = [case.request for case in rerun.plan.cases[: len(run.edits)]]
    rows = overlaps(editor, requests, observer)
    text = "".join(
        f'{{"edit":{number},"overlaps":{_row(row)}}}\n' for number, row in enumerate(rows, start=1)
    )
    write_whole(run.folder / OVERLAPS, text)
    return run.folder / OVERLAPS


def _row(values: Sequence[float]) -> str:
    """Write a row as JSON, which has no NaN."""
    return json.dumps([round(value, _DIGITS) if math.isfinite(value) else None for value in values])


@torch.no_grad()
def overlaps(
    editor: SolvesValues, requests: Sequence[EditRequest], observer: Observer
) -> list[list[float]]:
    """Return, for each request, what its update writes at each earlier one's key.

    Args:
        editor: On the unedited model, prepared.
        requests: In the order of their edits.
        observer: Told how far this has come.
    """
    layer, architecture = editor.value_layer, Architecture.of(editor.model)
    templates = decode_strings("context_templates", editor.state_dict())
    bare: list[Tensor] = []
    directions: list[Tensor] = []
    for number, request in enumerate(requests, start=1):
        rows = subject_rows(editor.tokenizer, request, templates)
        keys = keys_and_outputs(editor.model, architecture, layer, rows)[0].double()
        bare.append(keys[0])
        directions.append(editor.direction(keys))
        observer.working("keys", number, len(requests))
    own, along = torch.stack(bare), torch.stack(directions)
    shares = (along @ own.T) / (along * own).sum(1, keepdim=True)
    return [shares[at, :at].tolist() for at in range(len(requests))]
