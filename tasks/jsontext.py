"""JSON as others must be able to read it: what the standard library lets pass is refused here."""

from __future__ import annotations

import json
import math
import re
from typing import Any

_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape that may be half of a character."""


def parse_json(text: str) -> Any:
    """Decode a JSON text.

    Refused are also: a key twice in one object, NaN and infinity by name or by size, integers of
    thousands of digits, half characters, and nesting without end.

    Raises:
        ValueError: says what is wrong; a `json.JSONDecodeError` also where.

    Example:
        >>> parse_json('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ...
        ValueError: key 'a' is there twice
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
        if _HALF.search(text):
            _whole(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} is there twice")
    return made


def _constant(word: str) -> float:
    raise ValueError(f"{word} is not a number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


def _integer(digits: str) -> int:
    if len(digits) > 100:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _whole(value: Any) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{value[:40]!r} holds half a character") from None
    elif isinstance(value, dict):
        for key, item in value.items():
            _whole(key)
            _whole(item)
    elif isinstance(value, list):
        for item in value:
            _whole(item)
