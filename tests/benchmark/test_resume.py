"""A run that was stopped goes on as if it had never been, however and wherever it was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from interrupted import (
    KillAt,
    Killed,
    Stage,
    assert_command_goes_on,
    assert_equals,
    assert_goes_on,
    events,
    everything,
    kill_again,
    killed_by,
    lines_of,
    read,
    save_names,
)
from seqedit_bench.benchmark import evaluate, runner, saves
from seqedit_bench.benchmark.journal import Journal
from seqedit_bench.benchmark.observer import Line
from seqedit_bench.benchmark.runner import resume_run, run


def test_what_a_killed_run_leaves(killed: Path) -> None:
    assert save_names(killed) == ["000004-0002-0000", "000006-0002-0000"]
    for name in save_names(killed):
        assert {path.name for path in (killed / "state" / name).iterdir()} == {
            "weights.safetensors",
            "editor.safetensors",
            "config.json",
            "manifest.json",
        }
    assert len(lines_of(killed)["edits.jsonl"]) == 7


def test_the_same_as_if_nothing_had_happened(stopped: Path, twin: Path) -> None:
    before = read(stopped / "edits.jsonl")
    observer = KillAt()
    result = assert_goes_on(stopped, twin, observer=observer)
    assert read(stopped / "edits.jsonl").startswith(before), "lines that were there are kept"
    assert "going on after 6 of 8 edits, 1 later lines are made again" in observer.notes
    (resumed,) = result.provenance["resumed"]
    assert (resumed["edits"], resumed["replayed"], resumed["forced"]) == (6, 1, [])
    assert [event["event"] for event in events(stopped)] == ["started", "resumed", "finished"]


@pytest.mark.parametrize(
    "at", [{"edit": 1}, {"edit": 4}, {"edit": 8}, {"single": 1}, {"single": 3}]
)
def test_wherever_it_is_killed(
    at: dict[str, int], stage: Stage, twin: Path, tmp_path: Path
) -> None:
    assert_goes_on(stage.killed(tmp_path / "run", **at), twin)


def test_again_and_again(stage: Stage, twin: Path, tmp_path: Path) -> None:
    folder = stage.killed(tmp_path / "run", 2)
    for edit in (3, 3, 5, 8):
        kill_again(folder, edit)
    kill_again(folder, single=2)
    result = assert_goes_on(folder, twin)
    # A resumption of which no save was made left nothing that could be in the result.
    places = [each["edits"] for each in result.provenance["resumed"]]
    assert places == sorted(places)
    assert places[-1] == 8


def test_killed_before_the_first_edit(stage: Stage, twin: Path, tmp_path: Path) -> None:
    with killed_by(runner, "make_ready"):
        run(stage.config(tmp_path / "run"))
    assert not (tmp_path / "run" / "config.json").exists()
    assert_goes_on(tmp_path / "run", twin)


def test_killed_while_the_unedited_model_is_measured(
    stage: Stage, twin: Path, tmp_path: Path
) -> None:
    with killed_by(Journal, "append_checkpoint"):
        run(stage.config(tmp_path / "run"))
    assert_goes_on(tmp_path / "run", twin)


def test_killed_after_the_result_was_written(twin: Path, stopped: Path) -> None:
    with killed_by(saves.Saves, "remove"):
        resume_run(stopped)
    assert (stopped / "state").exists()
    observer = KillAt()
    assert_goes_on(stopped, twin, observer=observer)
    assert any("is finished" in note for note in observer.notes)


def test_batches(stage: Stage, tmp_path: Path) -> None:
    """A kill between the lines of one batch; the save is that of a whole one."""
    options = {"editor": "memit", "batch_size": 3, "num_edits": 8}
    options["hparams"] = ["layers=[1]", "v_num_grad_steps=2", "mom2_n_tokens=600"]
    run(stage.config(tmp_path / "twin", **options))
    folder = stage.killed(tmp_path / "run", 5, **options)
    assert len(lines_of(folder)["edits.jsonl"]) == 5
    assert save_names(folder)[-1].startswith("000003-")
    assert_goes_on(folder, tmp_path / "twin")


def test_half_precision_with_its_float32_masters(stage: Stage, tmp_path: Path) -> None:
    options = {"dtype": "bfloat16", "num_edits": 4}
    run(stage.config(tmp_path / "twin", **options))
    assert_goes_on(stage.killed(tmp_path / "run", 3, **options), tmp_path / "twin")


def test_another_number_of_threads_is_put_back(
    stopped: Path, twin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums over other parts round otherwise."""
    given = []
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    resume_run(stopped)
    assert given == [json.loads(read(twin / "config.json"))["provenance"]["threads"]]


def test_a_moved_run_and_moved_files(
    stopped: Path, stage: Stage, twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Places may change; what is there may not."""
    moved = tmp_path / "elsewhere"
    stopped.rename(moved)
    model = stage.copied_model(tmp_path)
    monkeypatch.chdir(tmp_path)
    resume_run(Path("elsewhere"), model=str(model), cache_dir=tmp_path / "cache")
    assert_equals(moved, twin)


def test_places_hold_from_any_folder(
    stage: Stage, twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stage.folder)
    folder = stage.killed(tmp_path / "run", 3, suite="tiny.yaml")
    assert json.loads(read(folder / "config.json"))["request"]["suite"] == "tiny.yaml"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert_goes_on(folder, twin)


def test_run_with_resume_starts_and_goes_on(stage: Stage, twin: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        run(stage.config(folder), KillAt(5), resume=True)
    options = stage.config(folder).model_dump(exclude={"editor"})
    first = evaluate("drift", resume=True, **options)
    assert_equals(folder, twin)
    assert evaluate("drift", resume=True, **options) == first, "a finished run is read"


def test_a_display_goes_on_where_the_run_does(stopped: Path, seqedit: Callable[..., Any]) -> None:
    done = seqedit("resume", stopped)
    assert done.code == 0, done.err
    assert "edit 7 of 8  ES" in done.out
    assert "edit 6 of 8" not in done.out
    assert f"result: {stopped / 'leaderboard.json'}" in done.out
    again = seqedit("resume", stopped, "--json")
    assert again.code == 0
    assert f"{stopped} is finished" in again.err
    assert again.out == (stopped / "leaderboard.json").read_text("utf-8")


# --- Asked to stop ---------------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[None]:
    """Hear Ctrl-C: a shell has what it starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_the_edit_and_saves(
    signum: int,
    status: int,
    stage: Stage,
    twin: Path,
    tmp_path: Path,
    seqedit: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, before = tmp_path / "run", signal.getsignal(signum)
    append = Journal.append_edit

    def interrupted(self: Journal, line: Line) -> Line:
        if line["edit"] == 3:
            os.kill(os.getpid(), signum)
        return append(self, line)

    config = stage.config(folder)
    options = ["--editor", "drift", "--model", config.model]
    options += ["--suite", config.suite, "--cache-dir", config.cache_dir, "--save-every", 5]
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append_edit", interrupted)
        done = seqedit("run", *options, "--device", "cpu", "--output", folder)
    assert done.code == status
    assert done.err == f"stopped after 3 of 8 edits; go on with: seqedit-bench resume {folder}\n"
    assert "stopping when this edit is saved" in done.out
    assert save_names(folder)[-1] == "000003-0001-0000"
    assert signal.getsignal(signum) is before
    assert_command_goes_on(seqedit, folder, twin)


@pytest.mark.usefixtures("heard")
def test_a_second_signal_stops_at_once(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journal.append_edit

    def interrupted(self: Journal, line: Line) -> Line:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return append(self, line)

    monkeypatch.setattr(Journal, "append_edit", interrupted)
    with pytest.raises(KeyboardInterrupt) as stop:
        run(stage.config(tmp_path / "run"))
    assert type(stop.value) is KeyboardInterrupt
    assert read(tmp_path / "run" / "edits.jsonl") == b""


# --- Two processes ---------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from seqedit_bench.benchmark.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_killed_one_holds_nothing(
    stopped: Path, twin: Path, seqedit: Callable[..., Any]
) -> None:
    before = everything(stopped)
    command = [sys.executable, "-c", HOLD, str(stopped)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "held\n"
        done = seqedit("resume", stopped, "--quiet")
        owner.kill()
    assert done.code == 2
    assert f"{stopped} is in use by process {owner.pid} on " in done.err
    assert done.err.rstrip().endswith(" s")
    assert {path: read(path) for path in before} == before
    assert_command_goes_on(seqedit, stopped, twin)
