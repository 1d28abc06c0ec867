"""`compare`, `export` and `cite` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from command import Done
from made_entries import entry_of, written
from seqedit_bench.benchmark import listing
from seqedit_bench.benchmark.lmeval import TaskSet
from seqedit_bench.benchmark.task_facts import task_facts

Command = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Entries of the control and two editors on two samples."""
    scores = {"none": [0.0, 1.0, 0.0, 0.0], "rome": [1.0] * 4, "ft": [1.0, 0.0, 0.0, 1.0]}
    for editor, es in scores.items():
        for sample in (1, 2):
            kept = {"es": [1.0, 0.0, 1.0, 1.0]}
            written(entry_of(editor, sample=sample, es=es, ps=es, ns=es, kept=kept), tmp_path)
    return tmp_path


def test_compare_shows_a_folder_of_entries(seqedit: Command, folder: Path) -> None:
    done = seqedit("compare", folder)
    assert (done.code, done.err) == (0, "")
    assert "4 edits, samples 1,2" in done.out
    names = [line.split()[0] for line in done.out.splitlines() if line[:1].isalpha()][2:5]
    assert names == ["rome", "ft", "none"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--metric", "kept ES"], "kept_es in %"),
        (["--metric", "sst2_ll"], "sst2_ll.weighted_f1 in %"),
        (["--metric", "ES"], "es in %"),
        (["--columns", "es,moved"], "moved:"),
        (["--columns", "all"], "collapse"),
        (["--at", "2"], "2 of 4 edits"),
        (["--format", "latex"], "\\toprule"),
        (["--format", "markdown"], "| editor |"),
        (["--format", "csv"], "editor,hparams,"),
        (["--format", "json", "--bootstrap", "150", "--seed", "7"], '"draws": 150'),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_compare_does_what_options_say(
    options: list[str], says: str, seqedit: Command, folder: Path
) -> None:
    done = seqedit("compare", folder, *options)
    assert (done.code, done.err) == (0, "")
    assert says in done.out


@pytest.mark.parametrize(
    ("options", "editors"),
    [
        ([], ["rome", "ft", "none"]),
        (["--reverse"], ["none", "ft", "rome"]),
        (["--sort", "-es"], ["none", "ft", "rome"]),
        (["--sort", "-es", "--reverse"], ["rome", "ft", "none"]),
        (["--sort", "ns"], ["rome", "ft", "none"]),
    ],
)
def test_compare_sorts(
    options: list[str], editors: list[str], seqedit: Command, folder: Path
) -> None:
    done = seqedit("compare", folder, "--format", "json", *options)
    assert [row["editor"] for row in json.loads(done.out)["rows"]] == editors


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--metric", "ess"], "unknown metric 'ess': did you mean 'es'?"),
        (["--columns", "es,nothing"], "unknown metric 'nothing'"),
        (["--sort", "-pss"], "unknown metric 'pss': did you mean 'ps'?"),
        (["--metric", "es", "--columns", "ps"], "exclude each other"),
        (["--at", "9"], "--at 9, and the run is of 4 edits"),
        (["--at", "0"], "at"),
        (["--bootstrap", "1"], "bootstrap"),
        (["--format", "html"], "format"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_compare_refuses_in_one_line(
    options: list[str], says: str, seqedit: Command, folder: Path
) -> None:
    done = seqedit("compare", folder, *options)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_compare_says_which_field_differs(seqedit: Command, folder: Path) -> None:
    other = written(entry_of("memit", changes={"protocol__limits": {"sst2_ll": 5}}), folder)
    done = seqedit("compare", folder)
    assert done.code == 2
    assert "different protocol" in done.err and "protocol.limits" in done.err
    assert str(other) in done.err


def test_compare_is_the_same_every_time(seqedit: Command, folder: Path) -> None:
    entries = sorted(folder.rglob("*.json"))
    texts = {
        seqedit("compare", *given, "--format", "json").out for given in (entries, entries[::-1])
    }
    assert len(texts) == 1


def test_compare_reads_the_journal_of_a_run(seqedit: Command, twin: Path) -> None:
    """From the run directory that a run leaves: its summary, with intervals from its journal."""
    done = seqedit("compare", twin, "--columns", "es,s,kept_es,collapse", "--format", "json")
    assert (done.code, done.err) == (0, "")
    (row,) = json.loads(done.out)["rows"]
    summary = json.loads((twin / "leaderboard.json").read_text("utf-8"))["summary"]
    for name in ("es", "s"):
        found = row["metrics"][name]
        assert found["value"] == pytest.approx(summary["immediate"][name], rel=1e-5)
        assert found["low"] <= found["value"] <= found["high"]
    kept = summary["retention"]["es"]["instant"]
    assert row["metrics"]["kept_es"]["value"] == pytest.approx(kept, rel=1e-5)
    assert row["metrics"]["collapse"]["open_ended"] is True
    early = json.loads(seqedit("compare", twin, "--at", "2", "--format", "json").out)
    assert early["edits"] == 2
    assert early["rows"][0]["runs"][0]["edits"] == 2


def test_export_writes_files_of_the_harness(seqedit: Command, folder: Path, tmp_path: Path) -> None:
    done = seqedit("export", "lm-eval", folder, "--output", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    paths = [Path(line) for line in done.out.splitlines()]
    assert len(paths) == 6
    record = json.loads(paths[0].read_text("utf-8"))
    assert record["versions"]["counterfact_es"] == 1.0
    assert record["config"]["model"] == "seqedit"


def test_export_writes_a_data_set(seqedit: Command, folder: Path, tmp_path: Path) -> None:
    done = seqedit("export", "hf", folder, "--output", tmp_path / "out")
    assert (done.code, done.err) == (0, "")
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "arxiv_2202_05262" in card
    again = seqedit("export", "hf", folder, "--output", folder)
    assert again.code == 2 and "no data set of ours" in again.err


def test_cite_names_the_editors(seqedit: Command, folder: Path, tmp_path: Path) -> None:
    assert seqedit("cite").out.count("@") == 3
    text = seqedit("cite", folder).out
    assert "Cited for ft, none, rome" in text
    bare = tmp_path / "run.json"
    result = entry_of("rect+memit").result
    bare.write_text(result.to_json(), encoding="utf-8")
    text = seqedit("cite", bare).out
    assert "Cited for memit" in text and "Cited for rect" in text


def test_task_files_are_read_as_the_harness_reads_them() -> None:
    facts = task_facts()
    assert set(facts) == {row[0] for row in listing.tasks()[1]}
    names = ["counterfact_ps", "sst2_ll", "heldout_perplexity", "retention"]
    tasks = TaskSet(names, metadata={"num_edits": 2, "data_source": "bundled"})
    for name in names:
        assert list(facts[name].metrics) == tasks.metrics_of(name)
        assert (facts[name].version, facts[name].num_fewshot) == (1.0, 0)
    assert facts["counterfact_ps"].metrics["ps_nll_new"] is False
