"""`seqedit-bench leaderboard`: tables, JSON, a site, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reported import HOSTILE
from told_entries import Tale, write_entries

Command = Callable[..., Any]
COVARIANCE = ("covariance", "subject")


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tales = [
        *(Tale("memit", sample, ps=0.98, ns=0.9, needs=COVARIANCE) for sample in (1, 2)),
        Tale("rome", collapse=40, needs=COVARIANCE),
        Tale("ft", ps=0.3, kept=0.8, needs=()),
        Tale("grace", ps=0.05, kind="hooks", needs=()),
        Tale("ft", model="gpt-j-6b", suite="clean", needs=()),
    ]
    return write_entries(tmp_path_factory.mktemp("entries"), tales)


@pytest.fixture
def board(seqedit: Command, entries: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Show the board in a terminal so wide."""

    def call(*options: object, width: int = 160) -> Any:
        monkeypatch.setenv("COLUMNS", str(width))
        return seqedit("leaderboard", "--entries", entries, *options)

    return call


def rows(text: str) -> dict[str, list[str]]:
    """Cells of each row by its editor."""
    lines = [line.split() for line in text.splitlines()]
    return {line[1]: line for line in lines if line and line[0].rstrip("=").isdigit()}


def test_one_table_a_protocol(board: Command) -> None:
    done = board()
    assert (done.code, done.err) == (0, "")
    assert "clean@2: 60 counterfact edits, one at a time, bundled data" in done.out
    assert done.out.index("clean@2") < done.out.index("quick@2")
    quick = rows(done.out.split("quick@2")[1])
    assert next(iter(quick)) == "memit"
    assert quick["memit"][2:4] == ["2", "60"]
    assert ">60" in quick["memit"] and "39" in quick["rome"]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_parts_of_s_need_room(width: int, board: Command) -> None:
    done = board("--suite", "quick", width=width)
    heading = done.out.split("rank", 1)[1].split("memit")[0]
    assert ("ES" in heading.split()) == (width >= 116)
    assert ("-" in rows(done.out)["memit"][5]) == (width >= 150)
    assert all(len(line.rstrip()) <= width for line in done.out.splitlines())


def test_names_and_numbers_are_whole_in_80_columns(
    seqedit: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tales = [Tale("in_context", seconds=10.89), Tale("prune+rome", collapse=40, seconds=4.42)]
    entries = write_entries(tmp_path / "entries", tales)
    monkeypatch.setenv("COLUMNS", "80")
    found = rows(seqedit("leaderboard", "--entries", entries).out)
    assert found.keys() == {"in_context", "prune+rome"}
    assert found["in_context"][-2] == "10.89" and found["prune+rome"][-2] == "4.42"


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--suite", "clean"], {"ft"}),
        (["--model", "gpt-j-6b"], {"ft"}),
        (["--kind", "hooks"], {"grace"}),
        (["--suite", "quick@2", "--needs", "covariance"], {"memit", "rome"}),
        (["--suite", "quick", "--without", "covariance", "--without", "subject"], {"ft", "grace"}),
    ],
)
def test_filters(options: list[str], shown: set[str], board: Command) -> None:
    assert set(rows(board(*options).out)) == shown


def test_sorting(board: Command) -> None:
    assert list(rows(board("--suite", "quick", "--sort", "editor").out)) == [
        "ft",
        "grace",
        "memit",
        "rome",
    ]
    assert list(rows(board("--suite", "quick", "--sort", "collapse").out))[-1] == "rome"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--suite", "quik"], "unknown suite 'quik': did you mean 'quick'"),
        (["--model", "gpt-j"], "unknown model 'gpt-j': did you mean 'gpt-j-6b'"),
        (["--kind", "weight"], "unknown kind 'weight': did you mean 'weights'"),
        (["--needs", "covarance"], "unknown need 'covarance': did you mean 'covariance'"),
        (["--without", "x"], "unknown need 'x': (known: covariance, subject)"),
        (["--sort", "kept"], "unknown column 'kept': did you mean 'kept_es'"),
        (["--kind", "context"], "none of 6 entries has kind context"),
        (["--files", "x"], "--files goes with --html"),
        (["--html", "absent/site", "--sort", "es"], "--sort is for the terminal"),
    ],
)
def test_refusals(options: list[str], says: str, board: Command) -> None:
    done = board(*options)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert says in done.err


def test_no_entries(seqedit: Command, tmp_path: Path) -> None:
    for folder, says in ((tmp_path, "no entries in it"), (tmp_path / "absent", "no such folder")):
        done = seqedit("leaderboard", "--entries", folder)
        assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
        assert f"{folder}: {says}" in done.err


def test_json(board: Command) -> None:
    done = board("--json", "--suite", "quick")
    (standing,) = json.loads(done.out)["standings"]
    best = standing["rows"][0]
    assert (standing["suite"], best["editor"], best["rank"]) == ("quick@2", "memit", 1)
    assert best["numbers"]["s"]["low"] < best["numbers"]["s"]["value"]
    assert [entry["sample"] for entry in best["entries"]] == [1, 2]
    assert best["edits_before_collapse"][0] == {"collapsed": False, "edits": 60}


def test_a_site(board: Command, tmp_path: Path) -> None:
    done = board("--html", tmp_path / "site")
    assert (done.code, done.out) == (0, f"{tmp_path / 'site' / 'index.html'}\n")
    assert (tmp_path / "site" / "index.html").is_file()
    both = board("--html", tmp_path / "site", "--json")
    written = (tmp_path / "site" / "board.json").read_text(encoding="utf-8")
    assert both.out == written
    assert both.err == f"board: {tmp_path / 'site' / 'index.html'}\n"


def test_strangers_do_not_steer_the_terminal(seqedit: Command, tmp_path: Path) -> None:
    nasty = f"[bold]{HOSTILE}\x1b[2J\u202e"
    write_entries(tmp_path, [Tale(nasty, model=nasty, suite=nasty, hparams={nasty: nasty})])
    done = seqedit("leaderboard", "--entries", tmp_path)
    assert done.code == 0
    assert "[bold]" in done.out
    assert "\x1b" not in done.out and "\u202e" not in done.out
    refused = seqedit("leaderboard", "--entries", tmp_path, "--suite", "x")
    assert refused.code == 2 and "\x1b" not in refused.err


WITHOUT_TORCH = """
import sys
from seqedit_bench.benchmark.cli import main
main(["leaderboard", "--entries", sys.argv[1]])
main(["leaderboard", "--entries", sys.argv[1], "--html", sys.argv[2]])
assert not {"torch", "transformers", "datasets", "matplotlib"} & set(sys.modules)
"""


def test_needs_no_torch(entries: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(entries), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
