"""What a request is resolved to before a model is loaded, and what of it is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench import tasks
from seqedit_bench.benchmark import RunConfig
from seqedit_bench.benchmark.plan import Plan, make_plan
from seqedit_bench.tasks import InputError

Planned = Callable[..., Plan]
SINGLE = "single_edit: {edits: zsre, num_edits: 2, tasks: [zsre_efficacy, sst2_ll]}\nscore"


@pytest.fixture
def planned(tiny_folder: Path, suite_file: Path) -> Planned:
    """Plan a run of the tiny suite, or of another."""

    def plan(**fields: Any) -> Plan:
        asked = {"editor": "none", "model": str(tiny_folder), "suite": str(suite_file)}
        return make_plan(RunConfig.model_validate({**asked, **fields}))

    return plan


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("counterfact_ns]", "counterfact_ns, sst2_ll]", "each_edit names sst2_ll, .* no edit"),
        ("score", SINGLE, r"single_edit\.tasks names sst2_ll, .* no edit"),
        ("[es, ps, ns]", "[es, ps, nss]", r"unknown metric of score\.counterfact .*'nss'.*'ns'"),
        ("[es, ps, ns]", "[es, efficacy]", r"unknown metric of score\.counterfact .*'efficacy'"),
    ],
)
def test_a_suite_of_which_nothing_would_come(
    old: str, new: str, says: str, other_suite: Callable[..., Path], planned: Planned
) -> None:
    with pytest.raises(InputError, match=says):
        planned(suite=str(other_suite(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("each_edit: [", "each_edit: [my_es, ", "each_edit"),
        (
            "checkpoint:",
            "start_end: [counterfact_es, my_es]\ncheckpoint:",
            "checkpoint and start_end",
        ),
    ],
)
def test_two_tasks_with_one_metric(
    old: str,
    new: str,
    key: str,
    other_suite: Callable[..., Path],
    planned: Planned,
    tmp_path: Path,
) -> None:
    """One would hide the other: an edit has one value of a metric."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    ours = Path(tasks.__file__).parent / "counterfact" / "counterfact_es.yaml"
    (folder / "my_es.yaml").write_text(f"include: {ours}\ntask: my_es\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"counterfact_es in {key} both have the metric 'es'"):
        planned(suite=str(other_suite(old, new)), include_path=folder)


def test_a_task_asked_for_with_a_metric_of_the_suite(planned: Planned) -> None:
    """The suite is not to blame, and nobody can rename a task of the package."""
    says = "^--downstream: .* both have the metric 'es', .*: leave out counterfact_es$"
    with pytest.raises(InputError, match=says):
        planned(downstream=["counterfact_es"])


def test_what_is_left_out_is_not_missed(planned: Planned) -> None:
    plan = planned(skip=["counterfact_ns"])
    assert plan.score == ["es", "ps", "ns"]
    assert plan.not_measured == {"counterfact_ns": "left out by --skip"}


@pytest.mark.parametrize("edits", ["counterfact", "zsre"])
def test_scores_of_the_quick_suite(edits: str, planned: Planned) -> None:
    plan = planned(suite="quick", edits=edits)
    asked = [name for name in plan.suite.each_edit if name not in plan.tasks.empty]
    assert {*plan.score} <= {metric for name in asked for metric in plan.tasks.metrics_of(name)}


def test_a_limit_is_not_for_tasks_about_edits(planned: Planned) -> None:
    asked = {"downstream": ["counterfact_es", "sst2_ll"], "downstream_limit": 2}
    with pytest.raises(InputError, match="does not go with --downstream counterfact_es"):
        planned(**asked)
    assert planned(**{**asked, "downstream": ["sst2_ll"]}).limits == {"sst2_ll": 2}


@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize(
    "suite",
    ["checkpoint: {retention: 2, sst2_ll: 4}", "checkpoint: {retention: 2}\nstart_end: [sst2_ll]"],
)
def test_a_tag_is_not_for_what_the_suite_asks(
    suite: str, limit: int | None, other_suite: Callable[..., Path], planned: Planned
) -> None:
    """The suite's own tasks were cut to the limit, unseen."""
    file = str(other_suite("checkpoint: {retention: 2}", suite))
    asked = {"suite": file, "downstream": ["glue_fewshot_ll"], "downstream_limit": limit}
    says = "--downstream glue_fewshot_ll: suite tiny asks its task sst2_ll already; --skip sst2_ll"
    with pytest.raises(InputError, match=says):
        planned(**asked)
    plan = planned(**asked, skip=["sst2_ll"])
    assert "sst2_ll" in plan.tasks.leaves_of("glue_fewshot_ll")
    assert plan.not_measured == {}


def test_a_task_that_is_asked_otherwise_is_measured(planned: Planned) -> None:
    plan = planned(suite="quick", skip=["sst2_ll", "rte_corrected_ll"], downstream=["sst2_ll"])
    assert "sst2_ll" in plan.checkpoint
    assert plan.not_measured == {"rte_corrected_ll": "left out by --skip"}
