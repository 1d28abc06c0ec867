"""A run goes on as the same run or not at all: what has changed is named, or on record."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from interrupted import (
    DRIFT,
    SUITE,
    Stage,
    assert_equals,
    assert_refused,
    events,
    lines_of,
    untouched,
)
from seqedit_bench.benchmark import evaluate, provenance
from seqedit_bench.benchmark.runner import resume_run, run
from seqedit_bench.benchmark.tiny_models import build_model
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.sources import file_sha256


def refused(seqedit: Callable[..., Any], folder: Path, *options: object) -> str:
    """Resume a run that is another now; return what is said."""
    err = assert_refused(seqedit, folder, *options)
    assert "cannot go on as the same run" in err
    return err


@pytest.fixture
def other_version(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Let a package say that it has version 0.1; return its real one."""

    def change(package: str) -> str:
        real = provenance.version
        monkeypatch.setattr(provenance, "version", lambda p: "0.1" if p == package else real(p))
        return real(package)

    return change


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"num_edits": 6}, "protocol.num_edits was 8, is 6"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"sample": 2}, "data.sample was 1, is 2"),
        ({"batch_size": 2, "editor": "memit"}, "protocol.batch_size was 1, is 2"),
        ({"hparams": ["size=0.25"]}, "editor.hparams.size was 0.05, is 0.25"),
        ({"dtype": "bfloat16"}, "model.dtype was 'float32', is 'bfloat16'"),
        ({"editor": "ft"}, "editor.name was 'drift', is 'ft'"),
        ({"skip": ["single_edit"]}, "protocol.not_measured"),
        ({"stop_on_collapse": True}, "request.stop_on_collapse was False, is True"),
    ],
)
def test_another_request(changed: dict[str, Any], says: str, stage: Stage, stopped: Path) -> None:
    with (
        untouched(stopped),
        pytest.raises(InputError, match="cannot go on as the same run") as refusal,
    ):
        run(stage.config(stopped, **changed), resume=True)
    assert says in str(refusal.value)


@pytest.fixture
def finished(twin: Path, tmp_path: Path) -> Path:
    """A copy of a run that nothing happened to."""
    return shutil.copytree(twin, tmp_path / "finished")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"num_edits": 6}, "protocol.num_edits was 8, is 6"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"editor": "ft"}, "editor.name was 'drift', is 'ft'"),
        ({"hparams": ("size=0.25",)}, "request.hparams"),
        ({"dtype": "bfloat16"}, "model.dtype was 'float32', is 'bfloat16'"),
        ({"model": "some/model"}, "model.name was 'tiny-gpt2', is 'some/model'"),
        ({"stop_on_collapse": True}, "request.stop_on_collapse was False, is True"),
        ({"suite": "quick", "skip": ("single_edit",)}, "suite.name was 'tiny', is 'quick'"),
    ],
)
def test_a_finished_run_is_no_answer_to_another_request(
    changed: dict[str, Any], says: str, stage: Stage, finished: Path
) -> None:
    options = stage.config(finished, **changed).model_dump()
    with (
        untouched(finished),
        pytest.raises(InputError, match="finished run of another request") as refusal,
    ):
        evaluate(**options, resume=True, force=True)
    assert says in str(refusal.value)


def test_another_suite_file(stopped: Path, stage: Stage, tmp_path: Path) -> None:
    other = tmp_path / "tiny.yaml"
    other.write_text(SUITE.replace("for tests", "for other tests"), "utf-8")
    with pytest.raises(InputError, match=r"suite\.sha256 was"):
        run(stage.config(stopped, suite=str(other)), resume=True)


def test_other_data(stage: Stage, tmp_path: Path, seqedit: Callable[..., Any]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    text = (files("seqedit_bench.tasks") / "data" / "counterfact.jsonl").read_text("utf-8")
    (data / "counterfact.jsonl").write_text(text, "utf-8")
    options = {"data_dir": data, "skip": ["single_edit"], "num_edits": 3}
    folder = stage.killed(tmp_path / "run", 2, **options)
    (data / "counterfact.jsonl").write_text(text.replace("Potsdamer", "Leipziger"), "utf-8")
    assert "data.files_sha256.counterfact.jsonl was" in refused(seqedit, folder)


def test_another_model(
    stopped: Path, stage: Stage, tmp_path: Path, seqedit: Callable[..., Any]
) -> None:
    model = stage.copied_model(tmp_path)
    build_model("gpt2", seed=5).save_pretrained(model)
    err = refused(seqedit, stopped, "--model", model)
    assert "model.weights_sha256 was" in err
    assert "editor" not in err.partition("model.weights_sha256")[0], "found before preparation"


def test_other_library_versions(
    stopped: Path, seqedit: Callable[..., Any], other_version: Callable[[str], str]
) -> None:
    other_version("torch")
    assert "provenance.versions.torch was" in refused(seqedit, stopped)


def test_other_code(
    stopped: Path, seqedit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest of the editor's own module misses what it shares with others."""
    monkeypatch.setattr(provenance, "sources_sha256", lambda *_: "0" * 64)
    assert "provenance.sources_sha256 was" in refused(seqedit, stopped)


def test_the_editors_own_file(
    stopped: Path, seqedit: Callable[..., Any], tmp_path: Path, fresh_registry: None
) -> None:
    (tmp_path / "drift.py").write_text(DRIFT + "\n# another\n", "utf-8")
    err = refused(seqedit, stopped, "--editor-path", tmp_path / "drift.py")
    assert "editor.code_sha256 was" in err


def test_force_records_every_change(
    stopped: Path, twin: Path, other_version: Callable[[str], str]
) -> None:
    real = other_version("datasets")
    result = resume_run(stopped, force=True).result
    (resumed,) = result.provenance["resumed"]
    (change,) = resumed["forced"]
    assert change == {"key": "provenance.versions.datasets", "then": real, "now": "0.1"}
    (event,) = [event for event in events(stopped) if event["event"] == "resumed"]
    assert event["forced"] == [change]
    assert lines_of(stopped) == lines_of(twin)


def test_lines_that_a_shorter_run_does_not_come_to_are_not_its_own(
    stopped: Path, stage: Stage
) -> None:
    """The journal says no more than the result that is computed from it."""
    result = run(stage.config(stopped, num_edits=6), resume=True, force=True).result
    assert len(lines_of(stopped)["edits.jsonl"]) == result.ending.edits_done == 6
    assert result.journal_sha256["edits.jsonl"] == file_sha256(stopped / "edits.jsonl")


def test_sources_are_all_code_and_yaml(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    before = provenance.sources_sha256(tmp_path / "a")
    (tmp_path / "a" / "deep" / "x.py").write_text("x = 1", "utf-8")
    with_code = provenance.sources_sha256(tmp_path / "a")
    (tmp_path / "a" / "x.yaml").write_text("x: 1", "utf-8")
    with_both = provenance.sources_sha256(tmp_path / "a")
    (tmp_path / "a" / "x.pyc").write_text("x", "utf-8")
    assert len({before, with_code, with_both}) == 3
    assert provenance.sources_sha256(tmp_path / "a") == with_both


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["resume", "not-there"], "not-there holds no run that could go on"),
        (["run", "--editor", "none", "--resume"], "--resume needs --output"),
        (["run", "--editor", "none", "--force"], "--force goes with --resume"),
    ],
)
def test_nothing_to_go_on_with(options: list[str], says: str, seqedit: Callable[..., Any]) -> None:
    done = seqedit(*options)
    assert done.code == 2
    assert done.err.startswith(f"error: {says}")


def test_an_unfinished_run_is_not_begun_anew(stopped: Path, stage: Stage) -> None:
    with untouched(stopped), pytest.raises(InputError, match=f"seqedit-bench resume {stopped}"):
        run(stage.config(stopped))


def test_code_that_a_run_directory_names_is_not_run_unasked(
    stage: Stage, twin: Path, tmp_path: Path, seqedit: Callable[..., Any], fresh_registry: None
) -> None:
    """Whoever made it wrote the path."""
    path = stage.folder / "drift.py"
    folder = stage.killed(tmp_path / "run", 3, editor_path=path)
    trap = tmp_path / "trap"
    path.write_text(f"open({str(trap)!r}, 'w')\n{DRIFT}", "utf-8")
    try:
        done = seqedit("resume", folder)
    finally:
        path.write_text(DRIFT, "utf-8")
    command = f"seqedit-bench resume {folder} --editor-path {path}"
    assert (done.code, done.err.rstrip().endswith(command)) == (2, True), done.err
    assert not trap.exists()
    assert seqedit(*command.split()[1:]).code == 0
    assert_equals(folder, twin)
