"""A hand-made result, small enough to be changed field by field."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench.leaderboards import Result

EXAMPLE = Path(__file__).with_name("result.json")


@pytest.fixture
def raw_result() -> dict[str, Any]:
    """The decoded example, to be changed at will."""
    return json.loads(EXAMPLE.read_text(encoding="utf-8"))


@pytest.fixture
def make_result(raw_result: dict[str, Any]) -> Callable[..., Result]:
    """Build a result with some fields changed: `make_result(suite__version=3)`."""

    def make(**changes: Any) -> Result:
        data = copy.deepcopy(raw_result)
        for path, value in changes.items():
            *parents, last = path.split("__")
            place = data
            for key in parents:
                place = place[key]
            place[last] = value
        if not any(path.startswith("ending") for path in changes):
            data["ending"]["edits_done"] = data["protocol"]["num_edits"]
        return Result.model_validate(data)

    return make
