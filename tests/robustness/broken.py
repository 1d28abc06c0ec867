"""What a broken file is: its content, how it reaches the program, and what must be said."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

RECORD: dict[str, Any] = {
    "case_id": 0,
    "requested_rewrite": {
        "prompt": "The capital of {} is",
        "subject": "France",
        "target_new": {"str": "Rome"},
        "target_true": {"str": "Paris"},
    },
    "paraphrase_prompts": ["France is governed from"],
    "neighborhood_prompts": ["The capital of Peru is"],
}
SUITE = """\
name: tiny
version: 3
description: for tests
data_source: bundled
edits: counterfact
num_edits: 1
baseline_records: 1
each_edit: [counterfact_es]
checkpoint: {retention: 2}
score: {counterfact: [es]}
smoothing: buckets
"""


class Broken(NamedTuple):
    """One file that cannot be used."""

    name: str
    """What is wrong with it; unique."""
    file: str
    """Path of the file in an empty folder; with a / at its end, a folder."""
    content: bytes
    says: str
    """A regular expression that the one line on stderr must match, after the file's name."""
    command: str
    """Arguments; {path} and {folder} are filled in, {run} stands for a run on the tiny model."""
    names: str = ""
    """What the line must name if that is not the file."""


def encoded(value: Any) -> bytes:
    """Return a value as JSON."""
    return json.dumps(value).encode()


def changed(record: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of a record with one field replaced, or removed where the value is `...`."""
    copy = json.loads(json.dumps(record))
    *parents, last = path.split(".")
    place = copy
    for key in parents:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return copy
