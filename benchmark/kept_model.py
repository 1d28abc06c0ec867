"""The edited model on the disk, as `from_pretrained` reads it: `--keep-model`."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors import SafetensorError

from ..tasks.errors import InputError
from .model import LoadedModel
from .storage import storing

MODEL = "model"
"""Folder of a run directory."""


def refuse_too_late(run: Path) -> None:
    """Refuse to be asked for the edited model where a run is past its last edit.

    Raises:
        InputError: it holds no model.
    """
    if not (run / MODEL).is_dir():
        raise InputError(
            f"--keep-model comes too late: {run} is past its last edit, and holds no model. "
            "Leave it out, or choose another --output"
        )


def write_model(loaded: LoadedModel, run: Path) -> None:
    """Write weights, configuration and tokenizer to a run directory: all of it, or nothing.

    In half precision the edited matrices are in float32, as they were computed with: load them
    with `dtype=torch.float32`, or they are rounded.

    Args:
        loaded: The model as it is now.
        run: The run directory; what an earlier call left there is replaced.

    Raises:
        StorageError: it could not be written.
    """
    place, target = run / f"{MODEL}.writing", run / MODEL
    with storing(f"{MODEL}/ in {run}"):
        shutil.rmtree(place, ignore_errors=True)
        try:
            loaded.model.save_pretrained(place)
            loaded.tokenizer.save_pretrained(place)
        except SafetensorError as error:  # an error of the system, as text
            raise OSError(str(error)) from error
        if target.exists():
            shutil.rmtree(target)
        place.rename(target)
