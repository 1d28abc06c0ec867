"""Which runs may be shown side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .results import Result, ResultError

_LONGEST = 60
_Read = Callable[[Result], Any]

_SAME: dict[str, tuple[_Read, str]] = {
    "suite.name": (lambda it: it.suite.name, "run both with one --suite"),
    "suite.version": (lambda it: it.suite.version, "run both with one version of the suite"),
    "suite.sha256": (lambda it: it.suite.sha256, "run both with one and the same suite file"),
    "model.weights_sha256": (lambda it: it.model.weights_sha256, "run both on one --model"),
    "model.dtype": (lambda it: it.model.dtype, "run both with one --dtype"),
    "data.edits": (lambda it: it.data.edits, "run both with one --edits"),
    "data.files_sha256": (lambda it: it.data.files_sha256, "run both on the same data files"),
}
_PROTOCOL: dict[str, tuple[_Read, str]] = {
    "protocol.mode": (lambda it: it.protocol.mode, "run both with one --mode"),
    "protocol.batch_size": (lambda it: it.protocol.batch_size, "run both with one --batch-size"),
    "protocol.each_edit": (
        lambda it: dict.fromkeys(it.protocol.each_edit, "asked"),
        "run both with the same --skip",
    ),
    "protocol.checkpoint": (
        lambda it: it.protocol.checkpoint,
        "run both with the same --skip, --downstream and --downstream-every",
    ),
    "protocol.start_end": (
        lambda it: dict.fromkeys(it.protocol.start_end, "asked"),
        "run both with the same --skip",
    ),
    "protocol.limits": (lambda it: it.protocol.limits, "run both with one --downstream-limit"),
}


def protocol_key(result: Result) -> str:
    """Return all that must be equal for numbers to share a table, as one text."""
    same = {field: read(result) for field, (read, _) in (_SAME | _PROTOCOL).items()}
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
    for result, name in zip(results[1:], called[1:], strict=True):
        for field, ours, theirs, advice in _differences(results[0], result, protocol, edits):
            what = field.partition(".")[0]
            raise ResultError(
                f"runs with different {what} cannot share a table or a figure: {field} is "
                f"{_shown(ours)} in {called[0]} and {_shown(theirs)} in {name}; {advice}, or "
                "leave one out"
            )


def _differences(
    one: Result, other: Result, protocol: bool, edits: bool
) -> Iterator[tuple[str, Any, Any, str]]:
    for field, (read, advice) in (_SAME | (_PROTOCOL if protocol else {})).items():
        ours, theirs = read(one), read(other)
        if ours == theirs:
            continue
        if isinstance(ours, dict):
            key = min(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
            yield f"{field}, {_shown(key)},", ours.get(key), theirs.get(key), advice
        else:
            yield field, ours, theirs, advice
    if edits and one.protocol.num_edits != other.protocol.num_edits:
        numbers = one.protocol.num_edits, other.protocol.num_edits
        yield "protocol.num_edits", *numbers, f"compare them with --at {min(numbers)}"


def _shown(value: Any) -> str:
    """Return a value as a message repeats it: quoted if it is text, and not at any length."""
    if value is None:
        return "not there"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:16]}...{text[-5:]}"
