"""JSON of files from anyone: what readers in other languages would not take is refused.

`tasks/jsontext.py` does so for data files: neither folder imports the other, and no library takes a
key that is there twice for a mistake. `tests/robustness/test_json.py` holds both to the same.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

_DIGITS = 30
"""Longest integer; no count needs more."""
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape that may be half of a character."""


def parse_json(text: str) -> Any:
    """Decode a JSON text with every key once, whole characters, and numbers that are finite.

    Raises:
        ValueError: says what is wrong; nesting without end included.

    Example:
        >>> parse_json('{"a": 1e999}')
        Traceback (most recent call last):
        ...
        ValueError: the number 1e999 is not finite
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_number,
            parse_float=_number,
            parse_int=_integer,
        )
        if _HALF.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("a text holds half a character") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice[:40]!r} is there twice")
    return made


def _number(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]} is not finite")
    return value


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)
