"""Files that grow line by line, or are whole or not there; locks; what differs."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seqedit_bench.benchmark.lock import RunLock
from seqedit_bench.benchmark.random_state import (
    random_state,
    seed_everything,
    set_random_state,
)
from seqedit_bench.benchmark.saves import Counters, Position, Saves
from seqedit_bench.benchmark.storage import (
    Damaged,
    Digest,
    GrowingFile,
    StorageError,
    beginning,
    free_name,
    read_sealed,
    resume_command,
    write_sealed,
)
from seqedit_bench.leaderboards.differences import differences, listed
from seqedit_bench.tasks import InputError

CPU = torch.device("cpu")


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- Growing files ---------------------------------------------------------------------------


def test_a_growing_file_knows_the_digest_of_what_is_before_its_place(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    file = GrowingFile(path)
    assert file.before() == Digest(0, sha(b"")) == beginning(path, 10)
    file.append(b"one\n")
    file.append("zwei €\n".encode())
    data = path.read_bytes()
    assert file.before() == Digest(len(data), sha(data))
    again = GrowingFile(path, at=4)
    assert again.before() == Digest(4, sha(b"one\n")) == beginning(path, 4)
    again.pass_over(data[4:])
    assert again.before() == file.before()
    GrowingFile(path, at=4).cut()
    assert path.read_bytes() == b"one\n"
    assert beginning(path, 99) == Digest(4, sha(b"one\n"))


def test_a_line_that_cannot_be_written_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = GrowingFile(tmp_path / "lines")
    file.append(b"one\n")
    real = os.write

    def write(descriptor: int, data: Any) -> int:
        if len(data) < 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data[:5])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(StorageError, match=r"cannot write .*lines: No space left on device"):
            file.append(b"twotwotwo\n")
    assert (tmp_path / "lines").read_bytes() == b"one\n"
    file.append(b"two\n")
    assert file.before() == Digest(8, sha(b"one\ntwo\n"))


def test_sealed_files(tmp_path: Path) -> None:
    path = tmp_path / "sealed.json"
    write_sealed(path, {"a": [1, 2.5, None], "ü": "€"})
    assert read_sealed(path) == {"a": [1, 2.5, None], "ü": "€"}
    text = path.read_text("utf-8")
    deep = '{"content": ' + "[" * 100_000
    for spoilt in (text.replace("2.5", "2.6"), text[:-4], "", "[]", "{}", "null", deep):
        path.write_text(spoilt, "utf-8")
        with pytest.raises(Damaged, match=r"sealed\.json is damaged"):
            read_sealed(path)
    path.unlink()
    with pytest.raises(Damaged, match="missing"):
        read_sealed(path)


def test_names_that_are_free(tmp_path: Path) -> None:
    path = tmp_path / "x"
    names = []
    for _ in range(3):
        free_name(path, "damaged").touch()
        names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["x.damaged", "x.damaged2", "x.damaged3"]


def test_a_command_that_can_be_copied() -> None:
    assert resume_command(Path("my runs/a")) == "seqedit-bench resume 'my runs/a'"


# --- Saves -----------------------------------------------------------------------------------


def write(saves: Saves, run: Path, edits: int, **tensors: torch.Tensor) -> None:
    (run / "config.json").write_text("{}", "utf-8")
    saves.write(
        Position(edits=edits, checkpoints=1, single_edits=0),
        weights=tensors,
        editor={"none": torch.zeros(3, 0), "flag": torch.tensor(True)},
        journal={},
        random=random_state(CPU),
        counters=Counters(),
        resumed=[],
    )


def test_saves_are_exact_and_two_are_kept(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    odd = torch.tensor([0.1, float("nan"), -0.0, float("inf"), 1e-45])
    half = torch.arange(6).bfloat16().reshape(2, 3).T  # not in one piece
    for edits in (5, 9, 10):
        write(saves, tmp_path, edits, odd=odd, half=half, same=half)
    names = [save.folder.name for save in saves.newest_first()]
    assert names == ["000010-0001-0000", "000009-0001-0000"]
    newest = saves.newest_first()[0]
    manifest, loaded = newest.check(), newest.load()
    assert manifest.position.edits == 10
    assert loaded.weights["odd"].view(torch.int32).equal(odd.view(torch.int32))
    assert loaded.weights["half"].equal(half)
    assert loaded.weights["half"].dtype == torch.bfloat16
    assert loaded.editor["none"].shape == (3, 0)
    # Where tensors begin can decide how sums round.
    assert all(each.data_ptr() % 64 == 0 for each in loaded.weights.values())


def test_saves_sort_by_numbers(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    for edits in (999_999, 1_000_000):
        write(saves, tmp_path, edits)
    (tmp_path / "state" / "999999999-0001-0000.damaged").mkdir()
    assert [save.folder.name[:8] for save in saves.newest_first()] == ["1000000-", "999999-0"]


def test_a_save_of_the_same_place_takes_the_others_place(tmp_path: Path) -> None:
    saves = Saves(tmp_path)
    write(saves, tmp_path, 3, w=torch.zeros(2))
    write(saves, tmp_path, 3, w=torch.ones(2))
    (save,) = saves.newest_first()
    save.check()
    assert save.load().weights["w"].equal(torch.ones(2))
    assert [path.name for path in (tmp_path / "state").iterdir()] == [save.folder.name]


def test_a_manifest_of_a_strangers_making(tmp_path: Path) -> None:
    """A seal anybody can write; what it says is checked all the same."""
    saves = Saves(tmp_path)
    write(saves, tmp_path, 3)
    (save,) = saves.newest_first()
    content = read_sealed(save.folder / "manifest.json")
    for key, value in (
        ("files", {"../../x": [1, "a"]}),
        ("position", {"edits": -1, "checkpoints": 0, "single_edits": 0}),
        ("version", 99),
        ("more", 1),
    ):
        write_sealed(save.folder / "manifest.json", {**content, key: value})
        with pytest.raises(Damaged):
            save.check()


# --- Random states ---------------------------------------------------------------------------


def draw() -> list[float]:
    own = [random.random(), random.gauss(0, 1), float(np.random.rand()), np.random.randn()]
    return [*own, *torch.randn(3).tolist()]


def test_random_states_go_through_json() -> None:
    seed_everything(3)
    random.gauss(0, 1)  # one of two is kept
    np.random.randn()
    state = json.loads(json.dumps(random_state(CPU)))
    first = draw()
    draw()
    set_random_state(state, CPU)
    assert draw() == first
    seed_everything(3)
    assert draw() != first


@pytest.mark.parametrize("spoilt", [{}, {"python": 1}, {"python": [3, [1], None]}])
def test_what_is_no_random_state(spoilt: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no state of random generators"):
        set_random_state(spoilt, CPU)


# --- Locks -----------------------------------------------------------------------------------


def test_one_lock_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = RunLock(tmp_path)
    since = json.loads((tmp_path / "lock").read_text())["since"]
    for jump, shown in ((125, "for 2 min"), (-9e5, "for 0 s"), (9e4, "for 25.0 h")):
        monkeypatch.setattr("time.time", lambda jump=jump: since + jump)
        with pytest.raises(InputError, match=f"in use by process {os.getpid()} on .*, {shown}"):
            RunLock(tmp_path)
    first.release()
    assert not (tmp_path / "lock").exists()
    RunLock(tmp_path).release()


def test_a_lock_whose_owner_cannot_be_read(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    (tmp_path / "lock").write_text('{"pid": "[red]x", "host": 3}')
    with pytest.raises(InputError, match="in use by another process"):
        RunLock(tmp_path)
    lock.release()


def test_a_file_left_behind_is_no_lock(tmp_path: Path) -> None:
    """Nor does what stood in it speak for the new owner."""
    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": 1, "host": "x" * 500, "since": 0}))
    lock = RunLock(tmp_path)
    assert lock.works
    assert json.loads(path.read_text())["pid"] == os.getpid()
    with pytest.raises(InputError, match=f"in use by process {os.getpid()} "):
        RunLock(tmp_path)
    lock.release()
    assert not path.exists()


def test_a_place_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", flock)
    lock = RunLock(tmp_path)
    assert not lock.works
    lock.release()


# --- Differences -----------------------------------------------------------------------------


def test_differences_are_named_by_their_path() -> None:
    then = {"a": {"b": [1, 2]}, "c": None, "d": {}, "same": {"x": [1]}}
    now = {"a": {"b": [1, 3, 4]}, "d": {}, "e": "new", "same": {"x": [1]}}
    assert [str(each) for each in differences(then, now)] == [
        "a.b.1 was 2, is 3",
        "c was None, is nothing",
        "a.b.2 was nothing, is 4",
        "e was nothing, is 'new'",
    ]
    assert differences(now, now) == []
    assert listed(differences(then, now), 1) == "a.b.1 was 2, is 3; and 3 more"
    assert len(str(differences({"k": "x" * 500}, {"k": 1})[0])) < 90
