"""Reading what is compared: runs, results, entries, folders; what is refused or counts once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from made_entries import written
from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.compare import read_runs
from seqedit_bench.leaderboards.entry import Entry

MakeEntry = Callable[..., Entry]


def run_directory(entry: Entry, folder: Path, *, journal: bool = True) -> Path:
    """Write the run directory that an entry could have been made of."""
    folder.mkdir(parents=True)
    series, edits = entry.series, len(entry.series.case_ids)
    lines = [
        {
            "edit": at + 1,
            "case_id": series.case_ids[at],
            "prompt": "{} is",
            "subject": "It",
            "target_new": "so",
            "metrics": {name: values[at] for name, values in series.immediate.items()},
        }
        for at in range(edits)
    ]
    checkpoints = [
        {"edits": edits, "edited": {name: each.values for name, each in series.retained.items()}}
    ]
    result = entry.result.model_copy(deep=True)
    files = {"edits.jsonl": lines, "checkpoints.jsonl": checkpoints}
    for name, each in files.items():
        text = "".join(json.dumps(line) + "\n" for line in each)
        result.journal_sha256[name] = hashlib.sha256(text.encode()).hexdigest()
        if journal:
            (folder / name).write_text(text, encoding="utf-8")
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "leaderboard.json").write_text(result.to_json(), encoding="utf-8")
    return folder


def test_a_run_directory_has_the_numbers_of_its_entry(
    make_entry: MakeEntry, tmp_path: Path
) -> None:
    entry = make_entry(es=[1.0, 0.0, 1.0], kept={"es": [1.0, 0.0, 0.0]})
    folder = run_directory(entry, tmp_path / "run")
    (from_folder,), _ = read_runs([folder])
    (from_file,), _ = read_runs([folder / "leaderboard.json"])
    (from_entry,), _ = read_runs([written(entry, tmp_path)])
    assert from_folder.series == from_file.series == from_entry.series == entry.series
    assert from_folder.entry is None
    assert from_entry.entry is not None and from_entry.entry.run == entry.run


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: (run / "edits.jsonl").unlink(), "checkpoints.jsonl"),
        (lambda run: (run / "checkpoints.jsonl").unlink(), "checkpoints.jsonl is not there"),
        (lambda run: (run / "config.json").unlink(), "config.json is not there"),
        (
            lambda run: (run / "checkpoints.jsonl").write_text("", encoding="utf-8"),
            "checkpoints.jsonl is not the one that the result was computed from",
        ),
    ],
)
def test_a_journal_that_does_not_belong_there_is_not_used(
    spoil: Callable[[Path], None], says: str, make_entry: MakeEntry, tmp_path: Path
) -> None:
    folder = run_directory(make_entry(), tmp_path / "run")
    spoil(folder)
    (run,), _ = read_runs([folder])
    assert run.series is None
    assert says in run.missing or run.missing == "edits.jsonl is not there"


def test_folders_are_searched(make_entry: MakeEntry, tmp_path: Path) -> None:
    for editor in ("rome", "memit"):
        written(make_entry(editor), tmp_path / "entries")
    run_directory(make_entry("ft"), tmp_path / "entries" / "runs" / "ft")
    (tmp_path / "entries" / "index.json").write_text("[1]", encoding="utf-8")
    (tmp_path / "entries" / "schema.json").write_text('{"a": "entry_version"}', encoding="utf-8")
    hidden = tmp_path / "entries" / ".git"
    hidden.mkdir()
    (hidden / "x.json").write_text('{"entry_version": 1}', encoding="utf-8")
    runs, notes = read_runs([tmp_path / "entries"])
    assert sorted(run.result.editor.name for run in runs) == ["ft", "memit", "rome"]
    assert notes == []


def test_links_lead_nowhere(make_entry: MakeEntry, tmp_path: Path) -> None:
    written(make_entry(), tmp_path / "entries")
    (tmp_path / "entries" / "loop").symlink_to(tmp_path / "entries")
    runs, _ = read_runs([tmp_path / "entries"])
    assert len(runs) == 1


def test_one_run_counts_once(make_entry: MakeEntry, tmp_path: Path) -> None:
    """A run and its entry, the same path twice, a result without its journal: one run."""
    entry = make_entry()
    folder = run_directory(entry, tmp_path / "run")
    bare = tmp_path / "bare.json"
    bare.write_text((folder / "leaderboard.json").read_text("utf-8"), encoding="utf-8")
    for paths in ([bare, folder, folder], [folder, bare]):
        (run,), notes = read_runs(paths)
        assert run.series is not None
        assert notes == [f"{bare} is the same run as {folder}: it counts once"]


def test_what_differs_is_another_run(make_entry: MakeEntry, tmp_path: Path) -> None:
    """A copy in which something was changed does not pass for the run it was copied from."""
    for number, changes in enumerate(
        [{}, {"suite__version": 9}, {"summary__baseline_records": 9}, {"ending__failed": 1}]
    ):
        entry = make_entry(changes=changes, run="same")
        (tmp_path / f"{number}.json").write_text(entry.to_json(), encoding="utf-8")
    assert len(read_runs([tmp_path])[0]) == 4


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.mkdir(), "no run and no entry lies in this folder"),
        (lambda path: None, "no such result"),
        (lambda path: path.write_text("{}", encoding="utf-8"), "schema_version None"),
        (lambda path: path.write_text('{"entry_version": 9}', encoding="utf-8"), "entry_version 9"),
        (lambda path: path.write_text('{"entry_version": 1}', encoding="utf-8"), "field run"),
    ],
)
def test_what_is_no_result_is_refused(
    make: Callable[[Path], Any], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.json"
    make(path)
    with pytest.raises(ResultError, match=says) as caught:
        read_runs([path])
    assert str(path) in str(caught.value)


def test_an_unfinished_run_is_not_a_result(make_entry: MakeEntry, tmp_path: Path) -> None:
    folder = run_directory(make_entry(), tmp_path / "run")
    (folder / "leaderboard.json").unlink()
    with pytest.raises(ResultError, match=r"not finished.*seqedit-bench resume"):
        read_runs([folder])


def test_what_has_no_result_in_a_folder_is_said(make_entry: MakeEntry, tmp_path: Path) -> None:
    """A run that goes on, and a hunt, which lies in `runs` too: the others are compared."""
    runs = tmp_path / "runs"
    unfinished = run_directory(make_entry("ft"), runs / "quick" / "ft")
    (unfinished / "leaderboard.json").unlink()
    hunts = [runs / "hunt" / name for name in ("rome", "screening")]
    for hunt, name in zip(hunts, ("hunted.jsonl", "screened.jsonl"), strict=True):
        hunt.mkdir(parents=True)
        (hunt / "config.json").write_text("{}", encoding="utf-8")
        (hunt / name).write_text("{}\n", encoding="utf-8")
    no_runs = [f"{hunt} is a hunt and no run: it is left out" for hunt in hunts]
    with pytest.raises(ResultError, match=r"no result is left: .*rome is a hunt and no run"):
        read_runs(hunts)
    run_directory(make_entry(), runs / "quick" / "rome")
    (run,), notes = read_runs([runs / "hunt", runs / "quick"])
    assert run.result.editor.name == "rome"
    assert notes == [
        *no_runs,
        f"{unfinished} is not finished, and is left out; "
        f"go on with it: seqedit-bench resume {unfinished}",
    ]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda raw: raw["series"]["case_ids"].pop(), "series.case_ids has 3 values"),
        (
            lambda raw: raw["series"]["immediate"]["es"].pop(),
            "series.immediate.es has 3 values, and should have 4",
        ),
        (
            lambda raw: raw["series"]["retained"]["es"]["values"].append(1.0),
            "series.retained.es has 5 values, and should have 4",
        ),
    ],
)
def test_numbers_that_do_not_fit_each_other_are_refused(
    spoil: Callable[[dict[str, Any]], Any], says: str, make_entry: MakeEntry, tmp_path: Path
) -> None:
    entry = make_entry(es=[1.0, 0.0, 1.0, 1.0], kept={"es": [1.0, 0.0, 1.0, 1.0]})
    raw = json.loads(entry.to_json())
    spoil(raw)
    path = tmp_path / "entry.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(ResultError, match=says):
        read_runs([path])
