"""A run that was stopped goes on as if it had never been, or says in one line why it cannot."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from safetensors import SafetensorError

from seqedit_bench.benchmark import RunConfig, evaluate, provenance, runner, saves, space
from seqedit_bench.benchmark.journal import JOURNALS, Journal, without_timings
from seqedit_bench.benchmark.observer import Line, Silent
from seqedit_bench.benchmark.runner import resume_run, run
from seqedit_bench.benchmark.tiny_models import build_model
from seqedit_bench.editors import load_editor_file
from seqedit_bench.leaderboards import Result, read_result
from seqedit_bench.tasks import InputError

SUITE = """\
name: tiny
version: 1
description: for tests
data_source: bundled
edits: counterfact
num_edits: 8
baseline_records: 1
each_edit: [counterfact_es]
checkpoint: {retention: 4}
single_edit: {edits: zsre, num_edits: 3, tasks: [zsre_efficacy]}
score: {counterfact: [es]}
smoothing: buckets
"""
DRIFT = '''
"""Moves weights by what it remembers and by numbers from every global generator."""

import random

import numpy
import torch

from seqedit_bench.editors import Editor, EditReport, Hparams, register_editor


class DriftHparams(Hparams):
    size: float = 0.05


@register_editor("drift")
class Drift(Editor):
    Hparams = DriftHparams

    def prepare(self):
        self._speed = torch.zeros(32)
        return {}

    def edited_parameters(self):
        return ["transformer.h.1.mlp.c_proj.weight"]

    @torch.no_grad()
    def edit(self, requests):
        push = torch.randn(32) * random.random() * numpy.random.rand()
        self._speed = 0.9 * self._speed + push
        self.model.get_parameter(self.edited_parameters()[0]).add_(self.hparams.size * self._speed)
        return EditReport(({"speed": float(self._speed.norm())},))

    def state_dict(self):
        return {"speed": self._speed.clone()}

    def load_state_dict(self, state):
        self._speed = state["speed"].clone()
'''


class Killed(BaseException):
    """The process is gone: nothing that it would do at its end is done."""


class KillAt(Silent):
    """Kills the run when an edit, or a single edit, is written down."""

    def __init__(self, edit: int = 0, single: int = 0) -> None:
        self.edit, self.single = edit, single
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def edited(self, line: Line) -> None:
        if line["edit"] == self.edit:
            raise Killed

    def working(self, what: str, done: int, total: int) -> None:
        if what.startswith("single") and done == self.single:
            raise Killed


class Stage(NamedTuple):
    """What a run needs."""

    folder: Path
    model: Path

    def config(self, output: Path, **fields: Any) -> RunConfig:
        return RunConfig.model_validate(
            {
                "editor": "drift",
                "model": str(self.model),
                "suite": str(self.folder / "tiny.yaml"),
                "cache_dir": self.folder / "cache",
                "save_every": 2,
                "device": "cpu",
                "output": output,
                **fields,
            }
        )


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Stage:
    folder = tmp_path_factory.mktemp("stage")
    (folder / "tiny.yaml").write_text(SUITE, encoding="utf-8")
    (folder / "drift.py").write_text(DRIFT, encoding="utf-8")
    load_editor_file(folder / "drift.py")
    return Stage(folder, tiny_folder)


@pytest.fixture(scope="module")
def twin(stage: Stage) -> Path:
    """A run that nothing happened to."""
    run(stage.config(stage.folder / "twin"))
    return stage.folder / "twin"


@pytest.fixture(scope="module")
def killed(stage: Stage) -> Path:
    """A run that was killed after edit 7, with saves of 4 edits and of 6."""
    with pytest.raises(Killed):
        run(stage.config(stage.folder / "killed"), KillAt(7))
    return stage.folder / "killed"


@pytest.fixture
def stopped(killed: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be damaged."""
    return shutil.copytree(killed, tmp_path / "run")


def lines_of(folder: Path) -> dict[str, list[str]]:
    """The journal without timings."""
    return {
        name: [without_timings(json.loads(line)) for line in read(folder / name).splitlines()]
        for name in JOURNALS
    }


def read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def essence(result: Result) -> Any:
    """What of a result must be the same each time."""
    return result.curves, result.summary, result.cost.tokens_scored, result.editor, result.data


def assert_equals(folder: Path, twin: Path) -> Result:
    """The journal and the result are those of a run that nothing happened to."""
    assert lines_of(folder) == lines_of(twin)
    result = read_result(folder)
    assert essence(result) == essence(read_result(twin))
    assert not (folder / "state").exists()
    assert not (folder / "lock").exists()
    return result


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read(folder / "events.jsonl").splitlines()]


def save_names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "state").iterdir() if path.is_dir())


# --- Going on --------------------------------------------------------------------------------


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
    resume_run(stopped, observer)
    result = assert_equals(stopped, twin)
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
    with pytest.raises(Killed):
        run(stage.config(tmp_path / "run"), KillAt(**at))
    resume_run(tmp_path / "run")
    assert_equals(tmp_path / "run", twin)


def test_again_and_again(stage: Stage, twin: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        run(stage.config(folder), KillAt(2))
    for edit in (3, 3, 5, 8):
        with pytest.raises(Killed):
            resume_run(folder, KillAt(edit))
    with pytest.raises(Killed):
        resume_run(folder, KillAt(single=2))
    resume_run(folder)
    result = assert_equals(folder, twin)
    # A resumption of which no save was made left nothing that could be in the result.
    places = [each["edits"] for each in result.provenance["resumed"]]
    assert places == sorted(places)
    assert places[-1] == 8


def test_killed_before_the_first_edit(
    stage: Stage, twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(runner, "make_ready", killed)
        with pytest.raises(Killed):
            run(stage.config(tmp_path / "run"))
    assert not (tmp_path / "run" / "config.json").exists()
    resume_run(tmp_path / "run")
    assert_equals(tmp_path / "run", twin)


def test_killed_while_the_unedited_model_is_measured(
    stage: Stage, twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append_checkpoint", killed)
        with pytest.raises(Killed):
            run(stage.config(tmp_path / "run"))
    resume_run(tmp_path / "run")
    assert_equals(tmp_path / "run", twin)


def test_killed_after_the_result_was_written(
    stage: Stage, twin: Path, stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(saves.Saves, "remove", killed)
        with pytest.raises(Killed):
            resume_run(stopped)
    assert (stopped / "state").exists()
    observer = KillAt()
    resume_run(stopped, observer)
    assert_equals(stopped, twin)
    assert any("is finished" in note for note in observer.notes)


def test_batches(stage: Stage, tmp_path: Path) -> None:
    """A kill between the lines of one batch; the save is that of a whole one."""
    options = {"editor": "memit", "batch_size": 3, "num_edits": 8}
    options["hparams"] = ["layers=[1]", "v_num_grad_steps=2", "mom2_n_tokens=600"]
    run(stage.config(tmp_path / "twin", **options))
    with pytest.raises(Killed):
        run(stage.config(tmp_path / "run", **options), KillAt(5))
    assert len(lines_of(tmp_path / "run")["edits.jsonl"]) == 5
    assert save_names(tmp_path / "run")[-1].startswith("000003-")
    resume_run(tmp_path / "run")
    assert_equals(tmp_path / "run", tmp_path / "twin")


def test_half_precision_with_its_float32_masters(stage: Stage, tmp_path: Path) -> None:
    run(stage.config(tmp_path / "twin", dtype="bfloat16", num_edits=4))
    with pytest.raises(Killed):
        run(stage.config(tmp_path / "run", dtype="bfloat16", num_edits=4), KillAt(3))
    resume_run(tmp_path / "run")
    assert_equals(tmp_path / "run", tmp_path / "twin")


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
    (tmp_path / "models").mkdir()
    model = shutil.copytree(stage.model, tmp_path / "models" / stage.model.name)
    monkeypatch.chdir(tmp_path)
    resume_run(Path("elsewhere"), model=str(model), cache_dir=tmp_path / "cache")
    assert_equals(moved, twin)


def test_places_hold_from_any_folder(
    stage: Stage, twin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(stage.folder)
    with pytest.raises(Killed):
        run(stage.config(tmp_path / "run", suite="tiny.yaml"), KillAt(3))
    request = json.loads(read(tmp_path / "run" / "config.json"))["request"]
    assert request["suite"] == "tiny.yaml"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    resume_run(tmp_path / "run")
    assert_equals(tmp_path / "run", twin)


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
    assert seqedit("resume", folder, "--quiet").code == 0
    assert_equals(folder, twin)


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
    resume_run(stopped, observer)
    assert_equals(stopped, twin)
    (note,) = [note for note in observer.notes if says in note]
    assert "\n" not in note
    if "going on" not in note:
        assert note in [event.get("note") for event in events(stopped)]


@pytest.mark.parametrize("name", ["a bit of the weights", "the manifest gone"])
def test_a_spoilt_save_is_kept_aside(name: str, stopped: Path) -> None:
    DAMAGE[name][0](stopped)
    with pytest.raises(Killed):
        resume_run(stopped, KillAt(5))
    assert "000006-0002-0000.damaged" in save_names(stopped)


def test_a_spoilt_journal_is_kept_aside(stopped: Path) -> None:
    DAMAGE["a bit of the journal"][0](stopped)
    spoilt = read(stopped / "edits.jsonl")
    resume_run(stopped)
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
    before = everything(stopped)
    done = seqedit("resume", stopped, "--quiet")
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert says in done.err
    assert f"seqedit-bench resume {stopped} --from-start" in done.err
    assert everything(stopped) == before
    assert seqedit("resume", stopped, "--quiet", "--from-start").code == 0
    assert_equals(stopped, twin)


def test_from_the_start_every_line_is_compared(stopped: Path, twin: Path) -> None:
    before = read(stopped / "edits.jsonl")
    with pytest.raises(Killed):
        resume_run(stopped, KillAt(3), from_start=True)
    assert "000006-0002-0000.before" in save_names(stopped)
    resume_run(stopped)
    assert_equals(stopped, twin)
    assert read(stopped / "edits.jsonl").startswith(before)


def test_a_configuration_nobody_has_a_copy_of(
    stage: Stage, tmp_path: Path, seqedit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append_checkpoint", killed)
        with pytest.raises(Killed):
            run(stage.config(tmp_path / "run"))
    flip(tmp_path / "run" / "config.json", 50)
    before = everything(tmp_path / "run")
    done = seqedit("resume", tmp_path / "run")
    assert done.code == 2
    assert "config.json is damaged, and no save has a whole copy of it" in done.err
    assert everything(tmp_path / "run") == before


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
    resume_run(stopped, force=True)
    result = assert_equals(stopped, twin)
    (resumed,) = result.provenance["resumed"]
    (differing,) = resumed["differing"]
    assert (differing["file"], differing["line"]) == ("edits.jsonl", 7)
    assert (differing["key"], differing["then"]) == ("metrics.es_nll_new", 123.0)
    assert "differs" in [event["event"] for event in events(stopped)]


# --- Refusals --------------------------------------------------------------------------------


def refused(seqedit: Callable[..., Any], folder: Path, *options: object) -> str:
    """Resume a run that must not go on: status 2, one line, nothing changed."""
    before = everything(folder)
    done = seqedit("resume", folder, "--quiet", *options)
    assert done.code == 2, done
    assert len(done.err.splitlines()) == 1
    assert "cannot go on as the same run" in done.err
    after = everything(folder)
    assert {path: after.get(path) for path in before} == before
    return done.err


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"num_edits": 6}, "protocol.num_edits was 8, is 6"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"sample": 2}, "data.sample was 1, is 2"),
        ({"batch_size": 2, "editor": "none"}, "protocol.batch_size was 1, is 2"),
        ({"hparams": ["size=0.25"]}, "editor.hparams.size was 0.05, is 0.25"),
        ({"dtype": "bfloat16"}, "model.dtype was 'float32', is 'bfloat16'"),
        ({"editor": "ft"}, "editor.name was 'drift', is 'ft'"),
        ({"skip": ["single_edit"]}, "protocol.not_measured"),
    ],
)
def test_another_request(changed: dict[str, Any], says: str, stage: Stage, stopped: Path) -> None:
    before = everything(stopped)
    if changed.get("editor") == "none":
        changed = {**changed, "editor": "memit"}
    with pytest.raises(InputError, match="cannot go on as the same run") as refusal:
        run(stage.config(stopped, **changed), resume=True)
    assert says in str(refusal.value)
    after = everything(stopped)
    assert {path: after.get(path) for path in before} == before


def test_another_suite_file(stopped: Path, stage: Stage, tmp_path: Path) -> None:
    other = tmp_path / "tiny.yaml"
    other.write_text(SUITE.replace("for tests", "for other tests"), "utf-8")
    with pytest.raises(InputError, match=r"suite\.sha256 was"):
        run(stage.config(stopped, suite=str(other)), resume=True)


def test_other_data(stage: Stage, tmp_path: Path, seqedit: Callable[..., Any]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    text = (provenance._OWN[3] / "data" / "counterfact.jsonl").read_text("utf-8")
    (data / "counterfact.jsonl").write_text(text, "utf-8")
    options = {"data_dir": data, "skip": ["single_edit"], "num_edits": 3}
    with pytest.raises(Killed):
        run(stage.config(tmp_path / "run", **options), KillAt(2))
    (data / "counterfact.jsonl").write_text(text.replace("Potsdamer", "Leipziger"), "utf-8")
    assert "data.files_sha256.counterfact.jsonl was" in refused(seqedit, tmp_path / "run")


def test_another_model(
    stopped: Path, stage: Stage, tmp_path: Path, seqedit: Callable[..., Any]
) -> None:
    (tmp_path / "models").mkdir()
    model = shutil.copytree(stage.model, tmp_path / "models" / stage.model.name)
    build_model("gpt2", seed=5).save_pretrained(model)
    err = refused(seqedit, stopped, "--model", model)
    assert "model.weights_sha256 was" in err
    assert "editor" not in err.partition("model.weights_sha256")[0], "found before preparation"


def test_other_library_versions(
    stopped: Path, seqedit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = provenance.version
    monkeypatch.setattr(provenance, "version", lambda p: "0.1" if p == "torch" else real(p))
    assert "provenance.versions.torch was" in refused(seqedit, stopped)


def test_other_code(
    stopped: Path, seqedit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest of the editor's own module misses what it shares with others."""
    monkeypatch.setattr(provenance, "sources_sha256", lambda *_: "0" * 64)
    assert "provenance.sources_sha256 was" in refused(seqedit, stopped)


def test_the_editors_own_file(
    stopped: Path, seqedit: Callable[..., Any], tmp_path: Path, fresh_registry: None
) -> None:
    (tmp_path / "drift.py").write_text(DRIFT + "\n# another\n", "utf-8")
    err = refused(seqedit, stopped, "--editor-path", tmp_path / "drift.py")
    assert "editor.code_sha256 was" in err


def test_force_records_every_change(
    stopped: Path, stage: Stage, twin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = provenance.version
    monkeypatch.setattr(provenance, "version", lambda p: "0.1" if p == "datasets" else real(p))
    result = resume_run(stopped, force=True).result
    (resumed,) = result.provenance["resumed"]
    (change,) = resumed["forced"]
    assert change == {"key": "provenance.versions.datasets", "then": real("datasets"), "now": "0.1"}
    (event,) = [event for event in events(stopped) if event["event"] == "resumed"]
    assert event["forced"] == [change]
    assert lines_of(stopped) == lines_of(twin)


def test_sources_are_all_code_and_yaml(tmp_path: Path) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    before = provenance.sources_sha256(tmp_path / "a")
    (tmp_path / "a" / "deep" / "x.py").write_text("x = 1", "utf-8")
    with_code = provenance.sources_sha256(tmp_path / "a")
    (tmp_path / "a" / "x.yaml").write_text("x: 1", "utf-8")
    with_both = provenance.sources_sha256(tmp_path / "a")
    (tmp_path / "a" / "x.pyc").write_text("x", "utf-8")
    assert len({before, with_code, with_both}) == 3
    assert provenance.sources_sha256(tmp_path / "a") == with_both


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["resume", "not-there"], "not-there holds no run that could go on"),
        (["run", "--editor", "none", "--resume"], "--resume needs --output"),
        (["run", "--editor", "none", "--force"], "--force goes with --resume"),
    ],
)
def test_nothing_to_go_on_with(options: list[str], says: str, seqedit: Callable[..., Any]) -> None:
    done = seqedit(*options)
    assert done.code == 2
    assert done.err.startswith(f"error: {says}")


def test_an_unfinished_run_is_not_begun_anew(
    stopped: Path, stage: Stage, seqedit: Callable[..., Any]
) -> None:
    before = everything(stopped)
    with pytest.raises(InputError, match=f"seqedit-bench resume {stopped}"):
        run(stage.config(stopped))
    assert everything(stopped) == before


def test_code_that_a_run_directory_names_is_not_run_unasked(
    stage: Stage, twin: Path, tmp_path: Path, seqedit: Callable[..., Any], fresh_registry: None
) -> None:
    """Whoever made it wrote the path."""
    path = stage.folder / "drift.py"
    with pytest.raises(Killed):
        run(stage.config(tmp_path / "run", editor_path=path), KillAt(3))
    trap = tmp_path / "trap"
    path.write_text(f"open({str(trap)!r}, 'w')\n{DRIFT}", "utf-8")
    try:
        done = seqedit("resume", tmp_path / "run")
    finally:
        path.write_text(DRIFT, "utf-8")
    command = f"seqedit-bench resume {tmp_path / 'run'} --editor-path {path}"
    assert (done.code, done.err.rstrip().endswith(command)) == (2, True), done.err
    assert not trap.exists()
    assert seqedit(*command.split()[1:]).code == 0
    assert_equals(tmp_path / "run", twin)


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
    assert seqedit("resume", stopped, "--quiet").code == 0
    assert_equals(stopped, twin)


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
    assert seqedit("resume", stopped, "--quiet").code == 0
    assert_equals(stopped, twin)


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
    assert seqedit("resume", stopped, "--quiet").code == 0
    assert_equals(stopped, twin)


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
    assert seqedit("resume", stopped, "--quiet").code == 0
    assert_equals(stopped, twin)


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
