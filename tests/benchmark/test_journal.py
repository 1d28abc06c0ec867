"""The run directory: nothing is overwritten, no file is half there, no NaN in JSON."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from seqedit_bench.benchmark.journal import Journal, finite, write_whole
from seqedit_bench.tasks import InputError

NAN, INF = float("nan"), float("inf")


def test_finite_goes_into_every_corner() -> None:
    before = {"a": NAN, "b": [1.0, INF, {"c": (-INF, 2)}], "d": "nan", "e": None, "f": True}
    assert finite(before) == {
        "a": None,
        "b": [1.0, None, {"c": [None, 2]}],
        "d": "nan",
        "e": None,
        "f": True,
    }
    json.dumps(finite(before), allow_nan=False)


def test_what_cannot_be_added_up_is_not_finite() -> None:
    assert finite([-1.7e308, 1e301, 1e300]) == [None, None, 1e300]


def test_finite_turns_kinds_of_float_into_plain_ones() -> None:
    class Marked(float):
        pass

    assert type(finite([Marked(0.5)])[0]) is float


def test_lines_are_appended_and_returned_as_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a" / "run")
    first = journal.append_edit({"edit": 1, "nll": NAN, "subject": "Pelé\n東京"})
    journal.append_edit({"edit": 2})
    journal.append_checkpoint({"edits": 0})
    assert first == {"edit": 1, "nll": None, "subject": "Pelé\n東京"}
    lines = (tmp_path / "a" / "run" / "edits.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [first, {"edit": 2}]
    assert list(json.loads(lines[0])) == ["edit", "nll", "subject"]


def test_a_line_is_on_disk_as_soon_as_it_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run")
    for number in range(3):
        journal.append_edit({"edit": number})
        text = (tmp_path / "run" / "edits.jsonl").read_text("utf-8")
        assert text.count("\n") == number + 1


def test_digests_are_of_the_files(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write_config({"seed": 0, "odd": INF})
    journal.append_edit({"edit": 1})
    assert journal.sha256() == {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("config.json", "edits.jsonl", "checkpoints.jsonl")
    }
    assert json.loads((tmp_path / "config.json").read_text("utf-8")) == {"seed": 0, "odd": None}


@pytest.mark.parametrize("name", ["edits.jsonl", "anything", ".hidden"])
def test_what_is_there_is_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("precious", "utf-8")
    with pytest.raises(InputError, match="is there already: choose another --output"):
        Journal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text("utf-8") == "precious"


def test_a_folder_cannot_be_made_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to output .*file/run"):
        Journal(tmp_path / "file" / "run")
    with pytest.raises(InputError, match="file is there already"):
        Journal(tmp_path / "file")


def test_discarding_leaves_things_as_they_were(tmp_path: Path) -> None:
    Journal(tmp_path / "runs" / "suite" / "run").discard()
    assert list(tmp_path.iterdir()) == []
    Journal(tmp_path).discard()
    assert tmp_path.is_dir(), "a folder that was there already stays"


def test_discarding_spares_the_runs_of_others(tmp_path: Path) -> None:
    """Two runs may start at once in the same new parent folder."""
    refused = Journal(tmp_path / "runs" / "one")
    Journal(tmp_path / "runs" / "two").append_edit({"edit": 1})
    refused.discard()
    assert not (tmp_path / "runs" / "one").exists()
    assert (tmp_path / "runs" / "two" / "edits.jsonl").is_file()


def test_a_file_is_whole_or_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "result.json"
    write_whole(path, "old")

    def crash(_: int) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", crash)
        with pytest.raises(OSError, match="disk full"):
            write_whole(path, "new")
    assert path.read_text("utf-8") == "old"
    write_whole(path, "new")
    assert path.read_text("utf-8") == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]


def test_an_event_takes_the_place_of_a_torn_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.event("started", more=1)
    with (tmp_path / "events.jsonl").open("ab") as stream:
        stream.write(b'{"event":"resu')
    journal.event("finished")
    lines = (tmp_path / "events.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["started", "finished"]


def test_a_tail_ends_where_something_is_no_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    lines = [b'{"edit":1}\n', b'{"edit":2}\n', b'{"edit":3}\n']
    path = tmp_path / "edits.jsonl"
    for rest in (b"", b'{"edit"', b"[1]\n", b'\0\0\n{"edit":4}\n'):
        path.write_bytes(b"".join(lines) + rest)
        assert journal.tail("edits.jsonl", len(lines[0])) == (lines[1:], rest)
    assert journal.tail("single_edits.jsonl", 0) == ([], b"")


def test_half_a_character_stays_escaped(tmp_path: Path) -> None:
    """JSON data can have one, and UTF-8 cannot."""
    line = Journal(tmp_path).append_edit({"subject": "\ud83d"})
    assert json.loads((tmp_path / "edits.jsonl").read_text("utf-8")) == line


def test_a_run_that_never_began_is_no_obstacle(tmp_path: Path) -> None:
    """Killed between its first files: nothing of it is worth keeping."""
    Journal(tmp_path).close()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "request.json.tmp").touch()
    Journal(tmp_path).discard()
    assert list(tmp_path.iterdir()) == []
