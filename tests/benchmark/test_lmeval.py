"""The harness on a model that changes under it: nothing cached, nothing left behind."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lm_eval.api.task
import numpy as np
import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import CachingLM

from seqedit_bench.benchmark.lm import SequentialEditLM
from seqedit_bench.benchmark.lmeval import TaskSet, include_path, quiet
from seqedit_bench.benchmark.model import LoadedModel, load_model
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.edits import load_stream
from seqedit_bench.tasks.sources import Source

NAMES = ["counterfact_es", "counterfact_ps"]
WEIGHT = "transformer.h.1.mlp.c_proj.weight"
CASES = [
    case.case_id for case in load_stream(Source.choose(None, None), "counterfact", sample=1).cases
]

OTHER_TASK = """\
task: other
custom_dataset: !function documents.build
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: [" yes", " no"]
doc_to_target: 0
num_fewshot: 0
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1.0
"""
DOCUMENTS = """\
from datasets import Dataset

def build(**_):
    return {"test": Dataset.from_list([{"question": f"Is {n} even?"} for n in range(6)])}
"""


@pytest.fixture(scope="module")
def tasks() -> Iterator[TaskSet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SEQEDIT_DATA_DIR", raising=False)
        yield TaskSet(NAMES, metadata={"data_source": "bundled", "num_edits": 5})


@pytest.fixture
def loaded(tiny_folder: Path, tmp_path: Path) -> LoadedModel:
    return load_model(str(tiny_folder), device="cpu", dtype="float32", cache_dir=tmp_path)


@pytest.fixture
def lm(loaded: LoadedModel) -> SequentialEditLM:
    return SequentialEditLM(loaded)


@pytest.fixture
def other_task(tmp_path: Path) -> str:
    """A folder with a task whose documents belong to no edit."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "other.yaml").write_text(OTHER_TASK, "utf-8")
    (folder / "documents.py").write_text(DOCUMENTS, "utf-8")
    return str(folder)


def test_include_path_holds_the_tasks() -> None:
    assert (Path(include_path()) / "counterfact" / "counterfact_es.yaml").is_file()


def test_documents_belong_to_edits(tasks: TaskSet) -> None:
    assert tasks.documents_of("counterfact_es", CASES[:5]) == [0, 1, 2, 3, 4]
    assert tasks.documents_of("counterfact_es", [CASES[3], CASES[1]]) == [1, 3]
    assert tasks.documents_of("counterfact_ps", [CASES[1]]) == [2, 3]
    assert tasks.documents_of("counterfact_es", []) == []
    assert tasks.documents_of("counterfact_es", [10**6]) == []


def test_only_the_named_cases_are_asked(tasks: TaskSet, lm: SequentialEditLM) -> None:
    found = tasks.evaluate(lm, NAMES, [CASES[4], CASES[2]])
    asked = {name: [sample["doc"]["case_id"] for sample in found[name].samples] for name in NAMES}
    assert asked == {
        "counterfact_es": [CASES[2], CASES[4]],
        "counterfact_ps": [CASES[2], CASES[2], CASES[4], CASES[4]],
    }


def test_no_case_is_no_question(tasks: TaskSet, lm: SequentialEditLM) -> None:
    """The harness takes an empty list of samples for all of them."""
    assert tasks.evaluate(lm, NAMES, []) == {}
    assert tasks.evaluate(lm, [], CASES[:5]) == {}
    assert lm.scorer.tokens_scored == 0


def test_metrics_are_means_of_the_samples(tasks: TaskSet, lm: SequentialEditLM) -> None:
    found = tasks.evaluate(lm, NAMES, CASES[:5])
    for name in NAMES:
        for metric, value in found[name].metrics.items():
            values = [float(sample[metric]) for sample in found[name].samples]
            assert value == pytest.approx(sum(values) / len(values))
    assert set(found["counterfact_es"].metrics) == {
        "es",
        "em",
        "es_exact",
        "es_nll_new",
        "es_nll_true",
    }


def test_random_state_is_left_alone(
    tasks: TaskSet, lm: SequentialEditLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the harness draws while it evaluates, editors draw what they would have drawn."""
    score, draws = lm.scorer.score, []

    def drawing(pairs: Any) -> Any:
        draws.append((random.random(), np.random.random(), torch.rand(1).item()))
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)
        return score(pairs)

    monkeypatch.setattr(lm.scorer, "score", drawing)
    python, numpy, pytorch = random.getstate(), np.random.get_state(), torch.get_rng_state()
    tasks.evaluate(lm, NAMES, CASES[:2])
    assert draws
    assert random.getstate() == python
    for before, after in zip(numpy, np.random.get_state(), strict=True):
        assert np.array_equal(before, after)
    assert torch.equal(torch.get_rng_state(), pytorch)


def test_changed_weights_change_the_answers(
    tasks: TaskSet, lm: SequentialEditLM, loaded: LoadedModel
) -> None:
    def nlls() -> list[float]:
        samples = tasks.evaluate(lm, ["counterfact_es"], CASES[:3])["counterfact_es"].samples
        return [float(sample["es_nll_new"]) for sample in samples]

    weight = loaded.model.get_parameter(WEIGHT)
    original = weight.detach().clone()
    before = nlls()
    with torch.no_grad():
        weight.mul_(3)
    during = nlls()
    with torch.no_grad():
        weight.copy_(original)
    assert during != pytest.approx(before, abs=1e-3)
    assert nlls() == before


def test_gradients_and_modes_are_left_alone(
    tasks: TaskSet, lm: SequentialEditLM, loaded: LoadedModel
) -> None:
    tasks.evaluate(lm, NAMES, CASES[:2])
    assert torch.is_grad_enabled()
    assert not loaded.model.training
    assert all(parameter.grad is None for parameter in loaded.model.parameters())
    assert all(parameter.requires_grad for parameter in loaded.model.parameters())


def test_tasks_without_edits_are_asked_in_full(lm: SequentialEditLM, other_task: str) -> None:
    tasks = TaskSet(
        ["counterfact_es", "other"],
        metadata={"data_source": "bundled", "num_edits": 3},
        include=[other_task],
    )
    assert tasks.documents_of("other", CASES[:1]) is None
    found = tasks.evaluate(lm, ["counterfact_es", "other"], CASES[:1])
    assert [len(found[name].samples) for name in ("counterfact_es", "other")] == [1, 6]
    only_other = tasks.evaluate(lm, ["counterfact_es", "other"], [])
    assert set(only_other) == {"other"}
    assert only_other["other"].metrics == found["other"].metrics
    assert 0 <= found["other"].metrics["acc"] <= 1


def test_a_task_that_cannot_be_built_is_one_line(other_task: str) -> None:
    (Path(other_task) / "documents.py").write_text(
        "def build(**_):\n    raise OSError('gone\\nby')"
    )
    with pytest.raises(InputError, match="cannot build task other: gone by") as caught:
        TaskSet(["other"], metadata={}, include=[other_task])
    assert "\n" not in str(caught.value)


def test_a_task_without_documents_is_left_out_with_a_reason(
    lm: SequentialEditLM, tmp_path: Path
) -> None:
    """A record may have no paraphrase; where none has, the other scores are still measured."""
    fact = {
        "case_id": 3,
        "prompt": "The capital of {} is",
        "subject": "Norway",
        "target_new": "Rome",
        "target_true": "Oslo",
    }
    (tmp_path / "counterfact_all_edits.jsonl").write_text(json.dumps(fact), "utf-8")
    metadata = {"data_source": "folder", "data_dir": str(tmp_path), "edits": "counterfact-edits"}
    tasks = TaskSet(NAMES, metadata=metadata)
    assert list(tasks.empty) == ["counterfact_ps"]
    assert "paraphrase" in tasks.empty["counterfact_ps"]
    assert set(tasks.evaluate(lm, NAMES, [3])) == {"counterfact_es"}


def test_mistakes_in_the_data_are_passed_on() -> None:
    with pytest.raises(InputError, match="unknown data source 'friend'"):
        TaskSet(["counterfact_es"], metadata={"data_source": "friend"})


def test_quiet_ends_quietly() -> None:
    logger, bar = logging.getLogger("lm_eval"), lm_eval.api.task.tqdm
    level = logger.level
    with pytest.raises(KeyError), quiet():
        assert logger.getEffectiveLevel() == logging.ERROR
        assert lm_eval.api.task.tqdm is not bar
        raise KeyError
    assert logger.level == level
    assert lm_eval.api.task.tqdm is bar


def test_nothing_is_printed(
    tasks: TaskSet, lm: SequentialEditLM, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is evaluated after every edit: a bar or a log line each time would bury the run's own."""
    capfd.readouterr()
    tasks.evaluate(lm, NAMES, CASES[:2])
    assert capfd.readouterr() == ("", "")


def request(context: str, continuation: str) -> Instance:
    return Instance("loglikelihood", {}, (context, continuation), 0)


def test_requests_without_context_get_the_prefix_token(lm: SequentialEditLM) -> None:
    bare, spelled = lm.loglikelihood([request("", "Paris"), request("<|endoftext|>", "Paris")])
    assert bare.num_tokens == len(lm.tok_encode("Paris"))
    assert bare[0] == pytest.approx(spelled[0], abs=1e-5)


def test_answers_carry_their_token_counts(lm: SequentialEditLM) -> None:
    pairs = [("The capital is", " Paris"), ("The capital is", " Port-au-Prince"), ("A", ".")]
    scores = lm.loglikelihood([request(*pair) for pair in pairs])
    counts: list[Any] = [len(lm.tok_encode(continuation)) for _, continuation in pairs]
    assert [score.num_tokens for score in scores] == counts
    assert all(score[0] < 0 for score in scores)


def test_an_answer_cache_is_refused(lm: SequentialEditLM, tmp_path: Path) -> None:
    """Its keys know the text but not the weights: after an edit it would answer from before."""
    with pytest.raises(InputError, match=r"--use_cache .* leave it out"):
        CachingLM(lm, str(tmp_path / "answers.db"))


def test_asking_twice_gives_the_same_and_runs_the_model_twice(
    tasks: TaskSet, lm: SequentialEditLM
) -> None:
    first = tasks.evaluate(lm, NAMES, CASES[:5])
    tokens = lm.scorer.tokens_scored
    second = tasks.evaluate(lm, NAMES, CASES[:5])
    for name in NAMES:
        assert first[name].metrics == second[name].metrics
    assert lm.scorer.tokens_scored == 2 * tokens > 0
