"""A tiny model, a suite that asks for everything, and runs of any editor on them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from rich.console import Console

from seqedit_bench.benchmark import RunConfig, runner
from seqedit_bench.benchmark.display import PlainLines
from seqedit_bench.editors import _hparams
from seqedit_bench.leaderboards import Result, read_result

SUITE = """\
name: tiny
version: 1
description: for tests
data_source: bundled
edits: counterfact
num_edits: 4
baseline_records: 2
each_edit: [counterfact_es, counterfact_ps, counterfact_ns]
checkpoint: {retention: 2}
score: {counterfact: [es, ps, ns], zsre: [efficacy]}
smoothing: buckets
"""
ENDS = SUITE.replace(
    "score:",
    "start_end: [heldout_perplexity]\n"
    "single_edit: {edits: zsre, num_edits: 2, tasks: [zsre_efficacy, zsre_completion]}\n"
    "score:",
)
"""The same with something asked at both ends, and edits beside the sequence."""
EVERYTHING = (
    ENDS.replace("counterfact_ns]", "counterfact_ns, counterfact_free, counterfact_fluency]")
    .replace("{retention: 2}", "{retention: 2, generation: 3, sst2_ll: 4}")
    .replace("[heldout_perplexity]", "[heldout_perplexity, sst2_gen]")
)


class Run(NamedTuple):
    """One finished run."""

    folder: Path
    result: Result
    edits: list[dict[str, Any]]
    shown: str
    """What was printed on the way."""


Runner = Callable[..., Run]


def small(editor: str) -> tuple[str, ...]:
    """Return the hyper-parameters that an editor and its wrappers have for tiny models."""
    *wrappers, base = editor.split("+")
    return tuple(
        f"{f'{name}.' * (name in wrappers)}{key}={yaml.safe_dump(value, default_flow_style=True)}"
        for name in (*wrappers, base)
        for key, value in _hparams._load(name).get("check", {}).items()
    )


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, with nothing set that changes what is read or printed."""
    for name in ("SEQEDIT_DATA_DIR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SEQEDIT_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture(scope="session")
def moments_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of second moments for all runs on the tiny model."""
    return tmp_path_factory.mktemp("moments")


@pytest.fixture
def run_editor(
    tiny_folder: Path, moments_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Runner:
    """Run an editor on the tiny model and a suite, `SUITE` if none is given."""

    def call(editor: str, *, suite: str = SUITE, plots: bool = True, **options: Any) -> Run:
        if not plots:  # a third of the time of a run this small
            monkeypatch.setattr(runner, "plot_run", lambda *_: [])
        path = tmp_path / "suite.yaml"
        path.write_text(suite, encoding="utf-8")
        shown = io.StringIO()
        request = {
            "editor": editor,
            "model": str(tiny_folder),
            "suite": str(path),
            "output": tmp_path / "run",
            "cache_dir": moments_cache,
            "hparams": small(editor),
        }
        outcome = runner.run(RunConfig(**{**request, **options}), PlainLines(Console(file=shown)))
        folder = outcome.path.parent
        assert read_result(folder).to_json() == outcome.result.to_json()
        lines = (folder / "edits.jsonl").read_text(encoding="utf-8").splitlines()
        return Run(folder, outcome.result, [json.loads(line) for line in lines], shown.getvalue())

    return call
