"""Suites: those that come with the package are sound, and a file of one's own works like them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from seqedit_bench.benchmark.lmeval import TaskSet
from seqedit_bench.benchmark.suite import available_suites, load_suite
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.edits import STREAMS


def test_quick_is_there_and_needs_no_network() -> None:
    assert "quick" in available_suites()
    suite = load_suite("quick")
    assert suite.data_source == "bundled"
    assert suite.edits in STREAMS


@pytest.mark.parametrize("name", available_suites())
def test_bundled_suite_is_sound(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.description
    assert suite.num_edits >= suite.checkpoint.every
    assert len(suite.sha256) == 64


@pytest.mark.parametrize(
    "name", [name for name in available_suites() if load_suite(name).data_source == "bundled"]
)
def test_bundled_suite_names_real_tasks_and_metrics(name: str) -> None:
    suite = load_suite(name)
    tasks = TaskSet(
        [*suite.each_edit, *suite.checkpoint.tasks],
        metadata={"data_source": "bundled", "edits": suite.edits, "num_edits": 1},
    )
    measured = {metric for task in suite.each_edit for metric in tasks._tasks[task].aggregation()}
    assert set(suite.score) <= measured


def test_own_suite_file(other_suite: Callable[..., Path]) -> None:
    path = other_suite("every: 2", "every: 7")
    suite = load_suite(str(path))
    assert (suite.name, suite.version, suite.checkpoint.every) == ("tiny", 3, 7)
    assert suite.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    renamed = path.rename(path.with_suffix(".yml"))
    assert load_suite(str(renamed)) == suite


def test_any_change_changes_the_digest(other_suite: Callable[..., Path]) -> None:
    first = load_suite(str(other_suite()))
    second = load_suite(str(other_suite("num_edits: 4", "num_edits: 5")))
    assert first.sha256 != second.sha256


def test_a_digest_in_the_file_is_not_believed(other_suite: Callable[..., Path]) -> None:
    path = other_suite("score:", "sha256: forged\nscore:")
    assert load_suite(str(path)).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("key", ["name", "version", "edits", "each_edit", "checkpoint", "score"])
def test_every_key_is_needed(key: str, other_suite: Callable[..., Path]) -> None:
    path = other_suite()
    content = yaml.safe_load(path.read_text("utf-8"))
    del content[key]
    path.write_text(yaml.safe_dump(content), "utf-8")
    with pytest.raises(InputError, match=rf"suite.yaml: key {key}: "):
        load_suite(str(path))


def test_a_suite_without_a_suffix_is_a_name(other_suite: Callable[..., Path]) -> None:
    path = other_suite()
    with pytest.raises(InputError, match="unknown suite"):
        load_suite(str(path.rename(path.with_suffix(""))))
