"""What is wrong with an entry, and how numbers of entries are held against each other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

RELATIVE, ABSOLUTE = 1e-5, 2e-6
"""What six digits leave open, once means are taken of numbers that have been rounded."""
MISSING = "nothing"
DRIFT = 0.05
"""By how much a share may differ between machines or versions of the code, all else being equal."""


class Problem(NamedTuple):
    """One thing that is wrong."""

    field: str
    """Where in the entry; "file" for the file itself."""
    text: str
    """What is wrong, and where there is one, the way out."""
    file: str = ""
    """Which entry, below the folder of entries."""

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.field, self.text) if part)


def close(one: Any, other: Any) -> bool:
    """Return whether two values of entries are the same, as far as six digits say."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return one == other


def drifted(one: Any, other: Any) -> bool:
    """Return whether two values differ by more than machines do: of what is above 1, in parts.

    Example:
        >>> drifted(0.9, 0.86), drifted(0.9, 0.84), drifted(107.0, 110.0), drifted(0.9, None)
        (False, True, False, True)
    """
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) > DRIFT * max(1.0, abs(one), abs(other))
    return one != other


def compared(field: str, stored: Any, expected: Any) -> Iterator[Problem]:
    """Yield where a part of an entry is not what the rest of it makes it."""
    if isinstance(stored, dict) and isinstance(expected, dict):
        for key in sorted({*stored, *expected}):
            yield from compared(
                f"{field}.{key}", stored.get(key, MISSING), expected.get(key, MISSING)
            )
    elif isinstance(stored, list) and isinstance(expected, list) and len(stored) == len(expected):
        for index, pair in enumerate(zip(stored, expected, strict=True)):
            yield from compared(f"{field}.{index}", *pair)
    elif not close(stored, expected):
        yield Problem(
            field, f"is {short(stored)}, and the rest of the entry gives {short(expected)}"
        )


def short(value: Any) -> str:
    """Return a value as a message shows it."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if value is MISSING else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
