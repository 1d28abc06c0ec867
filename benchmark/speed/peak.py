"""A process of its own, to see the most memory that one thing takes; called by `run_rows`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

from ...editors import get_editor, resolve_hparams
from ...editors._architecture import Architecture
from .. import provenance
from ..config import RunConfig
from ..model import OriginalWeights
from ..observer import Silent
from ..runner import run
from . import plain
from .setting import ABOUT_AN_EDIT, Setting, write_suite

TASKS = {"retention": 2, "sst2_ll": 2}


def floor(config: RunConfig) -> None:
    """Load a model, copy the matrices an editor changes, and run one batch of a record."""
    setting = Setting.load(config, repeats=1, quick=True)
    model = setting.loaded.model
    architecture = Architecture.of(model)
    resolved = resolve_hparams(
        config.editor,
        get_editor(config.editor),
        model_name=config.model,
        shape=architecture.shape(model),
        overrides=(),
    )
    names = [
        f"{architecture.mlp_out_name(layer)}.weight"
        for layer in resolved.hparams.model_dump()["layers"]
    ]
    originals = OriginalWeights(model, names)
    plain.score_in_one_batch(model, setting.pairs(setting.requests(ABOUT_AN_EDIT, 1)))
    originals.restore()


def whole(config: RunConfig) -> None:
    """Make a run as users do."""
    with tempfile.TemporaryDirectory() as folder:
        suite = str(write_suite(Path(folder), checkpoint=TASKS))
        run(config.model_copy(update={"suite": suite, "output": Path(folder) / "run"}), Silent())


def main() -> None:
    """Do what the argument says and print the peak in bytes."""
    request = json.loads(sys.argv[1])
    config = RunConfig.model_validate(request["config"])
    device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    before = 0 if device.type == "cuda" else provenance.peak_memory(device)
    {"floor": floor, "run": whole}[request["what"]](config)
    sys.stdout.write(f'\n{{"bytes": {provenance.peak_memory(device) - before}}}\n')


if __name__ == "__main__":
    main()
