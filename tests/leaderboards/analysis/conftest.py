"""Journals built in code, written out as a run would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seqedit_bench.leaderboards.analysis.journal import RunJournal

WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write a journal into a run directory."""

    def write(run: RunJournal, name: str = "run") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(run.config), encoding="utf-8")
        for file, lines in (
            ("edits.jsonl", run.edits),
            ("checkpoints.jsonl", run.checkpoints),
            ("replays.jsonl", run.replays),
            ("overlaps.jsonl", run.overlaps),
        ):
            text = "".join(line.model_dump_json() + "\n" for line in lines)
            if text:
                (folder / file).write_text(text, encoding="utf-8")
        return folder

    return write
