"""One text for one record."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from seqedit_bench.leaderboards.canonical import canonical, rounded

SCALARS = (
    some.none()
    | some.booleans()
    | some.integers(-(2**53), 2**53)
    | some.floats(allow_nan=False, allow_infinity=False, width=32)
    | some.text(max_size=8)
)
RECORDS = some.recursive(
    SCALARS,
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(), inner, max_size=4),
    max_leaves=20,
)


def shuffled(value: Any, order: random.Random) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    return [shuffled(each, order) for each in value] if isinstance(value, list) else value


@given(RECORDS, some.randoms())
def test_one_record_has_one_text(record: Any, order: random.Random) -> None:
    text = canonical(record)
    read = json.loads(text)
    assert canonical(read) == text
    assert canonical(shuffled(record, order)) == text
    assert read == rounded(record)


def test_a_part_can_keep_all_digits() -> None:
    record = {"set": {"b": 1 / 3, "a": [0.1, -0.0]}, "measured": 1 / 3}
    text = canonical(record, exact=("set",))
    assert json.loads(text) == {"set": {"b": 1 / 3, "a": [0.1, 0.0]}, "measured": 0.333333}
    assert canonical(json.loads(text), exact=("set",)) == text


@given(some.floats(allow_nan=False, allow_infinity=False, width=32))
def test_six_digits_are_kept(value: float) -> None:
    read = json.loads(canonical([value]))[0]
    assert math.isclose(read, value, rel_tol=5.1e-6, abs_tol=1e-300)
    assert math.copysign(1, read) == 1 or read < 0  # no -0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_not_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"a": [value]})


def test_lists_of_plain_values_are_one_line() -> None:
    assert canonical({"b": [1, 0.1 + 0.2, None], "a": [[1], {}], "c": {}, "d": []}) == (
        '{\n "a": [\n  [1],\n  {}\n ],\n "b": [1, 0.3, null],\n "c": {},\n "d": []\n}\n'
    )
