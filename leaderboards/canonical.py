"""One way to write a record as JSON, so that equal records are equal files and diffs are short."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

DIGITS = 6
"""Significant digits of a number that is not whole: more than any measurement here has."""
ALL_DIGITS = 17
"""So many tell every float from its neighbours."""


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """Return a record with its floats at six significant digits, and every key sorted.

    Example:
        >>> rounded({"b": 0.1 + 0.2, "a": [1, 2.0, 3545.07695]})
        {'a': [1, 2.0, 3545.08], 'b': 0.3}
    """
    if isinstance(value, dict):
        return {key: rounded(value[key], digits) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [rounded(each, digits) for each in value]
    # Adding 0.0 makes of -0.0, which is no other number, the usual one.
    return float(f"{value:.{digits}g}") + 0.0 if isinstance(value, float) else value


def canonical(value: Any, exact: Sequence[str] = ()) -> str:
    """Return a record as JSON: keys sorted, floats rounded, a list of plain values on one line.

    Args:
        value: The record.
        exact: Keys that lead to a part whose floats keep all digits: what was set, not measured.

    Raises:
        ValueError: a number in it is not finite.

    Example:
        >>> print(canonical({"edits": [5, 10], "name": "é"}), end="")
        {
         "edits": [5, 10],
         "name": "é"
        }
    """
    return _text(_rounded_but(value, exact), "\n") + "\n"


def _rounded_but(value: Any, exact: Sequence[str]) -> Any:
    record = rounded(value)
    if exact:
        *parents, last = exact
        place, source = record, value
        for key in parents:
            place, source = place[key], source[key]
        place[last] = rounded(source[last], ALL_DIGITS)
    return record


def _text(value: Any, line: str) -> str:
    if isinstance(value, dict) and value:
        return _block(
            "{}", (f"{_plain(k)}: {_text(v, line + ' ')}" for k, v in value.items()), line
        )
    if isinstance(value, list) and any(isinstance(each, (dict, list)) for each in value):
        return _block("[]", (_text(each, line + " ") for each in value), line)
    return _plain(value)


def _block(brackets: str, parts: Iterable[str], line: str) -> str:
    return f"{brackets[0]}{line} " + f",{line} ".join(parts) + line + brackets[1]


def _plain(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
