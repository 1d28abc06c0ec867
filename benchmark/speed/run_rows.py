"""Rows about whole runs: do edits take longer as they add up, and how much memory is needed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import jsonlines

from ..config import RunConfig
from ..observer import Silent
from ..runner import run
from .measure import Goal, Measurement
from .setting import Setting, write_suite

ADDS_UP = "memit_seq"
"""An editor whose memory grows with every edit: the one that would slow down."""


def pace(setting: Setting) -> Measurement:
    """Seconds of late edits against early ones, in one run; measurements of the edit included."""
    span = 4 if setting.quick else 50
    last = 16 if setting.quick else min(500, len(setting.cases))
    with tempfile.TemporaryDirectory() as folder:
        config = setting.config.model_copy(
            update={
                "editor": ADDS_UP,
                "num_edits": last,
                "suite": str(write_suite(Path(folder), checkpoint={})),
                # The optimisation takes the same time whenever it comes, and longest.
                "hparams": ("v_num_grad_steps=2",),
                "output": Path(folder) / "run",
            }
        )
        run(config, Silent())
        with jsonlines.open(Path(folder) / "run" / "edits.jsonl") as lines:
            seconds: list[float] = [sum(line["seconds"].values()) for line in lines]
    early, late = seconds[:span], seconds[-span:]
    return Measurement(
        "pace",
        f"seconds an edit, edits {last - span + 1} to {last} of {ADDS_UP}",
        f"edits 1 to {span}",
        Goal(1.05, at_least=False),
        [median(late) / median(early)],
        early,
        late,
    )


def memory(setting: Setting) -> Measurement:
    """Peak memory of a run, against the model, its edited matrices and one batch.

    Two fresh processes. What Python and its libraries take before a model is there is on neither
    side.
    """
    config = setting.config.model_copy(update={"editor": "memit", "num_edits": 2})
    plain = _peak("floor", config)
    ours = _peak("run", config)
    return Measurement(
        "memory",
        "peak memory of a run of memit with downstream tasks",
        "the model, its edited matrices, one padded batch",
        Goal(1.3, at_least=False),
        [ours / plain],
        [plain],
        [ours],
        unit="GB",
    )


def _peak(what: str, config: RunConfig) -> float:
    """Return the gigabytes a fresh process takes at most, above what its imports took."""
    request = json.dumps({"what": what, "config": config.model_dump(mode="json")})
    command = [sys.executable, "-m", "seqedit_bench.benchmark.speed.peak", request]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the process that measures memory failed: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found["bytes"] / 1e9
