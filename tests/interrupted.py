"""Runs that are stopped on a tiny model, and what must be the same as if they had not been."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from seqedit_bench.benchmark import RunConfig
from seqedit_bench.benchmark.journal import JOURNALS, without_timings
from seqedit_bench.benchmark.observer import Line, Silent
from seqedit_bench.benchmark.runner import resume_run, run
from seqedit_bench.editors import load_editor_file
from seqedit_bench.leaderboards import Result, read_result

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


# --- Killing ---------------------------------------------------------------------------------


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


@contextmanager
def killed_by(owner: object, name: str) -> Iterator[None]:
    """Kill what is done inside when it calls a function, named by where it is looked up."""

    def kill(*_: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, kill)
        yield


class Stage(NamedTuple):
    """What a run needs."""

    folder: Path
    model: Path

    @classmethod
    def build(cls, folder: Path, model: Path) -> Stage:
        (folder / "tiny.yaml").write_text(SUITE, encoding="utf-8")
        (folder / "drift.py").write_text(DRIFT, encoding="utf-8")
        load_editor_file(folder / "drift.py")
        return cls(folder, model)

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

    def killed(self, output: Path, edit: int = 0, single: int = 0, **fields: Any) -> Path:
        """Start a run and kill it; return its folder."""
        with pytest.raises(Killed):
            run(self.config(output, **fields), KillAt(edit, single))
        return output

    def copied_model(self, folder: Path) -> Path:
        """Copy the model, under its own name."""
        return shutil.copytree(self.model, folder / "models" / self.model.name)


def kill_again(folder: Path, edit: int = 0, single: int = 0, **options: Any) -> None:
    """Go on with a run, and kill it."""
    with pytest.raises(Killed):
        resume_run(folder, KillAt(edit, single), **options)


# --- What is there ---------------------------------------------------------------------------


def read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def lines_of(folder: Path) -> dict[str, list[str]]:
    """The journal without timings."""
    return {
        name: [without_timings(json.loads(line)) for line in read(folder / name).splitlines()]
        for name in JOURNALS
    }


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read(folder / "events.jsonl").splitlines()]


def save_names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "state").iterdir() if path.is_dir())


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def essence(result: Result) -> Any:
    """What of a result must be the same each time."""
    return result.curves, result.summary, result.cost.tokens_scored, result.editor, result.data


# --- What must hold --------------------------------------------------------------------------


def assert_equals(folder: Path, twin: Path) -> Result:
    """The journal and the result are those of a run that nothing happened to."""
    assert lines_of(folder) == lines_of(twin)
    result = read_result(folder)
    assert essence(result) == essence(read_result(twin))
    assert not (folder / "state").exists()
    assert not (folder / "lock").exists()
    return result


def assert_goes_on(folder: Path, twin: Path, **options: Any) -> Result:
    """A run that was stopped ends as if it had not been."""
    resume_run(folder, **options)
    return assert_equals(folder, twin)


def assert_command_goes_on(
    seqedit: Callable[..., Any], folder: Path, twin: Path, *options: object
) -> None:
    """The same by the command line."""
    done = seqedit("resume", folder, "--quiet", *options)
    assert done.code == 0, done.err
    assert_equals(folder, twin)


@contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """No file of a folder is another afterwards, none is missing, and none is new."""
    before = everything(folder)
    yield
    assert everything(folder) == before


def assert_refused(seqedit: Callable[..., Any], folder: Path, *options: object) -> str:
    """Resume a run that must not go on: status 2, nothing changed; return the one line it says."""
    with untouched(folder):
        done = seqedit("resume", folder, "--quiet", *options)
    assert done.code == 2, done
    assert len(done.err.splitlines()) == 1
    return done.err
