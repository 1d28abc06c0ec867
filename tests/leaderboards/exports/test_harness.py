"""Files in the shape of lm-evaluation-harness: its own table reads them, and nothing is made up."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from lm_eval._cli.harness import HarnessCLI
from lm_eval.utils import get_file_datetime, get_results_filenames, make_table, sanitize_model_name

from made_entries import entry_of
from records import sha
from seqedit_bench import tasks as tasks_of_ours
from seqedit_bench.benchmark import RunConfig, edited_lm
from seqedit_bench.benchmark.document_counts import count_documents
from seqedit_bench.benchmark.task_facts import task_facts
from seqedit_bench.leaderboards.compare import Run
from seqedit_bench.leaderboards.exports.harness import (
    HarnessFacts,
    harness_record,
    model_name,
    sanitized,
    write_harness,
)

VERSIONS = {"lm_eval": "0.4.13", "seqedit-bench": "0.1.0"}
KNOWN = HarnessFacts(task_facts(), VERSIONS, count_documents)
BUNDLED = Path(tasks_of_ours.__file__).parent / "data"
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
    record = json.loads(json.dumps(harness_record(run_of(), KNOWN)))
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
    record = harness_record(run_of(), KNOWN)
    assert set(record) >= EXPECTED
    assert set(record["results"]) == {"counterfact_es", "retention", "sst2_ll"}
    for key in ("configs", "versions", "n-shot", "higher_is_better", "group_subtasks"):
        assert set(record[key]) == set(record["results"])
    assert record["higher_is_better"]["counterfact_es"]["es_nll_new"] is False


def model_args(record: dict[str, Any]) -> dict[str, Any]:
    """Return what the harness makes of the arguments, typed as they were written."""
    words = ["--model", "seqedit", "--model_args", record["config"]["model_args"]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lm-eval", *words])
        return HarnessCLI().parse_args().model_args


def test_the_model_that_was_measured_can_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arguments go through the harness's parser and ours, and are the request of the run."""
    run = run_of(
        "rect+memit",
        sample=2,
        seed=3,
        changes={
            "editor__hparams": {
                "layers": [1, 2],
                "lr": 1e-05,
                "mom2_source": "hub:a; 'b', {c}",
                "clamp": None,
                "rect": {"keep": 0.25},
            },
            "data__edits": "zsre",
            "protocol__batch_size": 2,
            "model__dtype": "bfloat16",
        },
    )
    record = harness_record(run, KNOWN)
    asked: list[RunConfig] = []

    def stop(config: RunConfig) -> None:
        asked.append(config)
        raise InterruptedError

    monkeypatch.setattr(edited_lm, "load_for", stop)
    with pytest.raises(InterruptedError):
        edited_lm.EditedLM.create_from_arg_obj(
            model_args(record), {"batch_size": 1, "max_batch_size": None, "device": "cpu"}
        )
    assert asked == [
        RunConfig.model_validate(
            {
                "editor": "rect+memit",
                "model": "tiny-gpt2",
                "edits": "zsre",
                "num_edits": 4,
                "batch_size": 2,
                "sample": 2,
                "seed": 3,
                "data_source": "bundled",
                "device": "cpu",
                "dtype": "bfloat16",
                "hparams": (
                    *("layers=[1, 2]", "lr=1.0e-05", "mom2_source='hub:a; ''b'', {c}'"),
                    *("clamp=null", "rect.keep=0.25"),
                ),
            }
        )
    ]
    assert (record["config"]["batch_size"], record["seqedit_bench"]["edit_batch_size"]) == (None, 2)


@pytest.mark.parametrize(
    ("device", "platform", "name"),
    [
        ("x86_64", "Linux-6.1-x86_64-with-glibc2.36", "cpu"),
        ("NVIDIA H100 80GB HBM3", "Linux-6.1-x86_64-with-glibc2.36", "cuda"),
        (None, None, None),
    ],
)
def test_the_device_has_torchs_name(device: str | None, platform: str | None, name: Any) -> None:
    run = run_of(changes={"provenance": {"device": device, "platform": platform}})
    assert harness_record(run, KNOWN)["config"]["device"] == name
    said = {"device": device, "platform": platform, "device_type": "mps"}
    assert harness_record(run_of(changes={"provenance": said}), KNOWN)["config"]["device"] == "mps"


def documents(**changes: Any) -> dict[str, dict[str, int]]:
    """Count those of a run of four edits of ten asked for, on bundled data."""
    files = ("counterfact.jsonl", "sst2_train.jsonl", "sst2_validation.jsonl")
    digests = {file: hashlib.sha256((BUNDLED / file).read_bytes()).hexdigest() for file in files}
    asked = {
        "data__files_sha256": digests,
        "protocol__each_edit": ["counterfact_ps"],
        "protocol__checkpoint": {"retention": 5, "sst2_ll": 5, "hellaswag": 5},
        "protocol__limits": {"sst2_ll": 7, "hellaswag": 7},
    }
    run = run_of(asked=10, ps=[1.0] * 4, es=[1.0] * 4, changes=asked | changes)
    run.result.summary.tasks["hellaswag"] = {"acc_norm": {"unedited": 0.3, "final": 0.25}}
    return harness_record(run, KNOWN)["n-samples"]


def test_documents_are_counted() -> None:
    """Two paraphrases an edit; all questions of a file, and not more than it has."""
    assert documents() == {
        "counterfact_ps": {"original": 20, "effective": 8},
        "retention": {"original": 10, "effective": 4},
        "sst2_ll": {"original": 80, "effective": 7},
    }
    assert documents(protocol__limits={"sst2_ll": 500})["sst2_ll"]["effective"] == 80


def test_documents_that_cannot_be_counted_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEQEDIT_DATA_DIR", raising=False)
    assert documents(data__files_sha256={"counterfact.jsonl": sha("another")}) == {}
    for name in ("../secret", "/etc/hostname", "a**", ""):
        assert documents(data__files_sha256={name: sha("another")}) == {}
    assert (
        documents(data__edits="zsre")
        == documents(data__edits="colours")
        == {"sst2_ll": {"original": 80, "effective": 7}}
    )
    assert documents(data__source="folder") == documents(data__source="hub") == {}


def test_tasks_of_others_have_no_version() -> None:
    """What no task file says is left out, as the harness's table expects it."""
    run = run_of()
    run.result.summary.tasks["hellaswag"] = {"acc_norm": {"unedited": 0.3, "final": 0.25}}
    record = harness_record(run, KNOWN)
    line = rows(make_table(record))["hellaswag", "acc_norm"]
    assert (line[1], line[3], float(line[6])) == ("N/A", "", 0.25)


def test_what_is_not_finite_is_said() -> None:
    run = run_of()
    run.result.summary.tasks["sst2_ll"]["weighted_f1"]["final"] = None
    record = harness_record(run, KNOWN)
    assert rows(make_table(record))["sst2_ll", "weighted_f1"][6] == "N/A"


def test_a_metric_with_a_filter_keeps_it() -> None:
    run = run_of()
    run.result.summary.tasks["gsm8k"] = {
        "exact_match,flexible-extract": {"unedited": 0.1, "final": 0.0}
    }
    record = harness_record(run, KNOWN)
    assert rows(make_table(record))["gsm8k", "exact_match"][2] == "flexible-extract"


def test_files_are_named_as_the_harness_finds_them(tmp_path: Path) -> None:
    started = {"provenance__started": "2026-11-25T19:52:52+01:00"}
    runs = [
        run_of(sample=at, changes={"provenance": {"started": started["provenance__started"]}})
        for at in (1, 2)
    ]
    paths = write_harness(runs, KNOWN, tmp_path)
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
    records = [json.loads(path.read_text("utf-8")) for path in paths]
    assert [model_args(record)["sample"] for record in records] == [1, 2]


@pytest.mark.parametrize("name", ["EleutherAI/gpt-j-6b", "a:b|c*d", "plain"])
def test_folders_have_the_harnesss_names(name: str) -> None:
    assert sanitized(name) == sanitize_model_name(name)


@pytest.mark.parametrize("name", ["..", "../../x", "/etc", ".", "a\x1b[2J\n", "x" * 5000])
def test_names_are_no_way_out(name: str, tmp_path: Path) -> None:
    run = run_of(name, changes={"model__name": name})
    (path,) = write_harness([run], KNOWN, tmp_path / "out")
    assert path.resolve().parent.parent == (tmp_path / "out").resolve()
    assert str(path).isprintable()
    assert model_name(run.result).startswith(name)
    assert sanitized("..") == "__"


@pytest.mark.parametrize(
    "started", [None, 5, "yesterday", "2026-11-25", "0001-01-01T00:00:00+14:00"]
)
def test_a_run_without_its_time_is_written_all_the_same(started: Any, tmp_path: Path) -> None:
    run = run_of(changes={"provenance": {"started": started}})
    (path,) = write_harness([run], KNOWN, tmp_path)
    assert path.is_file()
