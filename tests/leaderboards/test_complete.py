"""The referee asks for all that the protocol asks: a better story is seen through."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from judged import add, fields, problems
from made_run import Parts, made_entry
from seqedit_bench.leaderboards.entry import Entry

Raw = dict[str, Any]


def break_at_twenty(made: Parts) -> None:
    """From edit 21 on ES is a coin, no edit is exact, earlier ones are lost, tasks fall."""
    for line in made.edits[20:]:
        line["metrics"] |= {"es": float(line["edit"] % 2), "em": 0.0, "es_exact": 0.0}
    for line in made.checkpoints:
        if line["edits"] > 20:
            line["edited"] = {name: [0.0] * len(values) for name, values in line["edited"].items()}
            line["tasks"] = {
                name: found | ({"weighted_f1": 1 / 3} if "weighted_f1" in found else {})
                for name, found in line["tasks"].items()
            }


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    return made_entry(tmp_path_factory.mktemp("broken") / "run", break_at_twenty, num_edits=100)


def no_collapse(raw: Raw) -> None:
    raw["collapse"] = {"type": "none", "edit": None}


def retention_ends_at_ten(raw: Raw) -> None:
    for name, record in raw["result"]["curves"]["retention"].items():
        for values in record.values():
            del values[1:]
        left = {kind: record[kind][0] for kind in ("instant", "sticky", "all_edits")}
        raw["result"]["summary"]["retention"][name] = left
    for followed in raw["series"]["retained"].values():
        followed["at"] = 10
        followed["values"] = raw["series"]["immediate"]["es"][:10]


def no_retention(raw: Raw) -> None:
    raw["result"]["curves"]["retention"] = raw["result"]["summary"]["retention"] = {}
    raw["series"]["retained"] = {}


def no_task(raw: Raw) -> None:
    for part in ("curves", "summary"):
        del raw["result"][part]["tasks"]["sst2_ll"]


def no_constant_answer(raw: Raw) -> None:
    del raw["result"]["curves"]["tasks"]["sst2_ll"]["metrics"]["constant_f1"]
    del raw["result"]["summary"]["tasks"]["sst2_ll"]["constant_f1"]


def no_exact_answers(raw: Raw) -> None:
    summary, curves = raw["result"]["summary"], raw["result"]["curves"]
    for part in (summary["immediate"], summary["immediate_last_50"], curves["immediate"]):
        part.pop("free", None)
    del raw["series"]["immediate"]["free"]


def collapse_elsewhere(raw: Raw) -> None:
    raw["collapse"] = {"type": "gradual", "edit": 95}


def collapse_by_a_spike_elsewhere(raw: Raw) -> None:
    raw["collapse"] = {"type": "catastrophic", "edit": 90}


@pytest.mark.parametrize(
    ("forge", "field"),
    [
        (no_collapse, "collapse.type"),
        (collapse_elsewhere, "collapse.edit"),
        (collapse_by_a_spike_elsewhere, "collapse.edit"),
        (retention_ends_at_ten, "series.retained.es.at"),
        (no_retention, "series.retained.es"),
        (no_task, "result.curves.tasks.sst2_ll.weighted_f1"),
        (no_constant_answer, "result.curves.tasks.sst2_ll.constant_f1"),
        (no_exact_answers, "series.immediate.free"),
    ],
)
def test_a_better_story_is_seen_through(
    forge: Callable[[Raw], None], field: str, broken: Entry, tmp_path: Path
) -> None:
    assert problems(add(tmp_path / "honest", broken)) == []
    assert broken.collapse.type == "gradual"
    raw = json.loads(broken.to_json())
    forge(raw)
    board = add(tmp_path / "forged", Entry.model_validate(raw))
    assert field in fields(board)


def test_a_collapse_of_a_whole_model_is_no_smaller_lie(tmp_path: Path) -> None:
    raw = json.loads(made_entry(tmp_path / "run", num_edits=60).to_json())
    raw["collapse"] = {"type": "gradual", "edit": 30}
    assert fields(add(tmp_path / "board", Entry.model_validate(raw))) == {"collapse.type"}
