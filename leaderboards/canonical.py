"""One way to write a record as JSON, so that equal records are equal files and diffs are short."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

DIGITS = 6
"""Significant digits of a number that is not whole: more than any measurement here has."""


def rounded(value: Any) -> Any:
    """Return a record with its floats at six significant digits, and every key sorted.

    Example:
        >>> rounded({"b": 0.1 + 0.2, "a": [1, 2.0, 3545.07695]})
        {'a': [1, 2.0, 3545.08], 'b': 0.3}
    """
    if isinstance(value, dict):
        return {key: rounded(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    # Adding 0.0 makes of -0.0, which is no other number, the usual one.
    return float(f"{value:.{DIGITS}g}") + 0.0 if isinstance(value, float) else value


def canonical(value: Any) -> str:
    """Return a record as JSON: keys sorted, floats rounded, a list of plain values on one line.

    Raises:
        ValueError: a number in it is not finite.

    Example:
        >>> print(canonical({"edits": [5, 10], "name": "é"}), end="")
        {
         "edits": [5, 10],
         "name": "é"
        }
    """
    return _text(rounded(value), "\n") + "\n"


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
