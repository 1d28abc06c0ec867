"""The CounterFact and retention tasks: as YAML, and as plain lm-evaluation-harness runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.benchmark.lm import SequentialEditLM
from seqedit_bench.benchmark.lmeval import TaskSet, include_path
from seqedit_bench.benchmark.model import load_model
from seqedit_bench.tasks.counterfact.scores import (
    neighborhood_documents,
    paraphrase_documents,
    rewrite_documents,
    targets,
)
from seqedit_bench.tasks.edits import load_stream
from seqedit_bench.tasks.sources import Source

METRICS = {
    "counterfact_es": "es",
    "counterfact_ps": "ps",
    "counterfact_ns": "ns",
    "retention": "es",
}
PROMPTS = {"counterfact_es": 1, "counterfact_ps": 2, "counterfact_ns": 10, "retention": 1}

# The harness's decorators hide these signatures from a type checker.
plain_evaluate: Any = simple_evaluate
PlainLM: Any = HFLM


@pytest.fixture(autouse=True)
def bundled_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQEDIT_DATA_DIR", raising=False)


def build(names: list[str], **metadata: Any) -> dict[str, Any]:
    manager = TaskManager(
        include_path=include_path(), include_defaults=False, metadata=metadata or None
    )
    return dict(manager.load(names)["tasks"])


@pytest.mark.parametrize("name", METRICS)
def test_yaml_names_metrics_direction_and_version(name: str) -> None:
    task = build([name], num_edits=2)[name]
    score = METRICS[name]
    wanted, other = ("true", "new") if score == "ns" else ("new", "true")
    assert task.higher_is_better() == {
        score: True,
        f"{score[0]}m": True,
        f"{score}_exact": True,
        f"{score}_nll_{wanted}": False,
        f"{score}_nll_{other}": True,
    }
    assert set(task.aggregation()) == set(task.higher_is_better())
    assert task.VERSION == 1.0
    assert task.config.metadata["scope"] == "edits"
    assert len(list(task.test_docs())) == 2 * PROMPTS[name]


def test_every_task_file_is_covered() -> None:
    """A new task that belongs to edits must be added above."""
    manager = TaskManager(include_path=include_path(), include_defaults=False)
    folders = {Path(include_path()) / folder for folder in ("counterfact", "retention")}
    named = {
        path.stem for folder in folders for path in folder.glob("*.yaml") if path.stem[0] != "_"
    }
    assert named == set(METRICS)
    assert set(METRICS) <= set(manager.all_tasks)


def test_documents_are_in_the_order_of_the_edits() -> None:
    cases = load_stream(Source.choose(None, None), "counterfact", sample=4).cases[:5]
    documents = rewrite_documents(sample=4, num_edits=5)["test"]
    assert documents["case_id"] == [case.case_id for case in cases]
    assert documents["prompt"] == [case.request.text for case in cases]
    assert [targets(document) for document in documents] == [
        [case.request.target_new, case.request.target_true] for case in cases
    ]
    paraphrases = paraphrase_documents(sample=4, num_edits=5)["test"]["prompt"]
    assert paraphrases == [prompt for case in cases for prompt in case.paraphrase_prompts]
    neighbors = neighborhood_documents(sample=4, num_edits=5)["test"]["prompt"]
    assert neighbors == [prompt for case in cases for prompt in case.neighborhood_prompts]


def test_counts_are_those_of_the_named_tokenizer(
    tiny_folder: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    for metadata in ({"tokenizer": str(tiny_folder)}, {"pretrained": str(tiny_folder)}):
        for document in rewrite_documents(num_edits=3, **metadata)["test"]:
            for target in ("new", "true"):
                ids = tokenizer(document[f"target_{target}"]).input_ids
                assert document[f"tokens_{target}"] == len(ids)
    assert set(rewrite_documents(num_edits=3)["test"]["tokens_new"]) == {0}


@pytest.fixture
def folder(tmp_path: Path, counterfact_record: dict[str, Any]) -> Path:
    """A data folder with one fact of its own."""
    counterfact_record["requested_rewrite"]["subject"] = "Someone Else"
    path = tmp_path / "data" / "counterfact.json"
    path.parent.mkdir()
    path.write_text(json.dumps([counterfact_record]), encoding="utf-8")
    return path.parent


def test_documents_of_a_data_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ["Someone Else can be found in the city of"]
    assert rewrite_documents(data_dir=str(folder))["test"]["prompt"] == expected
    monkeypatch.setenv("SEQEDIT_DATA_DIR", str(folder))
    assert rewrite_documents()["test"]["prompt"] == expected


def test_the_environment_does_not_override_the_metadata(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQEDIT_DATA_DIR", str(folder))
    documents = rewrite_documents(data_source="bundled", data_dir=None, num_edits=2)["test"]
    assert "Someone Else" not in " ".join(documents["prompt"])


@pytest.mark.parametrize(("family", "style"), [("gpt2", "gpt2"), ("llama", "llama3")])
def test_the_harness_alone_gives_the_same_likelihoods(
    family: str,
    style: str,
    make_model: Callable[..., PreTrainedModel],
    tokenizers: dict[str, PreTrainedTokenizerFast],
    tmp_path: Path,
) -> None:
    """`lm_eval --include_path ... --metadata '{"tokenizer": ...}'` against our own path."""
    place = str(tmp_path / family)
    make_model(family).save_pretrained(place)
    tokenizers[style].save_pretrained(place)
    loaded = load_model(place, device="cpu", dtype="float32", cache_dir=tmp_path)
    names = list(METRICS)
    metadata = {"tokenizer": place, "num_edits": 3}
    found = plain_evaluate(
        model=PlainLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=32),
        tasks=names,
        task_manager=TaskManager(
            include_path=include_path(), include_defaults=False, metadata=metadata
        ),
        bootstrap_iters=0,
        metadata=metadata,
    )
    tasks = TaskSet(names, metadata={"num_edits": 3})
    cases = [document["case_id"] for document in rewrite_documents(num_edits=3)["test"]]
    ours = tasks.evaluate(SequentialEditLM(loaded), names, cases)
    for name in names:
        assert len(ours[name].samples) == 3 * PROMPTS[name]
        for mine, theirs in zip(ours[name].samples, found["samples"][name], strict=True):
            assert mine["doc"]["prompt"] == theirs["doc"]["prompt"]
            for metric in mine["metrics"]:
                assert float(mine[metric]) == pytest.approx(float(theirs[metric]), abs=1e-4)
        for metric, value in ours[name].metrics.items():
            assert value == pytest.approx(found["results"][name][f"{metric},none"], abs=1e-4)
        assert f"{METRICS[name]}_nll_new" in ours[name].metrics
