"""Protocols as the leaderboard knows them, held against the suites there are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from seqedit_bench.benchmark import RunConfig
from seqedit_bench.benchmark.plan import make_plan
from seqedit_bench.benchmark.protocols import known, protocol_of, with_current, with_present
from seqedit_bench.benchmark.record import describe_plan
from seqedit_bench.benchmark.suite import available_suites, load_suite
from seqedit_bench.editors import about_editor, available_editors, available_wrappers
from seqedit_bench.leaderboards.known import Own, Protocols, known_own, known_suites, score_of
from seqedit_bench.leaderboards.referee.rules import refusals
from seqedit_bench.leaderboards.results import Result
from seqedit_bench.tasks.edits import STREAMS

EXAMPLE = Path(__file__).parent.parent / "leaderboards" / "result.json"


@pytest.mark.parametrize("name", available_suites())
def test_a_suite_cannot_change_without_its_version(name: str) -> None:
    suite = load_suite(name)
    stored = known_suites()[name][suite.version]
    assert stored == protocol_of(suite), "give the suite another version, then: make schema"


def test_a_changed_suite_is_not_written_over() -> None:
    there = {name: dict(versions) for name, versions in known_suites().items()}
    there["quick"][1] = there["quick"][2]
    assert with_current(Protocols(there)).root == there  # earlier versions stay
    now = load_suite("quick").version
    there["quick"][now] = there["quick"][now].model_copy(update={"num_edits": 7})
    with pytest.raises(ValueError, match=f"quick@{now} has changed"):
        with_current(Protocols(there))


def test_what_is_this_projects_is_known() -> None:
    own = known_own()
    assert with_present(own) == own, "run: make schema"
    assert with_present(Own(editors={}, files={}, orders={})).editors.keys() == own.editors.keys()


def test_an_editor_that_says_another_thing_keeps_its_former_card() -> None:
    now = known_own().editors["rome"][-1]
    former = now.model_copy(update={"summary": "as it was", "hparams": ["layers"]})
    there = known_own().model_copy(deep=True)
    there.editors["rome"] = [now, former]
    assert with_present(there).editors["rome"] == [former, now]
    cards = replace(known(), own=with_present(there)).cards("rect+rome")
    assert [card.summary.partition("rome: ")[2] for card in cards] == ["as it was", now.summary]


@pytest.mark.parametrize("stream", STREAMS)
def test_score_is_that_of_the_streams_family(stream: str) -> None:
    for name in available_suites():
        score = load_suite(name).score
        assert score_of(score, stream) == score[STREAMS[stream].family]


def test_what_is_ours() -> None:
    here = known()
    ours = {*available_editors(), *available_wrappers()}
    assert set(here.own.editors) == {name for name in ours if about_editor(name)}
    assert {"rome", "rect", "none"} <= set(here.own.editors)
    assert here.is_ours("rect+rome")
    assert not any(map(here.is_ours, ("rect+mine", "rect", "rome+rome", "rome+rect")))
    assert "smollm2-135m" in here.models and "gpt-j-6b" not in here.models


@pytest.mark.parametrize("stream", ["counterfact", "zsre"])
def test_a_plan_asks_what_its_protocol_says(stream: str) -> None:
    """Of all that a suite asks, a run leaves out what is about edits of another family."""
    request = {"editor": "none", "model": "o/m", "edits": stream, "num_edits": 50}
    plan = make_plan(RunConfig.model_validate(request))
    asked = describe_plan(plan)
    raw = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    raw |= {name: getattr(asked, name).model_dump() for name in ("suite", "data", "protocol")}
    raw["ending"]["edits_done"] = 50
    raw["model"]["revision"] = "0" * 40
    raw["editor"]["name"] = "mine"
    raw["summary"]["baseline_records"] = 50
    assert [str(each) for each in refusals(Result.model_validate(raw), known())] == []
