"""Numbers of single edits out of a journal, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .entry import Followed, Series

Line = dict[str, Any]
_ABSENT = "absent"


def series_of(edits: Sequence[Line], checkpoints: Sequence[Line]) -> Series:
    """Collect the numbers of single edits, log-likelihoods aside.

    Args:
        edits: Lines of `edits.jsonl`.
        checkpoints: Lines of `checkpoints.jsonl`.
    """
    names = dict.fromkeys(name for line in edits for name in line["metrics"] if "_nll" not in name)
    followed = {}
    for line in checkpoints:
        for name, values in line["edited"].items():
            if line["edits"] and "_nll" not in name:
                followed[name] = Followed(at=line["edits"], values=values)
    broken = {
        name: [
            number
            for number, line in enumerate(edits, start=1)
            if line["metrics"].get(name, _ABSENT) is None
        ]
        for name in names
    }
    return Series(
        case_ids=[line["case_id"] for line in edits],
        immediate={name: [line["metrics"].get(name) for line in edits] for name in names},
        not_finite={name: numbers for name, numbers in broken.items() if numbers},
        retained=followed,
    )


def lines_of(series: Series) -> list[Line]:
    """Return what a series has kept of each line of `edits.jsonl`.

    Metrics that an edit does not have are not in its line; what is not finite is None there.
    """
    lines: list[Line] = [{"case_id": case_id, "metrics": {}} for case_id in series.case_ids]
    for name, values in series.immediate.items():
        broken = set(series.not_finite.get(name, ()))
        for number, (line, value) in enumerate(zip(lines, values, strict=True), start=1):
            if value is not None or number in broken:
                line["metrics"][name] = value
    return lines


def misfits(series: Series, edits_done: int) -> Iterator[tuple[str, int, int]]:
    """Yield each list that is too long or too short for the edits: name, wanted length, its own."""
    edits = len(series.case_ids)
    lengths = [("case_ids", edits, edits_done)]
    lengths += [(f"immediate.{name}", len(each), edits) for name, each in series.immediate.items()]
    lengths += [
        (f"retained.{name}", len(each.values), min(each.at, edits))
        for name, each in series.retained.items()
    ]
    for name, found, wanted in lengths:
        if found != wanted:
            yield f"series.{name}", wanted, found
