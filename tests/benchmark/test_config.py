"""A request: what it takes from the machine it is made on, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench.benchmark import RunConfig, evaluate
from seqedit_bench.tasks import InputError


def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of scripts as of the command line, and when the request is made."""
    monkeypatch.setenv("SEQEDIT_CACHE_DIR", str(tmp_path / "named"))
    assert RunConfig(editor="none").cache_dir == tmp_path / "named"
    assert RunConfig(editor="none", cache_dir=tmp_path).cache_dir == tmp_path
    monkeypatch.setenv("SEQEDIT_CACHE_DIR", "")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert RunConfig(editor="none").cache_dir == tmp_path / ".cache" / "seqedit-bench"


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
    assert RunConfig(editor="none", cache_dir=tmp_path).cache_dir == tmp_path


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"num_edits": 0}, r"num_edits 0: Input should be greater than or equal to 1"),
        ({"colour": "red"}, r"colour 'red': Extra inputs are not permitted"),
    ],
)
def test_a_script_is_refused_in_one_line(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        evaluate("rome", **fields)
