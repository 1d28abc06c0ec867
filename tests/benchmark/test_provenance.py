"""Whether the code of a checkout was changed: what numbers depend on, and nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from seqedit_bench.benchmark import provenance


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("pyproject.toml", "README.md", "tasks/edits.py", "leaderboards/entries/README.md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("before")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *arguments], check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "dirty"),
    [
        ("tasks/edits.py", True),
        ("editors/mine.py", True),
        ("pyproject.toml", True),
        ("mine.py", False),
        ("README.md", False),
        ("leaderboards/entries/quick@2/run.json", False),
    ],
)
def test_changes_of_code_make_a_checkout_dirty(name: str, dirty: bool, checkout: Path) -> None:
    """A new editor beside the package, or an entry that is not committed yet, changes no number."""
    commit, before = provenance._commit(checkout)
    assert (len(str(commit)), before) == (40, False)
    path = checkout / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("after")
    assert provenance._commit(checkout) == (commit, dirty)


def test_an_installed_copy_is_neither(tmp_path: Path) -> None:
    assert provenance._commit(tmp_path) == (None, None)
    (tmp_path / "pyproject.toml").touch()
    assert provenance._commit(tmp_path) == (None, None)


def test_processor_is_named_with_its_instructions() -> None:
    name, _, instructions = provenance._cpu().rpartition(", ")
    assert name and instructions == torch.backends.cpu.get_cpu_capability()
