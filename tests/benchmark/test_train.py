"""`seqedit-bench train`: what it trains on, that runs find the result, and its mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench.benchmark.train import HELD_BACK, training_data
from seqedit_bench.editors._mend_checkpoint import load_checkpoint
from seqedit_bench.tasks.edits import load_stream
from seqedit_bench.tasks.errors import InputError
from seqedit_bench.tasks.sources import Source

Command = Callable[..., Any]
SMALL = ["--training", "facts=6", "--training", "validation_facts=3", "--hparams", "rank=8"]
SMALL += ["--training", "validate_every=1", "--training", "batch_size=2"]


def subjects(cases: Any) -> set[str]:
    return {case.request.subject.lower() for case in cases}


def test_first_half_of_a_stream_is_kept_back_from_itself() -> None:
    data = training_data(Source("bundled"), ["counterfact"], facts=500, validation=10)
    stream = load_stream(Source("bundled"), "counterfact", sample=1).cases
    first = subjects(stream[: len(stream) // 2])
    assert not first & subjects(data.cases + data.validation)
    assert len(data.validation) == 10
    assert subjects(data.cases + data.validation) <= subjects(stream)
    assert len(data.cases) > 60
    assert not subjects(data.cases) & subjects(data.validation)
    assert set(data.provenance["files_sha256"]) == {"counterfact.jsonl"}


def test_choice_follows_the_seed() -> None:
    def chosen(seed: int) -> list[int]:
        data = training_data(Source("bundled"), ["zsre"], facts=9, validation=2, seed=seed)
        return [case.case_id for case in data.cases]

    assert chosen(0) == chosen(0) != chosen(1)


def test_official_edits_keep_every_benchmark_apart(data_dir: Path) -> None:
    source = Source("folder", data_dir)
    data = training_data(source, ["counterfact-edits", "zsre"], facts=30_000, validation=64)
    used = subjects(data.cases + data.validation)
    for place in (Source("bundled"), source):
        for name in ("counterfact", "zsre"):
            assert not used & subjects(load_stream(place, name, sample=1).cases[:HELD_BACK])
    long = load_stream(source, "counterfact-edits", sample=1).cases
    assert not used & subjects(long[:HELD_BACK])
    assert len(used) > 18_000
    few = training_data(source, ["counterfact-edits", "zsre"], facts=500, validation=64)
    assert all(case.paraphrase_prompts for case in few.cases)


def test_nothing_left_to_train_on(tmp_path: Path, counterfact_record: dict[str, Any]) -> None:
    (tmp_path / "counterfact.json").write_text(json.dumps([counterfact_record]), encoding="utf-8")
    with pytest.raises(InputError, match="--hold-back"):
        training_data(Source("folder", tmp_path), ["counterfact"], facts=5, validation=5)


def test_train_then_run(
    seqedit: Command, tiny_folder: Path, suite_file: Path, tmp_path: Path
) -> None:
    """Trained, trained on, and found by a run, whose record says what it used."""
    cache = tmp_path / "cache"
    place = ["--model", tiny_folder, "--cache-dir", cache, "--device", "cpu"]
    first = seqedit("train", "mend", *place, *SMALL, "--steps", "1")
    assert (first.code, first.err) == (0, "")
    assert "training on 6 facts, validating with 3" in first.out
    second = seqedit("train", "mend", *place, *SMALL, "--steps", "2")
    assert (second.code, second.err) == (0, "")
    assert "going on from step 1" in second.out
    assert "2 steps" in second.out
    (path,) = (path for path in (cache / "mend").iterdir() if "training" not in path.name)
    assert f"checkpoint: {path}" in second.out
    trained_on = load_checkpoint(path)[1].provenance["trained_on"]
    options = ["--suite", suite_file, "--num-edits", "2", "--output", tmp_path / "run"]
    done = seqedit("run", "--quiet", "--editor", "mend", *place, *options)
    assert (done.code, done.err) == (0, "")
    record = (tmp_path / "run" / "leaderboard.json").read_text(encoding="utf-8")
    assert path.name in record
    assert '"validation_facts": 3' in record
    text = (tmp_path / "run" / "edits.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert not {line["case_id"] for line in lines} & set(trained_on["case_ids"])
    assert [line["editor"]["seen_in_training"] for line in lines] == [0, 0]


def test_train_then_run_in_half_precision(
    seqedit: Command, tiny_folder: Path, suite_file: Path, tmp_path: Path
) -> None:
    """A network belongs to the weights as they are loaded."""
    place = ["--model", tiny_folder, "--cache-dir", tmp_path / "cache", "--dtype", "bfloat16"]
    done = seqedit("train", "mend", *place, *SMALL, "--steps", "1")
    assert (done.code, done.err) == (0, "")
    options = ["--suite", suite_file, "--num-edits", "1", "--output", tmp_path / "run"]
    done = seqedit("run", "--quiet", "--editor", "mend", *place, *options)
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rome"], "editor 'rome' has nothing to train"),
        (["mendd"], "did you mean 'mend'"),
        (["mend", "--data", "counterfac"], "did you mean 'counterfact'"),
        (["mend", "--data", "counterfact-edits"], "counterfact_all_edits.jsonl is not in"),
        (["mend", "--training", "lr"], "--training 'lr': write key=value"),
        (["mend", "--training", "lrr=1"], "did you mean 'lr'"),
        (["mend", "--training", "lr=-1"], "training setting lr"),
        (["mend", "--hparams", "layers=[9]"], "layer 9"),
        (["mend", "--steps", "0"], "--steps"),
        (["mend", "--dtype", "half"], "--dtype 'half': float32, bfloat16, float16"),
        (["mend", "--from-pt", "none.pt"], "none.pt is not there"),
        (["mend", "--from-pt", "x.pt", "--steps", "400"], "--steps has no effect beside --from-pt"),
        (["mend", "--from-pt", "x.pt", "--hold-back", "5"], "--hold-back has no effect beside"),
    ],
)
def test_mistakes(
    arguments: list[str], says: str, seqedit: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    done = seqedit("train", *arguments, "--model", tiny_folder, "--cache-dir", tmp_path)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1, done.err
    assert says in done.err
    assert not list(tmp_path.iterdir())


def test_run_without_training(
    seqedit: Command, tiny_folder: Path, suite_file: Path, tmp_path: Path
) -> None:
    options = ["--model", tiny_folder, "--suite", suite_file, "--cache-dir", tmp_path / "cache"]
    done = seqedit("run", "--quiet", "--editor", "mend", *options, "--output", tmp_path / "run")
    assert done.code == 2
    assert "seqedit-bench train mend" in done.err
