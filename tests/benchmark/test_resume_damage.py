"""What a stop, a disk or a hand has damaged is seen, explained, and made good or refused."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from safetensors import SafetensorError

from interrupted import (
    DRIFT,
    KillAt,
    Stage,
    assert_command_goes_on,
    assert_goes_on,
    assert_refused,
    events,
    kill_again,
    killed_by,
    read,
    save_names,
)
from seqedit_bench.benchmark import saves, space
from seqedit_bench.benchmark.journal import JOURNALS, Journal
from seqedit_bench.benchmark.runner import run
from seqedit_bench.tasks import InputError

# --- Damage ----------------------------------------------------------------------------------


def newest(folder: Path) -> Path:
    return folder / "state" / save_names(folder)[-1]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path, at: int = -9) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def shorten(path: Path, lines: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:lines]))


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "half a last line": (
        lambda run: append(run / "edits.jsonl", b'{"edit":8,"case'),
        "edits.jsonl: its last line was not finished (15 bytes)",
    ),
    "zeros at the end": (
        lambda run: append(run / "edits.jsonl", b"\0\0\0\n"),
        "edits.jsonl has a line that is none",
    ),
    "weights emptied": (
        lambda run: empty(newest(run) / "weights.safetensors"),
        "state/000006-0002-0000/weights.safetensors has 0 bytes of",
    ),
    "a bit of the weights": (
        lambda run: flip(newest(run) / "weights.safetensors"),
        "weights.safetensors is not what was written (sha256)",
    ),
    "a bit of the editor": (
        lambda run: flip(newest(run) / "editor.safetensors"),
        "editor.safetensors is not what was written (sha256)",
    ),
    "the editor's file gone": (
        lambda run: (newest(run) / "editor.safetensors").unlink(),
        "editor.safetensors is missing",
    ),
    "a bit of the manifest": (
        lambda run: flip(newest(run) / "manifest.json", 300),
        "manifest.json is damaged",
    ),
    "the manifest gone": (
        lambda run: (newest(run) / "manifest.json").unlink(),
        "manifest.json is missing",
    ),
    "the newest save gone": (lambda run: shutil.rmtree(newest(run)), "going on after 4 of 8"),
    "a save that was not finished": (
        lambda run: newest(run).rename(run / "state" / ".writing"),
        "going on after 4 of 8",
    ),
    "the journal shortened": (
        lambda run: shorten(run / "edits.jsonl", 5),
        "edits.jsonl has",
    ),
    "a bit of the journal": (
        lambda run: flip(run / "edits.jsonl", len(b"".join(first_lines(run, 5))) - 40),
        "edits.jsonl was changed since the save of 6 edits",
    ),
    "the configuration gone": (
        lambda run: (run / "config.json").unlink(),
        "config.json is missing: it is taken from a save",
    ),
    "a bit of the configuration": (
        lambda run: flip(run / "config.json", 50),
        "config.json is damaged: it is taken from a save",
    ),
    "the request gone": (
        lambda run: (run / "state" / "request.json").unlink(),
        "going on after 6 of 8",
    ),
}


def first_lines(run: Path, count: int) -> list[bytes]:
    return read(run / "edits.jsonl").splitlines(keepends=True)[:count]


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_explained_and_made_good(name: str, stopped: Path, twin: Path) -> None:
    damage, says = DAMAGE[name]
    damage(stopped)
    observer = KillAt()
    assert_goes_on(stopped, twin, observer=observer)
    (note,) = [note for note in observer.notes if says in note]
    assert "\n" not in note
    if "going on" not in note:
        assert note in [event.get("note") for event in events(stopped)]


@pytest.mark.parametrize("name", ["a bit of the weights", "the manifest gone"])
def test_a_spoilt_save_is_kept_aside(name: str, stopped: Path) -> None:
    DAMAGE[name][0](stopped)
    kill_again(stopped, 5)
    assert "000006-0002-0000.damaged" in save_names(stopped)


def test_a_spoilt_journal_is_kept_aside(stopped: Path, twin: Path) -> None:
    DAMAGE["a bit of the journal"][0](stopped)
    spoilt = read(stopped / "edits.jsonl")
    assert_goes_on(stopped, twin)
    assert read(stopped / "edits.jsonl.damaged") == spoilt


BEYOND: dict[str, tuple[Callable[[Path], object], str]] = {
    "both saves": (
        lambda run: [
            empty(run / "state" / each / "weights.safetensors") for each in save_names(run)
        ],
        "weights.safetensors has 0 bytes",
    ),
    "the journal gone": (
        lambda run: (run / "edits.jsonl").unlink(),
        "edits.jsonl has 0 bytes of",
    ),
    "the first line": (
        lambda run: flip(run / "edits.jsonl", 30),
        "edits.jsonl was changed since the save of 6 edits",
    ),
}


@pytest.mark.parametrize("name", BEYOND)
def test_damage_beyond_the_saves_is_refused_and_nothing_lost(
    name: str, stopped: Path, twin: Path, seqedit: Callable[..., Any]
) -> None:
    damage, says = BEYOND[name]
    damage(stopped)
    err = assert_refused(seqedit, stopped)
    assert says in err
    assert f"seqedit-bench resume {stopped} --from-start" in err
    assert_command_goes_on(seqedit, stopped, twin, "--from-start")


def test_from_the_start_every_line_is_compared(stopped: Path, twin: Path) -> None:
    before = read(stopped / "edits.jsonl")
    kill_again(stopped, 3, from_start=True)
    assert "000006-0002-0000.before" in save_names(stopped)
    assert_goes_on(stopped, twin)
    assert read(stopped / "edits.jsonl").startswith(before)


def test_a_configuration_nobody_has_a_copy_of(
    stage: Stage, tmp_path: Path, seqedit: Callable[..., Any]
) -> None:
    with killed_by(Journal, "append_checkpoint"):
        run(stage.config(tmp_path / "run"))
    flip(tmp_path / "run" / "config.json", 50)
    err = assert_refused(seqedit, tmp_path / "run")
    assert "config.json is damaged, and no save has a whole copy of it" in err


# --- What comes out otherwise ------------------------------------------------------------------


def alter(folder: Path, edit: int) -> None:
    """Write another number into a line of the journal."""
    lines = [json.loads(line) for line in read(folder / "edits.jsonl").splitlines()]
    lines[edit - 1]["metrics"]["es_nll_new"] = 123.0
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (folder / "edits.jsonl").write_text(text, "utf-8")


def test_a_line_that_comes_out_otherwise_is_refused(
    stopped: Path, seqedit: Callable[..., Any]
) -> None:
    alter(stopped, 7)
    before = read(stopped / "edits.jsonl")
    done = seqedit("resume", stopped, "--quiet")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "error: edit 7 comes out otherwise than" in done.err
    assert "metrics.es_nll_new was 123.0, is " in done.err
    assert read(stopped / "edits.jsonl") == before


def test_force_takes_the_new_line_and_says_so(stopped: Path, twin: Path) -> None:
    alter(stopped, 7)
    result = assert_goes_on(stopped, twin, force=True)
    (resumed,) = result.provenance["resumed"]
    (differing,) = resumed["differing"]
    assert (differing["file"], differing["line"]) == ("edits.jsonl", 7)
    assert (differing["key"], differing["then"]) == ("metrics.es_nll_new", 123.0)
    assert "differs" in [event["event"] for event in events(stopped)]


# --- No room ---------------------------------------------------------------------------------


def full_after(patch: pytest.MonkeyPatch, writes: int, code: int = errno.ENOSPC) -> None:
    """Let writes fail after so many, each half done, as on a disk that fills up."""
    real, count = os.write, [0]

    def write(descriptor: int, data: Any) -> int:
        count[0] += 1
        if count[0] > writes:
            if code == errno.ENOSPC and count[0] == writes + 1:
                return real(descriptor, data[: len(data) // 2])
            raise OSError(code, os.strerror(code))
        return real(descriptor, data)

    patch.setattr(os, "write", write)


@pytest.mark.parametrize(
    ("code", "writes"),
    [(errno.ENOSPC, n) for n in (0, 1, 3, 5, 7, 10)] + [(errno.EIO, n) for n in (2, 8)],
)
def test_a_full_disk_stops_the_run_and_loses_nothing(
    code: int,
    writes: int,
    stopped: Path,
    twin: Path,
    seqedit: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        full_after(patch, writes, code)
        done = seqedit("resume", stopped, "--quiet")
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("error: cannot write ")
    assert os.strerror(code) in done.err
    assert re.search(r"make room \(about \d+ MB are needed\)", done.err)
    assert f"go on with: seqedit-bench resume {stopped}" in done.err
    for name in JOURNALS:
        assert read(stopped / name).endswith(b"\n") or not read(stopped / name)
    assert not (stopped / "state" / ".writing").exists()
    assert_command_goes_on(seqedit, stopped, twin)


@pytest.mark.parametrize("call", [1, 3, 4, 6, 8, 9])
def test_a_failing_fsync_is_no_save(
    call: int,
    stopped: Path,
    twin: Path,
    seqedit: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After it nobody knows what the disk has: the save before stays the last one."""
    real, count = os.fsync, [0]

    def fsync(descriptor: int) -> None:
        count[0] += 1
        if count[0] == call:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        assert seqedit("resume", stopped, "--quiet").code == 1
    assert_command_goes_on(seqedit, stopped, twin)


def test_tensors_that_cannot_be_written(
    stopped: Path, twin: Path, seqedit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library that writes them has errors of its own."""

    def save_file(*_: Any) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(saves, "save_file", save_file)
        done = seqedit("resume", stopped, "--quiet")
    assert done.code == 1
    assert "No space left on device" in done.err
    assert_command_goes_on(seqedit, stopped, twin)


def test_a_run_that_cannot_fit_is_refused_with_numbers(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: SimpleNamespace(free=1_500_000))
    with pytest.raises(InputError, match=r"needs about 3 MB in .*run .*, and 2 MB are free"):
        run(stage.config(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_an_editor_whose_memory_is_no_tensor(
    stage: Stage, tmp_path: Path, fresh_registry: None
) -> None:
    """Said before the first edit, not at the first save."""
    path = tmp_path / "lists.py"
    path.write_text(DRIFT.replace("self._speed.clone()}", "[1.0]}"), "utf-8")
    with pytest.raises(InputError, match="state_dict of drift holds a list under 'speed'"):
        run(stage.config(tmp_path / "run", editor_path=path))
    assert not (tmp_path / "run").exists()
