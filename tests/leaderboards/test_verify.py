"""An entry held against the run that it was made of."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from command import seqedit
from made_run import made_entry
from records import put, sha
from seqedit_bench.benchmark.protocols import known
from seqedit_bench.leaderboards.entry import Entry, read_entry
from seqedit_bench.leaderboards.recompute import read_ran
from seqedit_bench.leaderboards.verify import Check, of_entry, of_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    entry = made_entry(folder / "run")
    (folder / "entry.json").write_text(entry.to_json(), encoding="utf-8")
    return folder / "run"


@pytest.fixture
def path(run: Path) -> Path:
    return run.parent / "entry.json"


def differing(checks: list[Check]) -> dict[str, list[str]]:
    return {check.what: list(check.differs) for check in checks if check.differs}


def test_the_entry_of_a_run_is_its(run: Path, path: Path) -> None:
    checks = [of_entry(read_entry(path), known()), *of_run(read_entry(path), read_ran(run))]
    assert differing(checks) == {}
    assert {"journal", "curves", "summary", "ending", "collapse"} <= {each.what for each in checks}
    done = seqedit("verify", path, "--run", run)
    assert (done.code, done.err) == (0, "")
    assert "values of single edits" in done.out


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("result.summary.immediate.es", 0.99, "summary"),
        ("result.summary.baseline.es_nll_new", 0.5, "summary"),
        ("result.curves.tasks.sst2_ll.metrics.acc.0", 0.81, "curves"),
        ("result.ending.failed", 1, "ending"),
        ("result.cost.tokens_scored", 1, "cost"),
        ("result.cost.seconds_edit", 0.5, "seconds"),
        ("result.editor.hparams.v_lr", 0.1, "editor"),
        ("result.provenance.platform", "Windows", "provenance"),
        ("result.journal_sha256", {"edits.jsonl": sha("x")}, "journal"),
        ("series.immediate.em.3", 0.0123, "values of single edits"),
        ("series.retained.es_exact.values.0", 0.25, "values of single edits"),
        ("collapse.type", "gradual", "collapse"),
    ],
)
def test_a_changed_entry(
    field: str, value: Any, what: str, run: Path, path: Path, tmp_path: Path
) -> None:
    raw = json.loads(path.read_text(encoding="utf-8"))
    put(raw, field, value)
    changed = Entry.model_validate(raw)
    found = differing(list(of_run(changed, read_ran(run))))
    # The run's own result has other seconds too.
    assert list(found) == (["cost", what] if what == "seconds" else [what])
    assert any(line.startswith(field) for line in found[what])
    (tmp_path / "entry.json").write_text(changed.to_json(), encoding="utf-8")
    done = seqedit("verify", tmp_path / "entry.json", "--run", run)
    assert (done.code, done.err) == (1, "")
    assert field in done.out


def test_another_run(path: Path, tmp_path: Path) -> None:
    made_entry(tmp_path / "other", luck=3)
    done = seqedit("verify", path, "--run", tmp_path / "other")
    assert done.code == 1
    assert "and" in done.out and "more" in done.out


def test_the_journal_is_believed_and_not_the_runs_result(
    run: Path, path: Path, tmp_path: Path
) -> None:
    """Whoever changed an entry may have changed `leaderboard.json` with it."""
    copy = shutil.copytree(run, tmp_path / "run")
    text = (copy / "leaderboard.json").read_text(encoding="utf-8")
    result, raw = json.loads(text), json.loads(path.read_text(encoding="utf-8"))
    put(result, "summary.immediate.es", 0.99)
    put(raw, "result.summary.immediate.es", 0.99)
    (copy / "leaderboard.json").write_text(json.dumps(result))
    found = differing(list(of_run(Entry.model_validate(raw), read_ran(copy))))
    assert list(found) == ["summary"]


def test_later_replays_change_nothing(run: Path, path: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    norms = [json.loads(line)["update_norm"] for line in (copy / "edits.jsonl").open()]
    line = {
        "kind": "control", "case_id": 1, "prompt": "{} is", "subject": "x", "target_new": " y",
        "update_norm": {name: value / 100 for name, value in norms[0].items()}, "distance": {},
    }  # fmt: skip
    (copy / "replays.jsonl").write_text((json.dumps(line) + "\n") * 50)
    assert differing(list(of_run(read_entry(path), read_ran(copy)))) == {}


@pytest.mark.parametrize("arguments", [(), ("--replay", 0), ("--run", "nowhere")])
def test_nothing_to_hold_it_against(arguments: tuple[object, ...], path: Path) -> None:
    done = seqedit("verify", path, *arguments)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)


@pytest.mark.parametrize("option", ["--data-dir", "--device", "--cache-dir", "--model"])
def test_what_only_a_replay_takes(option: str, run: Path, path: Path) -> None:
    done = seqedit("verify", path, "--run", run, option, "x")
    assert done.code == 2
    assert f"{option} has no effect without --replay" in done.err
