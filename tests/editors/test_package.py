"""An editor in a package of its own, installed for real and found by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

START = "import sys; from seqedit_bench.benchmark.cli import main; main(sys.argv[1:])"
pytest.importorskip("setuptools", reason="the package is built with it: pip install '.[dev]'")

PYPROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "shifty"
version = "0.0.1"

[project.entry-points."seqedit_bench.editors"]
shifty = "shifty:Shifty"
broken = "shifty:NotThere"

[tool.setuptools]
py-modules = ["shifty"]
"""
MODULE = '''\
"""Moves the last MLP matrix by what the fact's characters add up to."""

import torch
from seqedit_bench.editors import Editor, EditReport


class Shifty(Editor):
    batched = True

    def edited_parameters(self):
        names = [n for n, p in self.model.named_parameters() if ".mlp." in n and p.dim() == 2]
        return names[-1:]

    @torch.no_grad()
    def edit(self, requests):
        (name,) = self.edited_parameters()
        weight = self.model.get_parameter(name)
        for request in requests:
            fact = request.text + request.target_new
            weight[0] += sum(position * ord(c) for position, c in enumerate(fact, 1)) / 1e5
        return EditReport()
'''


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the package is installed, and nothing else."""
    source = tmp_path_factory.mktemp("package")
    (source / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (source / "shifty.py").write_text(MODULE, encoding="utf-8")
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, *offline, str(source)], check=True, capture_output=True, text=True)
    return folder


def seqedit(site: Path | None, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if site is not None:
        environment["PYTHONPATH"] = str(site)
    return subprocess.run(
        [sys.executable, "-c", START, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**environment, "COLUMNS": "200"},
    )


def test_listed_only_where_it_is_installed(site: Path) -> None:
    assert "shifty" in seqedit(site, "list", "editors").stdout
    assert "shifty" not in seqedit(None, "list", "editors").stdout


def test_passes_the_contract(site: Path) -> None:
    done = seqedit(site, "check-editor", "shifty")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "shifty: 15 of 15 checks passed" in done.stdout


def test_runs(site: Path, tiny_folder: Path, tmp_path: Path) -> None:
    arguments = ["--editor", "shifty", "--model", tiny_folder, "--num-edits", 2, "--skip"]
    tasks = (
        "counterfact_free,sst2_ll,mrpc_ll,cola_ll,rte_corrected_ll,heldout_perplexity,generation"
    )
    done = seqedit(
        site, *arguments, f"{tasks},single_edit", "--output", tmp_path / "run", "--quiet"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "run" / "leaderboard.json").read_text(encoding="utf-8"))
    assert result["editor"]["name"] == "shifty"
    assert len(result["editor"]["code_sha256"]) == 64
    (distance,) = result["summary"]["distance"].values()
    assert distance["l2"] > 0


def test_a_broken_entry_point_is_one_line(site: Path) -> None:
    done = seqedit(site, "check-editor", "broken")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "cannot load shifty:NotThere" in done.stderr
