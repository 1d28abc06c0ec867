"""Synthetic runs with the configuration of real ones, and the texts of an ill-meaning stranger."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from seqedit_bench.leaderboards.analysis import Constants
from seqedit_bench.leaderboards.analysis.journal import RunJournal

FAST = Constants(permutations=199, bootstrap=100)
HOSTILE = (
    "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>&amp;{{7*7}}"
)


def named(run: RunJournal, name: str, **config: Any) -> RunJournal:
    """Give a synthetic run the configuration of a real one."""
    settings = {
        "editor": {"name": name, "hparams": {"layers": [3]}, "hparams_source": "by hand"},
        "model": {"name": "tiny", "dtype": "float32", "weights_sha256": "0"},
        "suite": {"name": "paper", "version": 1, "sha256": "0"},
        "data": {"edits": "counterfact", "source": "folder", "sample": 1, "files_sha256": {}},
        "protocol": {"smoothing": "buckets", "batch_size": 1},
        "provenance": {"started": "2026-01-02T03:04:05", "versions": {"torch": "2"}},
        "request": {"sample": 1, "seed": 0, "hparams": []},
    }
    return dataclasses.replace(run, config={**settings, **config}, folder=Path(name))
