"""The command line in-process, and a suite short enough for tiny models."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lm_eval.api.registry import Registry
from transformers import PreTrainedModel

import command
from seqedit_bench.benchmark.runner import run
from seqedit_bench.benchmark.tiny_models import build_model
from seqedit_bench.editors import Editor, _registry

pytest.register_assert_rewrite("interrupted")
from interrupted import Stage  # noqa: E402 (its assertions are explained)

SUITE = """\
name: tiny
version: 3
description: for tests
data_source: bundled
edits: counterfact
num_edits: 4
baseline_records: 4
each_edit: [counterfact_es, counterfact_ps, counterfact_ns]
checkpoint: {retention: 2}
score: {counterfact: [es, ps, ns]}
smoothing: buckets
"""


Command = Callable[..., command.Done]


@pytest.fixture(scope="session")
def make_narrow() -> Callable[[str, int], PreTrainedModel]:
    """Build a tiny model of a family whose sliding attention looks back only so far."""

    def make(family: str, window: int) -> PreTrainedModel:
        model = build_model(family)
        model.config.sliding_window = window
        for module in model.modules():
            if getattr(module, "sliding_window", None) is not None:
                vars(module)["sliding_window"] = window
        return model

    return make


@pytest.fixture(scope="session")
def seqedit() -> Command:
    """Run `seqedit-bench` with some arguments; nothing it prints goes to a terminal."""
    return command.seqedit


@pytest.fixture(scope="session")
def suite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of four edits with all three scores, and retention every two."""
    path = tmp_path_factory.mktemp("suites") / "tiny.yaml"
    path.write_text(SUITE, encoding="utf-8")
    return path


@pytest.fixture
def other_suite(tmp_path: Path) -> Callable[..., Path]:
    """Write the tiny suite with a piece of its text replaced."""

    def write(old: str = "", new: str = "") -> Path:
        assert old in SUITE
        path = tmp_path / "suite.yaml"
        path.write_text(SUITE.replace(old, new, 1) if old else SUITE, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of second moments for all runs on the same tiny model."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def clean_environment(
    session_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run in an empty folder, with nothing set that changes what is read or printed."""
    for name in ("SEQEDIT_DATA_DIR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEQEDIT_CACHE_DIR", str(session_cache))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture
def fresh_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget which editors were loaded, as at the start of a command."""
    monkeypatch.setattr(_registry, "_registry", Registry("editor", base_cls=Editor))
    monkeypatch.setattr(_registry, "_files", {})


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Stage:
    """What runs that are stopped need."""
    return Stage.build(tmp_path_factory.mktemp("stage"), tiny_folder)


@pytest.fixture(scope="session")
def twin(stage: Stage) -> Path:
    """A run that nothing happened to."""
    run(stage.config(stage.folder / "twin"))
    return stage.folder / "twin"


@pytest.fixture(scope="session")
def killed(stage: Stage) -> Path:
    """A run that was killed after edit 7, with saves of 4 edits and of 6."""
    return stage.killed(stage.folder / "killed", 7)


@pytest.fixture
def stopped(killed: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be damaged."""
    return shutil.copytree(killed, tmp_path / "run")
