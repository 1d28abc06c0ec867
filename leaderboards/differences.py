"""What differs between two records, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

MISSING = "nothing"


class Difference(NamedTuple):
    """One value that was another before."""

    key: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key} was {_short(self.then)}, is {_short(self.now)}"


def differences(then: Any, now: Any) -> list[Difference]:
    """Return where two JSON values differ, by the path of keys that leads there.

    Example:
        >>> [str(each) for each in differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2})]
        ['a.b was 1, is 3']
    """
    before, after = dict(_leaves(then, "")), dict(_leaves(now, ""))
    found = []
    for key in {**before, **after}:
        pair = before.get(key, MISSING), after.get(key, MISSING)
        if pair[0] != pair[1]:
            found.append(Difference(key, *pair))
    return found


def listed(found: Sequence[Difference], most: int = 6) -> str:
    """Return differences in one line."""
    more = f"; and {len(found) - most} more" if len(found) > most else ""
    return "; ".join(map(str, found[:most])) + more


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    if not items:
        yield path, value
    for key, item in items:
        yield from _leaves(item, f"{path}.{key}" if path else str(key))


def _short(value: Any) -> str:
    text = value if value is MISSING else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
