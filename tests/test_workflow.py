"""The workflow that judges pull requests: what it may do, and that its scripts work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from made_run import made_entry
from seqedit_bench.leaderboards.entry import Entry

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    path = ROOT / ".github" / "workflows" / "leaderboard.yml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(workflow: dict[Any, Any], job: str) -> list[dict[str, Any]]:
    return workflow["jobs"][job]["steps"]


def scripts(workflow: dict[Any, Any]) -> list[str]:
    return [
        step["run"] for job in workflow["jobs"] for step in steps(workflow, job) if "run" in step
    ]


def test_it_has_the_least_rights(workflow: dict[Any, Any]) -> None:
    trigger = workflow[True]  # YAML 1.1 reads the key `on` so
    assert trigger == {"pull_request_target": {"paths": ["leaderboards/entries/**"]}}
    assert workflow["permissions"] == {}
    rights = {name: job["permissions"] for name, job in workflow["jobs"].items()}
    assert rights == {"judge": {"contents": "read"}, "comment": {"pull-requests": "write"}}


def test_nothing_of_a_pull_request_is_run(workflow: dict[Any, Any]) -> None:
    judging = steps(workflow, "judge")
    code, entries = [step["with"] for step in judging if "checkout" in step.get("uses", "")]
    assert "ref" not in code  # the base branch, for this trigger
    assert code["persist-credentials"] is entries["persist-credentials"] is False
    assert entries["sparse-checkout"] == "/leaderboards/entries/"
    # A cone would have the files of the folders above too.
    assert entries["sparse-checkout-cone-mode"] is False
    for script in scripts(workflow):
        assert "${{" not in script  # what others choose is no part of a script
        assert "pip install" not in script or "merged" not in script
    # Who may write runs none of our code.
    commenting = steps(workflow, "comment")
    assert not any("checkout" in step.get("uses", "") for step in commenting)
    written = "".join(step.get("run", "") for step in commenting)
    assert "seqedit-bench " not in written.replace("<!-- seqedit-bench ", "")


def test_scripts_are_bash(workflow: dict[Any, Any]) -> None:
    assert len(scripts(workflow)) == 5
    for script in scripts(workflow):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def script(workflow: dict[Any, Any], name: str) -> str:
    (found,) = [step for step in steps(workflow, "judge") if step.get("name") == name]
    return found["run"]


def run(text: str, folder: Path) -> str:
    """Run a script as the workflow does; return what it set as output."""
    output = folder / "output"
    output.touch()
    subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(output),
            "GITHUB_WORKSPACE": str(folder),
        },
        check=True,
        capture_output=True,
    )
    return output.read_text(encoding="utf-8")


def put(folder: Path, entry: Entry, text: str = "") -> None:
    path = folder / "leaderboards" / "entries" / entry.place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text or entry.to_json(), encoding="utf-8")


def test_it_judges(workflow: dict[Any, Any], tmp_path: Path) -> None:
    there, new = (made_entry(tmp_path / f"run{n}", sample=n) for n in (1, 2))
    put(tmp_path / "base", there)
    for entry in (there, new):
        put(tmp_path / "merged", entry)
    assert run(script(workflow, "Judge"), tmp_path) == "code=0\n"
    text = (tmp_path / "report" / "comment.md").read_text(encoding="utf-8")
    assert "2 entries, no problem." in text and "New: 1" in text
    assert run(script(workflow, "Compare"), tmp_path) == "code=0\n"
    text = (tmp_path / "report" / "comment.md").read_text(encoding="utf-8")
    assert f"### `{'/'.join(new.place.split('/')[:2])}`\n" in text
    put(tmp_path / "merged", new, new.to_json().replace('"dirty": false', '"dirty": true'))
    (tmp_path / "output").unlink()
    assert run(script(workflow, "Judge"), tmp_path) == "code=1\n"
    assert "1 problem" in (tmp_path / "report" / "comment.md").read_text(encoding="utf-8")


def test_nothing_to_judge(workflow: dict[Any, Any], tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()
    assert run(script(workflow, "Judge"), tmp_path) == "code=2\n"
    text = (tmp_path / "report" / "comment.md").read_text(encoding="utf-8")
    assert text == "The entries could not be judged: see the job's log.\n"


def test_requirements_without_torch(workflow: dict[Any, Any], tmp_path: Path) -> None:
    (tmp_path / "base").symlink_to(ROOT)
    lines = script(workflow, "Install without torch").split("\n")
    run("\n".join(line for line in lines if "pip install" not in line), tmp_path)
    names = (tmp_path / "requirements.txt").read_text(encoding="utf-8").split()
    assert not any(name.startswith(("torch", "transformers")) for name in names)
    assert {"jinja2", "rich", "pyyaml", "lm-eval>=0.4.13,<0.5"} <= set(names)
