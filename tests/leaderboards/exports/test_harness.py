"""Files in the shape of lm-evaluation-harness: its own table reads them, and nothing is made up."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from lm_eval.utils import get_file_datetime, get_results_filenames, make_table, sanitize_model_name

from made_entries import entry_of
from seqedit_bench.benchmark.task_facts import task_facts
from seqedit_bench.leaderboards.compare import Run
from seqedit_bench.leaderboards.exports.harness import (
    harness_record,
    model_name,
    sanitized,
    write_harness,
)

VERSIONS = {"lm_eval": "0.4.13", "seqedit-bench": "0.1.0"}
EXPECTED = {
    *("results", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better"),
    *("n-samples", "config", "git_hash", "date", "lm_eval_version", "task_hashes"),
    *("model_source", "model_name", "model_name_sanitized", "total_evaluation_time_seconds"),
}


def run_of(editor: str = "rome", **given: Any) -> Run:
    entry = entry_of(
        editor, **{"run": "r", "es": [1.0, 0.0, 1.0, 1.0], "kept": {"es": [1.0] * 4}, **given}
    )
    return Run(f"{entry.run}.json", entry.result, entry.series, entry)


def rows(table: str) -> dict[tuple[str, str], list[str]]:
    """Return the lines of the harness's table by task and metric."""
    found, task = {}, ""
    for line in table.splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 9:
            task = cells[0] or task
            found[task, cells[4]] = cells
    return found


def test_the_harness_prints_our_results() -> None:
    record = json.loads(json.dumps(harness_record(run_of(), task_facts(), VERSIONS)))
    table = rows(make_table(record))
    es = table["counterfact_es", "es"]
    assert es[1:4] == ["1", "none", "0"]
    assert (es[5], float(es[6]), es[7], float(es[8])) == ("↑", 0.75, "±", 0.25)
    assert float(table["retention", "es"][6]) == 0.5
    assert float(table["retention", "es_instant"][6]) == 0.5000
    assert float(table["sst2_ll", "weighted_f1"][6]) == 0.2500
    assert table["sst2_ll", "weighted_f1"][8] == "N/A"
    assert table["sst2_ll", "constant_f1"][5] == "↑"


def test_all_that_the_harness_writes_is_there() -> None:
    record = harness_record(run_of(), task_facts(), VERSIONS)
    assert set(record) >= EXPECTED
    assert set(record["results"]) == {"counterfact_es", "retention", "sst2_ll"}
    for key in ("configs", "versions", "n-shot", "higher_is_better", "group_subtasks"):
        assert set(record[key]) == set(record["results"])
    assert record["n-samples"]["counterfact_es"] == {"original": 4, "effective": 4}
    assert record["config"]["model_args"]["editor"] == "rome"
    assert record["higher_is_better"]["counterfact_es"]["es_nll_new"] is False


def test_tasks_of_others_have_no_version() -> None:
    """What no task file says is left out, as the harness's table expects it."""
    run = run_of()
    run.result.summary.tasks["hellaswag"] = {"acc_norm": {"unedited": 0.3, "final": 0.25}}
    record = harness_record(run, task_facts(), VERSIONS)
    line = rows(make_table(record))["hellaswag", "acc_norm"]
    assert (line[1], line[3], float(line[6])) == ("N/A", "", 0.25)


def test_what_is_not_finite_is_said() -> None:
    run = run_of()
    run.result.summary.tasks["sst2_ll"]["weighted_f1"]["final"] = None
    record = harness_record(run, task_facts(), VERSIONS)
    assert rows(make_table(record))["sst2_ll", "weighted_f1"][6] == "N/A"


def test_a_metric_with_a_filter_keeps_it() -> None:
    run = run_of()
    run.result.summary.tasks["gsm8k"] = {
        "exact_match,flexible-extract": {"unedited": 0.1, "final": 0.0}
    }
    record = harness_record(run, task_facts(), VERSIONS)
    assert rows(make_table(record))["gsm8k", "exact_match"][2] == "flexible-extract"


def test_files_are_named_as_the_harness_finds_them(tmp_path: Path) -> None:
    started = {"provenance__started": "2026-11-25T19:52:52+01:00"}
    runs = [
        run_of(sample=at, changes={"provenance": {"started": started["provenance__started"]}})
        for at in (1, 2)
    ]
    paths = write_harness(runs, task_facts(), tmp_path, VERSIONS)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "tiny-gpt2__rome/results_2026-11-25T18-52-52.000000.json",
        "tiny-gpt2__rome/results_2026-11-25T18-52-52.000001.json",
    ]
    names = [str(path) for path in paths]
    assert get_results_filenames(names) == names
    for path in paths:
        date = get_file_datetime(path.name)
        datetime.strptime(date, "%Y-%m-%dT%H-%M-%S.%f.json")
        record = json.loads(path.read_text("utf-8"))
        assert record["model_name_sanitized"] == path.parent.name
    samples = [
        json.loads(path.read_text("utf-8"))["config"]["model_args"]["sample"] for path in paths
    ]
    assert samples == [1, 2]


@pytest.mark.parametrize("name", ["EleutherAI/gpt-j-6b", "a:b|c*d", "plain"])
def test_folders_have_the_harnesss_names(name: str) -> None:
    assert sanitized(name) == sanitize_model_name(name)


@pytest.mark.parametrize("name", ["..", "../../x", "/etc", ".", "a\x1b[2J\n", "x" * 5000])
def test_names_are_no_way_out(name: str, tmp_path: Path) -> None:
    run = run_of(name, changes={"model__name": name})
    (path,) = write_harness([run], task_facts(), tmp_path / "out", VERSIONS)
    assert path.resolve().parent.parent == (tmp_path / "out").resolve()
    assert str(path).isprintable()
    assert model_name(run.result).startswith(name)
    assert sanitized("..") == "__"


@pytest.mark.parametrize(
    "started", [None, 5, "yesterday", "2026-11-25", "0001-01-01T00:00:00+14:00"]
)
def test_a_run_without_its_time_is_written_all_the_same(started: Any, tmp_path: Path) -> None:
    run = run_of(changes={"provenance": {"started": started}})
    (path,) = write_harness([run], task_facts(), tmp_path, VERSIONS)
    assert path.is_file()
