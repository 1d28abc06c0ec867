"""Two readers of JSON, of folders that do not import each other, refuse the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from seqedit_bench.leaderboards import _jsontext
from seqedit_bench.tasks import jsontext

REFUSED = [
    "",
    "{",
    "[1,]",
    "{'a': 1}",
    "1 2",
    '{"a": 1, "a": 1}',
    '[{"b": {"a": 1, "c": 2, "a": 3}}]',
    "NaN",
    "[-Infinity]",
    "1e999",
    '{"a": -1e999}',
    "1" + "0" * 100,
    "[" * 100_000,
    '{"a":' * 100_000,
    '"\\ud800"',
    '{"a": ["\\uDC80"]}',
]
TAKEN = [
    "null",
    "[]",
    '{"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}',
    "[0, -1, 9223372036854775808, 0.1, -1e308, 1e-400]",
    '"caf\\u00e9 \\ud83d\\ude00 \\u0000"',
]
READERS = pytest.mark.parametrize("reader", [jsontext.parse_json, _jsontext.parse_json])


@READERS
@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_refused(text: str, reader: Callable[[str], Any]) -> None:
    with pytest.raises(ValueError, match=r"^.{3,80}$"):
        reader(text)


@READERS
@pytest.mark.parametrize("text", TAKEN)
def test_taken(text: str, reader: Callable[[str], Any]) -> None:
    assert reader(text) == json.loads(text)
