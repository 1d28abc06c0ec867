"""Which runs may be shown side by side."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .results import Result, ResultError

_LONGEST = 60

_SAME = {
    "suite.name": "run both with one --suite",
    "suite.version": "run both with one version of the suite",
    "suite.sha256": "run both with one and the same suite file",
    "model.weights_sha256": "run both on one --model",
    "model.dtype": "run both with one --dtype",
    "data.edits": "run both with one --edits",
    "data.files_sha256": "run both on the same data files",
}
"""What must be equal, and what to do where it is not."""
_PROTOCOL = {
    "protocol.mode": "run both with one --mode",
    "protocol.batch_size": "run both with one --batch-size",
    "protocol.each_edit": "run both with the same --skip",
    "protocol.checkpoint": "run both with the same --skip, --downstream and --downstream-every",
    "protocol.start_end": "run both with the same --skip",
    "protocol.limits": "run both with one --downstream-limit",
}
Parts = Mapping[str, Any]
"""What a result says of suite, model, data and protocol; of a journal, as its config has it."""


def protocol_key(result: Result) -> str:
    """Return all that must be equal for numbers to share a table, as one text."""
    parts = _parts(result)
    same = {field: _read(parts, field) for field in _SAME | _PROTOCOL}
    return json.dumps([same, result.protocol.num_edits], sort_keys=True)


def ensure_comparable(
    results: Sequence[Result],
    names: Sequence[str] | None = None,
    *,
    protocol: bool = False,
    edits: bool = False,
) -> None:
    """Refuse runs whose numbers mean different things.

    Args:
        results: The runs.
        names: What they are called in the message; their editors' names where none are given.
        protocol: Whether what was asked, and when, must be the same too.
        edits: Whether the number of edits that was asked for must be.

    Raises:
        ResultError: two of them differ; names both, the field, and what to do.
    """
    called = names or [result.editor.name for result in results]
    ensure_alike(list(map(_parts, results)), called, protocol=protocol, edits=edits)


def first_difference(one: Result, other: Result, names: tuple[str, str]) -> str:
    """Return what keeps two results, whose `protocol_key` differs, out of one table."""
    found = _differences(_parts(one), _parts(other), protocol=True, edits=True)
    return next(_said(field, pair, names) for field, pair, _ in found)


def ensure_alike(
    runs: Sequence[Parts], names: Sequence[str], *, protocol: bool, edits: bool = False
) -> None:
    """Refuse what `ensure_comparable` does, of runs that may have no result yet.

    Raises:
        ResultError: two of them differ; names both, the field, and what to do.
    """
    for run, name in zip(runs[1:], names[1:], strict=True):
        for field, pair, advice in _differences(runs[0], run, protocol=protocol, edits=edits):
            raise ResultError(
                f"runs with different {field.partition('.')[0]} cannot share a table or a figure: "
                f"{_said(field, pair, (names[0], name))}; {advice}, or leave one out"
            )


def _said(field: str, pair: tuple[Any, Any], names: tuple[str, str]) -> str:
    return f"{field} is {_shown(pair[0])} in {names[0]} and {_shown(pair[1])} in {names[1]}"


def _differences(
    one: Parts, other: Parts, *, protocol: bool, edits: bool
) -> Iterator[tuple[str, tuple[Any, Any], str]]:
    for field, advice in (_SAME | (_PROTOCOL if protocol else {})).items():
        ours, theirs = _read(one, field), _read(other, field)
        if ours == theirs:
            continue
        if isinstance(ours, dict) and isinstance(theirs, dict):
            key = min(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
            yield f"{field}, {_shown(key)},", (ours.get(key), theirs.get(key)), advice
        else:
            yield field, (ours, theirs), advice
    numbers = one["protocol"].get("num_edits"), other["protocol"].get("num_edits")
    if edits and numbers[0] != numbers[1]:
        yield "protocol.num_edits", numbers, f"compare them with --at {min(numbers)}"


def _parts(result: Result) -> dict[str, Any]:
    names = ("suite", "model", "data", "protocol")
    return {name: getattr(result, name).model_dump() for name in names}


def _read(parts: Parts, field: str) -> Any:
    """Return a value by its path; of a list of tasks which of them are asked, in any order."""
    part, _, name = field.partition(".")
    value = parts[part].get(name)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return dict.fromkeys(value, "asked")
    return value


def _shown(value: Any) -> str:
    """Return a value as a message repeats it: quoted if it is text, and not at any length."""
    if value is None:
        return "not there"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:16]}...{text[-5:]}"
