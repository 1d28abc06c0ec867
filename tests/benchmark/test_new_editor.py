"""`new-editor` writes a file that works as it stands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench.benchmark import evaluate

pytestmark = pytest.mark.usefixtures("fresh_registry")
Command = Callable[..., Any]


def test_written_file_passes_every_check(seqedit: Command) -> None:
    done = seqedit("new-editor", "mine_too")
    assert (done.code, done.err) == (0, "")
    assert "seqedit-bench check-editor mine_too.py" in done.out
    assert "class MineToo(Editor):" in Path("mine_too.py").read_text(encoding="utf-8")
    checked = seqedit("check-editor", "mine_too.py")
    assert checked.code == 0, checked.out
    assert "mine_too: 15 of 15 checks passed" in checked.out


def test_written_file_edits(
    seqedit: Command, tiny_folder: Path, suite_file: Path, tmp_path: Path
) -> None:
    seqedit("new-editor", "mine")
    result = evaluate(
        "mine",
        editor_path=Path("mine.py"),
        model=str(tiny_folder),
        suite=str(suite_file),
        num_edits=2,
        hparams=("num_steps=20", "lr=0.01"),
        output=tmp_path / "run",
    )
    assert list(result.summary.distance) == ["transformer.h.3.mlp.c_proj.weight"]
    assert result.summary.immediate["es"] == 1.0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rome", "there is an editor 'rome' already"),
        ("Mine", "use lower-case letters, digits and '_'"),
        ("../mine", "use lower-case letters, digits and '_'"),
        ("taken", "taken.py is there already"),
    ],
)
def test_refuses(name: str, says: str, seqedit: Command) -> None:
    Path("taken.py").write_text("precious", encoding="utf-8")
    done = seqedit("new-editor", name)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert says in done.err
    assert [path.name for path in Path.cwd().iterdir()] == ["taken.py"]
    assert Path("taken.py").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(
    "arguments",
    [["new-editor", "quick_start"], ["new-editor", "--help"], ["check-editor", "--help"]],
)
def test_starts_without_torch(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from seqedit_bench.benchmark.cli import main\n"
        "main(sys.argv[1:])\n"
        "heavy = {'torch', 'transformers', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env={**os.environ}
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "new-editor" in done.stdout or "check-editor" in done.stdout
