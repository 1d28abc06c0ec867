"""Numbers of single edits out of a journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .entry import Followed, Series

Line = dict[str, Any]


def series_of(edits: Sequence[Line], checkpoints: Sequence[Line]) -> Series:
    """Collect the numbers of single edits, log-likelihoods aside.

    Args:
        edits: Lines of `edits.jsonl`.
        checkpoints: Lines of `checkpoints.jsonl`.
    """
    names = dict.fromkeys(name for line in edits for name in line["metrics"])
    followed = {}
    for line in checkpoints:
        for name, values in line["edited"].items():
            if line["edits"] and "_nll" not in name:
                followed[name] = Followed(at=line["edits"], values=values)
    return Series(
        case_ids=[line["case_id"] for line in edits],
        immediate={
            name: [line["metrics"].get(name) for line in edits]
            for name in names
            if "_nll" not in name
        },
        retained=followed,
    )
