"""A request: what it takes from the machine it is made on, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from seqedit_bench.benchmark import RunConfig, evaluate, runner
from seqedit_bench.benchmark.aliases import short_name
from seqedit_bench.benchmark.observer import Silent
from seqedit_bench.editors import get_editor, resolve_hparams
from seqedit_bench.editors._base import ModelShape
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.yamltext import key_values


def asked(**fields: Any) -> RunConfig:
    return RunConfig.model_validate(fields)


def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of scripts as of the command line, and when the request is made."""
    monkeypatch.setenv("SEQEDIT_CACHE_DIR", str(tmp_path / "named"))
    assert asked(editor="none").cache_dir == tmp_path / "named"
    assert asked(editor="none", cache_dir=tmp_path).cache_dir == tmp_path
    monkeypatch.setenv("SEQEDIT_CACHE_DIR", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert asked(editor="none").cache_dir == tmp_path / ".cache" / "seqedit-bench"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container whose user has no home."""

    def none() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SEQEDIT_CACHE_DIR")
    monkeypatch.setattr(Path, "home", none)


@pytest.mark.parametrize("arguments", [["run", "--editor", "none"], ["moments"], ["train", "mend"]])
def test_without_a_home_a_cache_must_be_named(
    arguments: list[str], homeless: None, seqedit: Callable[..., Any], tmp_path: Path
) -> None:
    done = seqedit(*arguments)
    assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
    assert "--cache-dir or SEQEDIT_CACHE_DIR" in done.err
    assert asked(editor="none", cache_dir=tmp_path).cache_dir == tmp_path


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_edits": 0}, r"num_edits 0: Input should be greater than or equal to 1"),
        ({"num_edit": 3}, r"unknown option 'num_edit': did you mean 'num_edits'\?"),
        ({"hparams": {"lr": 1j}}, r"hparams .*1j is no value of YAML"),
        ({"skip": 5}, r"skip 5: Input should be a valid tuple"),
    ],
)
def test_a_script_is_refused_in_one_line(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        evaluate("rome", **fields)


def test_a_script_writes_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dictionary for hyper-parameters, a text for names, and somebody who is told."""
    seen = []

    def run(*given: Any, **_: Any) -> Any:
        seen.extend(given)
        return SimpleNamespace(result="done")

    monkeypatch.setattr(runner, "run", run)
    hparams = {"lr": 1e-05, "layers": [1, 2], "mom2_source": "hub:a, b", "clamp": None}
    observer = Silent()
    found = evaluate("ft", hparams=hparams, skip="single_edit, mrpc_ll", observer=observer)
    assert (found, seen[1]) == ("done", observer)
    assert seen[0].skip == ("single_edit", "mrpc_ll")
    assert key_values("--hparams", seen[0].hparams, "setting", hparams) == hparams
    assert asked(editor="ft", hparams="layers=[1, 2]").hparams == ("layers=[1, 2]",)
    assert asked(editor="ft", downstream="hellaswag").downstream == ("hellaswag",)


@pytest.mark.parametrize("command", ["run", "hunt"])
def test_a_source_that_is_named_is_not_overruled_by_the_environment(
    command: str, seqedit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tiny_folder: Path
) -> None:
    monkeypatch.setenv("SEQEDIT_DATA_DIR", "not-there")
    start = [command, "--editor", "none", "--model", tiny_folder]
    assert "data folder not-there is not there" in seqedit(*start).err
    done = seqedit(*start, "--data-source", "bundled", "--edits", "counterfact-edits")
    assert "counterfact_all_edits.jsonl is not in the bundled data" in done.err


def test_a_model_keeps_the_name_it_was_given_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link to a downloaded snapshot; published hyper-parameters are found by its name."""
    (tmp_path / "4f2c").mkdir()
    (tmp_path / "gpt2-xl").symlink_to("4f2c")
    monkeypatch.chdir(tmp_path)
    link = asked(editor="ft", model="./gpt2-xl")
    assert link.anywhere()["model"] == str(tmp_path / "gpt2-xl")
    assert link.output_dir("quick", datetime.now()).parts[2] == "gpt2-xl"
    assert short_name("./gpt2-xl") == "gpt2-xl"


def test_a_folder_is_called_by_its_name_from_within_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gpt2-xl" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "gpt2-xl")
    for name in (".", str(tmp_path / "gpt2-xl"), "some/gpt2-xl"):
        found = resolve_hparams("ft", get_editor("ft"), model_name=name, shape=ModelShape(4, 8, 32))
        assert found.source.startswith("gpt2-xl: published"), name
    assert short_name(".") == "gpt2-xl"
    monkeypatch.chdir("deep")
    assert short_name("..") == "gpt2-xl", "a run directory of this name must not lead upwards"
