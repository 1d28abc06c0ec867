"""Commands that look back at runs, on journals built in code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench.leaderboards.analysis.journal import RunJournal
from seqedit_bench.leaderboards.analysis.synthetic import Story, synthetic_run

Command = Callable[..., Any]


def write_run(run: RunJournal, folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(run.config), encoding="utf-8")
    for name, lines in (("edits.jsonl", run.edits), ("checkpoints.jsonl", run.checkpoints)):
        text = "".join(line.model_dump_json() + "\n" for line in lines)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def broken_run(tmp_path: Path) -> Path:
    """A run that edit 150 breaks."""
    story = Story(broken_at=150, spikes={150: 300.0})
    return write_run(synthetic_run(story), tmp_path / "run")


FAST = ("--set", "permutations=199", "--set", "bootstrap=100")


def test_analyze(seqedit: Command, broken_run: Path) -> None:
    done = seqedit("analyze", broken_run, *FAST)
    assert (done.code, done.err) == (0, "")
    assert "catastrophic collapse at edit 150" in done.out
    written = json.loads((broken_run / "analysis.json").read_text(encoding="utf-8"))
    assert written["collapse"]["edit"] == 150
    assert written["constants"]["permutations"] == 199


def test_analyze_as_json_elsewhere(seqedit: Command, broken_run: Path, tmp_path: Path) -> None:
    done = seqedit("analyze", broken_run, *FAST, "--json", "--output", tmp_path / "a.json")
    assert json.loads(done.out)["collapse"]["kind"] == "catastrophic"
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == done.out
    assert not (broken_run / "analysis.json").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--set", "spikes=3"], "unknown constant 'spikes': did you mean 'spike"),
        (["--output", "absent/a.json"], "absent/a.json: cannot be written"),
    ],
)
def test_analyze_refuses(options: list[str], says: str, seqedit: Command, broken_run: Path) -> None:
    before = sorted(broken_run.iterdir())
    done = seqedit("analyze", broken_run, *options)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert says in done.err
    assert sorted(broken_run.iterdir()) == before


def test_calibrate(seqedit: Command) -> None:
    done = seqedit("calibrate", "--runs", 1, *FAST)
    assert done.code == 0
    assert "a large update that breaks nothing" in done.out
    assert "never" in done.out and "always" in done.out
