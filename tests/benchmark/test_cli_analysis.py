"""Commands that look back at runs, on journals built in code."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench.benchmark.cli import main
from seqedit_bench.leaderboards.analysis.journal import RunJournal
from seqedit_bench.leaderboards.analysis.synthetic import Story, synthetic_run

Command = Callable[..., Any]


def write_run(run: RunJournal, folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(run.config), encoding="utf-8")
    for name, lines in (("edits.jsonl", run.edits), ("checkpoints.jsonl", run.checkpoints)):
        text = "".join(line.model_dump_json() + "\n" for line in lines)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def broken_run(tmp_path: Path) -> Path:
    """A run that edit 150 breaks."""
    story = Story(broken_at=150, spikes={150: 300.0})
    return write_run(synthetic_run(story), tmp_path / "run")


FAST = ("--set", "permutations=199", "--set", "bootstrap=100")


def test_analyze(seqedit: Command, broken_run: Path) -> None:
    done = seqedit("analyze", broken_run, *FAST)
    assert (done.code, done.err) == (0, "")
    assert "catastrophic collapse at edit 150" in done.out
    written = json.loads((broken_run / "analysis.json").read_text(encoding="utf-8"))
    assert written["collapse"]["edit"] == 150
    assert written["constants"]["permutations"] == 199


def test_analyze_as_json_elsewhere(seqedit: Command, broken_run: Path, tmp_path: Path) -> None:
    done = seqedit("analyze", broken_run, *FAST, "--json", "--output", tmp_path / "a.json")
    assert json.loads(done.out)["collapse"]["kind"] == "catastrophic"
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == done.out
    assert not (broken_run / "analysis.json").exists()


def test_a_link_in_a_strangers_run_is_not_followed(
    seqedit: Command, broken_run: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    for name in ("analysis.json", "analysis.json.tmp"):
        (broken_run / name).symlink_to(precious)
    precious.write_text("mine", encoding="utf-8")
    assert seqedit("analyze", broken_run, *FAST).code == 0
    assert precious.read_text(encoding="utf-8") == "mine"
    assert not (broken_run / "analysis.json").is_symlink()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--set", "spikes=3"], "unknown constant 'spikes': did you mean 'spike"),
        (["--controls", "33"], "--controls has no effect without --replay: leave it out"),
        (["--no-downstream"], "--downstream has no effect without --replay"),
        (["--keys", "--fresh", "2"], "--fresh has no effect without --replay"),
        (["--candidates", "10"], "--candidates has no effect without --replay"),
        (["--device", "cpu"], "--device has no effect without --replay or --keys"),
    ],
)
def test_analyze_refuses(options: list[str], says: str, seqedit: Command, broken_run: Path) -> None:
    before = sorted(broken_run.iterdir())
    done = seqedit("analyze", broken_run, *options)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert says in done.err
    assert sorted(broken_run.iterdir()) == before


def test_a_folder_that_cannot_be_written_costs_no_table(seqedit: Command, broken_run: Path) -> None:
    (broken_run / "analysis.json").mkdir()
    for output, hint in (([], "name another file with --output"), (["--output", "absent/a"], "")):
        done = seqedit("analyze", broken_run, *FAST, *output)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert "catastrophic collapse at edit 150" in done.out
        assert "cannot be written" in done.err
        assert hint in done.err and ("--output" in done.err) == bool(hint)


@pytest.mark.parametrize("command", ["train", "hunt"])
def test_the_help_names_no_suite_where_there_is_none(command: str, seqedit: Command) -> None:
    text = " ".join(re.sub(r"[^\w ,;:-]", " ", seqedit(command, "--help").out).split())
    assert "default: the folder if one is named, else bundled" in text


def test_properties(seqedit: Command, broken_run: Path) -> None:
    found = seqedit("properties", broken_run, *FAST, "--format", "json")
    assert json.loads(found.out)[0]["before_collapse"] == [149]
    assert "149" in seqedit("properties", broken_run, *FAST).out
    assert seqedit("properties", broken_run, *FAST, "--format", "markdown").out.startswith("| ")
    twice = seqedit("properties", broken_run, broken_run, *FAST)
    assert (twice.code, "same sample and seed" in twice.err) == (2, True)


def test_report(seqedit: Command, broken_run: Path, tmp_path: Path) -> None:
    page, figures = tmp_path / "r.html", tmp_path / "figures"
    done = seqedit("report", broken_run, *FAST, "--output", page, "--figures", figures)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        str(page),
        *(str(figures / f"figure{n}.{kind}") for n in (1, 2, 3) for kind in ("png", "svg")),
    ]
    assert "catastrophic collapse at edit 150" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("output", [".", ""])
def test_a_page_needs_a_name(output: str, seqedit: Command, broken_run: Path) -> None:
    for command in ("analyze", "report"):
        done = seqedit(command, broken_run, *FAST, "--output", output)
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
        assert ".: not the name of a file" in done.err


def written(encoding: str, errors: str, *arguments: object) -> str:
    """Return what a command writes to a stream of that encoding."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)
    with contextlib.redirect_stdout(stream):
        main([str(argument) for argument in arguments])
    stream.flush()
    return stream.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def test_signs_that_the_terminal_lacks(broken_run: Path) -> None:
    """All the work would be lost by the heading of a column, or by a subject's name."""
    path = broken_run / "edits.jsonl"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"Subject 150"', '"Ł é"'), encoding="utf-8")
    found = written("latin-1", "strict", "analyze", broken_run, *FAST)
    assert "|dW|" in found
    assert r"\u0141 é" in found
    assert "‖ΔW‖" in written("utf-8", "strict", "analyze", broken_run, *FAST)
    # Who says what shall happen is heard.
    assert "??W?" in written("latin-1", "replace", "analyze", broken_run, *FAST)


def test_report_of_nothing(seqedit: Command, tmp_path: Path) -> None:
    done = seqedit("report", tmp_path / "absent", "--output", tmp_path / "r.html")
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert not (tmp_path / "r.html").exists()


WITHOUT_TORCH = """
import sys
from seqedit_bench.benchmark.cli import main
for arguments in (["analyze"], ["properties"], ["report", "--output", sys.argv[2]]):
    main([arguments[0], sys.argv[1], *arguments[1:], "--set", "permutations=99"])
assert not {"torch", "transformers", "datasets"} & set(sys.modules)
"""


def test_looking_back_needs_no_torch(broken_run: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(broken_run), str(tmp_path / "r.html")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_calibrate(seqedit: Command) -> None:
    done = seqedit("calibrate", "--runs", 1, *FAST)
    assert done.code == 0
    assert "a large update that breaks nothing" in done.out
    assert "never" in done.out and "always" in done.out
