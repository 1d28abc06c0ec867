"""Reading a run directory: unfinished ones, torn lines, strangers' files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.analysis.journal import read_run
from seqedit_bench.leaderboards.analysis.synthetic import Story, synthetic_run

WriteRun = Callable[..., Path]


@pytest.fixture
def folder(write_run: WriteRun) -> Path:
    return write_run(synthetic_run(Story(num_edits=30)))


def test_what_was_written_is_read(folder: Path) -> None:
    run, made = read_run(folder), synthetic_run(Story(num_edits=30))
    assert (run.edits, run.checkpoints) == (made.edits, made.checkpoints)
    assert (run.editor, run.model, run.batch_size, run.result) == ("synthetic", "none", 1, None)
    assert run.notes == ["the run is not finished: 30 edits so far"]


def test_a_torn_last_line_is_left_out_and_said(folder: Path) -> None:
    path = folder / "edits.jsonl"
    path.write_text(path.read_text()[:-40], encoding="utf-8")
    run = read_run(folder)
    assert len(run.edits) == 29
    # What was measured after an edit that is not there says nothing.
    assert [line.edits for line in run.checkpoints] == [0, 10, 20]
    assert "edits.jsonl: the last line is cut off and was left out" in run.notes


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [lines[0], lines[2]], "line 2 is edit 3"),
        (lambda lines: [lines[0][:-5], lines[1]], "line 1 is not JSON"),
        (lambda lines: ["[1, 2]", *lines], "line 1, field top level"),
        (lambda lines: [lines[0].replace('"edit":1', '"edit":"one"')], "line 1, field edit"),
        (
            lambda lines: [lines[0].replace('"es":', '"es":1e999,"old":')],
            "line 1, field metrics.es",
        ),
        (lambda lines: ["[" * 100_000, *lines], "line 1 is not JSON"),
        (lambda lines: [], "no edit has been made yet"),
    ],
)
def test_a_wrong_line_is_named(
    change: Callable[[list[str]], list[str]], says: str, folder: Path
) -> None:
    path = folder / "edits.jsonl"
    lines = change(path.read_text(encoding="utf-8").splitlines())
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with pytest.raises(ResultError, match=r"edits\.jsonl") as error:
        read_run(folder)
    assert says in str(error.value)


def test_overlaps_of_another_run_are_refused(folder: Path) -> None:
    lines = [{"edit": number, "overlaps": [0.1] * (number - 1)} for number in range(1, 31)]
    path = folder / "overlaps.jsonl"
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    assert len(read_run(folder).overlaps) == 30
    lines[7]["overlaps"] = [0.1]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    with pytest.raises(ResultError, match=r"line 8 is not that of edit 8 with 7 overlaps"):
        read_run(folder)


def test_not_a_run(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ResultError, match="no such run directory"):
        read_run(tmp_path / "absent")
    with pytest.raises(ResultError, match=r"it has no config\.json"):
        read_run(tmp_path)
    (folder / "config.json").write_text("3", encoding="utf-8")
    with pytest.raises(ResultError, match="not a JSON object"):
        read_run(folder)


def test_a_configuration_with_nothing_in_it(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"editor": 3}), encoding="utf-8")
    run = read_run(folder)
    assert (run.editor, run.batch_size) == ("?", 1)
