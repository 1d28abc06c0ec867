"""Whole runs on a tiny model: what is written, that it can be checked, and that it repeats."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from rich.console import Console

from interrupted import KillAt, events
from seqedit_bench.benchmark import RunConfig, evaluate, runner
from seqedit_bench.benchmark.display import LiveDisplay, PlainLines, display_for
from seqedit_bench.benchmark.runner import run
from seqedit_bench.leaderboards import Result, read_result
from seqedit_bench.leaderboards import summary as summaries
from seqedit_bench.leaderboards.results import ResultError, json_schema
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.edits import load_stream
from seqedit_bench.tasks.sources import Source, file_sha256

JOURNAL = {"config.json", "edits.jsonl", "checkpoints.jsonl"}
FILES = {*JOURNAL, "events.jsonl", "leaderboard.json", "curves.png", "curves.svg"}
SMALL = ["layers=[1]", "v_num_grad_steps=3", "mom2_n_tokens=600"]
OPTIONS: dict[str, list[str]] = {
    "none": [],
    "ft_c": ["layers=[1]", "norm_constraint=0.01"],
    "rome": [*SMALL, "context_template_length_params=[[4, 2]]"],
    "memit": [*SMALL, "context_template_tokens=6"],
}
BATCH = {"memit": 3}
EDITORS = list(OPTIONS)


def no_constant(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


strict = functools.partial(json.loads, parse_constant=no_constant)


class Run(NamedTuple):
    """One finished run."""

    folder: Path
    out: str
    err: str
    result: Result
    config: dict[str, Any]
    edits: list[dict[str, Any]]
    checkpoints: list[dict[str, Any]]


Runs = Callable[..., Run]


@pytest.fixture(scope="module")
def runs(
    seqedit: Callable[..., Any],
    tiny_folder: Path,
    suite_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Runs:
    """Run the tiny suite with an editor and options; the same request is run once."""

    @functools.cache
    def make(editor: str, *options: object, again: bool = False) -> Run:
        folder = tmp_path_factory.mktemp("run")
        base: list[object] = ["--editor", editor, "--model", tiny_folder, "--suite", suite_file]
        base += ["--output", folder, "--batch-size", BATCH.get(editor, 1)]
        for hparam in OPTIONS.get(editor, []):
            base += ["--hparams", hparam]
        done = seqedit(*base, *options)
        assert done.code == 0, done.err
        return read_run(folder, done.out, done.err)

    return make


def read_run(folder: Path, out: str = "", err: str = "") -> Run:
    def lines(name: str) -> list[dict[str, Any]]:
        return [strict(line) for line in (folder / name).read_text("utf-8").splitlines()]

    return Run(
        folder,
        out,
        err,
        read_result(folder),
        strict((folder / "config.json").read_text("utf-8")),
        lines("edits.jsonl"),
        lines("checkpoints.jsonl"),
    )


def without_seconds(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


# --- What is written -------------------------------------------------------------------------


@pytest.mark.parametrize("editor", EDITORS)
def test_files_of_a_run(editor: str, runs: Runs) -> None:
    done = runs(editor)
    assert {path.name for path in done.folder.iterdir()} == FILES
    assert done.result.journal_sha256 == {name: file_sha256(done.folder / name) for name in JOURNAL}


@pytest.mark.parametrize("editor", EDITORS)
def test_result_fits_its_schema(editor: str, runs: Runs) -> None:
    text = (runs(editor).folder / "leaderboard.json").read_text("utf-8")
    assert json.loads(Result.model_validate_json(text).to_json()) == strict(text)
    if importlib.util.find_spec("jsonschema"):
        importlib.import_module("jsonschema").validate(strict(text), json_schema())


@pytest.mark.parametrize("editor", EDITORS)
def test_result_says_what_was_run(editor: str, runs: Runs, suite_file: Path) -> None:
    result = runs(editor).result
    assert (result.suite.name, result.suite.version) == ("tiny", 3)
    assert result.suite.sha256 == file_sha256(suite_file)
    assert result.editor.name == editor
    assert result.model.model_type == "gpt2"
    assert (result.data.source, result.data.sample) == ("bundled", 1)
    bundled = Source.choose(None, None).require("counterfact.jsonl")
    assert result.data.files_sha256 == {"counterfact.jsonl": file_sha256(bundled)}
    assert result.protocol.num_edits == 4
    assert result.protocol.batch_size == BATCH.get(editor, 1)
    assert result.protocol.mode.startswith("batch" if editor in BATCH else "instance")
    given = {item.partition("=")[0] for item in OPTIONS[editor]}
    assert given <= set(result.editor.hparams)
    assert all(name in result.editor.hparams_source for name in given)
    assert {"python", "torch", "lm-eval", "seqedit-bench"} <= set(result.provenance["versions"])


@pytest.mark.parametrize("editor", EDITORS)
def test_one_line_an_edit_in_the_order_of_the_stream(editor: str, runs: Runs) -> None:
    done = runs(editor)
    cases = load_stream(Source.choose(None, None), "counterfact", sample=1).cases[:4]
    assert [line["edit"] for line in done.edits] == [1, 2, 3, 4]
    assert [line["case_id"] for line in done.edits] == [case.case_id for case in cases]
    assert [line["subject"] for line in done.edits] == [case.request.subject for case in cases]
    ids = ",".join(str(case.case_id) for case in cases).encode()
    assert done.result.data.case_ids_sha256 == hashlib.sha256(ids).hexdigest()
    for line in done.edits:
        assert len(line["per_prompt"]["ps"]) == 2
        assert len(line["per_prompt"]["ns"]) == 10
        assert line["metrics"]["ns"] == pytest.approx(sum(line["per_prompt"]["ns"]) / 10)
        assert line["metrics"]["es"] in (0.0, 1.0)


@pytest.mark.parametrize("editor", EDITORS)
def test_the_journal_is_enough_to_compute_the_result(editor: str, runs: Runs) -> None:
    done = runs(editor)
    curves = summaries.curves(done.edits, done.checkpoints, "buckets")
    assert curves == done.result.curves
    totals = summaries.summary(done.edits, done.checkpoints, [], curves, ["es", "ps", "ns"])
    assert totals == done.result.summary
    assert done.result.summary.immediate["es"] == pytest.approx(
        sum(line["metrics"]["es"] for line in done.edits) / 4
    )


@pytest.mark.parametrize("editor", EDITORS)
def test_config_repeats_the_request(editor: str, runs: Runs) -> None:
    done = runs(editor)
    request = done.config["request"]
    assert (request["editor"], request["seed"]) == (editor, 0)
    assert request["hparams"] == OPTIONS[editor]
    assert done.config["editor"] == done.result.editor.model_dump()
    assert done.config["suite_definition"]["checkpoint"] == {"retention": 2}


@pytest.mark.parametrize(
    ("editor", "at"), [("none", [0, 2, 4]), ("rome", [0, 2, 4]), ("memit", [0, 3, 4])]
)
def test_checkpoints_ask_about_all_edits_so_far(editor: str, at: list[int], runs: Runs) -> None:
    done = runs(editor)
    assert [line["edits"] for line in done.checkpoints] == at
    assert done.result.curves.checkpoints == at
    assert [len(line["edited"].get("es", [])) for line in done.checkpoints] == at
    assert done.result.curves.retention["es"].edits == at[1:]
    assert len(done.checkpoints[0]["baseline"]) == done.result.summary.baseline_records == 4


@pytest.mark.parametrize("editor", ["none", "ft_c", "rome"])
def test_retention_of_the_newest_edit_is_its_immediate_score(editor: str, runs: Runs) -> None:
    """Nothing lies between the two measurements; retention asks the same prompt."""
    done = runs(editor)
    for line in done.checkpoints[1:]:
        newest = done.edits[line["edits"] - 1]["metrics"]
        assert line["edited"]["es"][-1] == newest["es"]
        for name in ("es_nll_new", "es_nll_true"):
            assert line["edited"][name][-1] == pytest.approx(newest[name], abs=1e-4)


def test_no_edit_is_the_baseline(runs: Runs) -> None:
    done = runs("none")
    baseline = done.checkpoints[0]["baseline"]
    for line, unedited in zip(done.edits, baseline, strict=True):
        for name, value in line["metrics"].items():
            if name in ("es", "ps", "ns") or name.endswith("_exact"):
                assert value == unedited[name]
            assert value == pytest.approx(unedited[name], abs=1e-4)
        assert line["distance"] == line["update_norm"] == line["editor"] == {}
    summary = done.result.summary
    for name in ("es", "ps", "ns", "s"):
        assert summary.immediate[name] == summary.baseline[name]
    assert summary.distance == done.result.curves.distance == {}
    assert summary.retention["es"]["all_edits"] == summary.immediate["es"]


@pytest.mark.parametrize("editor", ["ft_c", "rome", "memit"])
def test_weights_move_away_from_the_original(editor: str, runs: Runs) -> None:
    done = runs(editor)
    name = "transformer.h.1.mlp.c_proj.weight"
    assert set(done.result.summary.distance) == {name}, "biases are no matrices"
    curve = done.result.curves.distance[name]
    assert curve["l2"][0] == 0.0
    assert all(value is not None and value > 0 for value in curve["l2"][1:])
    last = done.checkpoints[-1]["distance"][name]
    assert done.edits[-1]["distance"][name] == last["l2"]
    assert last["l2_per_param"] == pytest.approx(last["l2"] / (48 * 32))
    assert done.edits[0]["update_norm"][name] == pytest.approx(
        done.edits[0]["distance"][name], rel=1e-3
    )
    assert done.edits[0]["editor"]


def test_editing_works_on_a_model_that_can_be_edited(runs: Runs) -> None:
    assert (
        runs("rome").result.summary.immediate["es_nll_new"]
        < runs("none").result.summary.immediate["es_nll_new"]
    )


# --- Cadence ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "batch", "every", "at"),
    [
        (5, 1, 2, [0, 2, 4, 5]),
        (7, 3, 2, [0, 3, 6, 7]),
        (6, 4, 3, [0, 4, 6]),
        (4, 2, 10, [0, 4]),
        (3, 8, 1, [0, 3]),
    ],
)
def test_checkpoint_cadence(
    count: int,
    batch: int,
    every: int,
    at: list[int],
    seqedit: Callable[..., Any],
    tiny_folder: Path,
    other_suite: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """A checkpoint follows the batch that reaches or passes a multiple of `every`, and the end."""
    suite = other_suite(
        "[counterfact_es, counterfact_ps, counterfact_ns]\ncheckpoint: {retention: 2}\n"
        "score: {counterfact: [es, ps, ns]",
        f"[counterfact_es]\ncheckpoint: {{retention: {every}}}\nscore: {{counterfact: [es]",
    )
    options = ["--num-edits", count, "--batch-size", batch, "--output", tmp_path / "run"]
    done = seqedit("--editor", "none", "--model", tiny_folder, "--suite", suite, *options)
    assert done.code == 0, done.err
    found = read_run(tmp_path / "run")
    assert [line["edits"] for line in found.checkpoints] == at
    assert len(found.edits) == count
    assert found.result.protocol.checkpoint == {"retention": every}


# --- What is printed -------------------------------------------------------------------------


def test_plain_lines_where_there_is_no_terminal(runs: Runs) -> None:
    done = runs("none")
    assert done.err == ""
    assert "\x1b" not in done.out
    assert "\r" not in done.out
    for number in range(1, 5):
        (line,) = [line for line in done.out.splitlines() if line.startswith(f"edit {number} of 4")]
        assert "ES " in line
        assert "distance " in line
    assert "unedited model measured on 4 records" in done.out
    assert f"result: {done.folder / 'leaderboard.json'}\n" in done.out


def test_json_prints_the_result_and_nothing_else(runs: Runs) -> None:
    done = runs("none", "--json")
    assert done.out == (done.folder / "leaderboard.json").read_text("utf-8")
    strict(done.out)
    assert "edit 4 of 4" in done.err


def test_quiet_prints_the_table_and_nothing_else(runs: Runs) -> None:
    done = runs("none", "--quiet")
    assert done.err == ""
    assert "edit 1 of" not in done.out
    assert "loading" not in done.out
    assert "right after each edit" in done.out
    quiet_json = runs("none", "--quiet", "--json")
    assert quiet_json.err == ""
    strict(quiet_json.out)


def test_a_terminal_gets_a_live_bar(tiny_folder: Path, suite_file: Path, tmp_path: Path) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=120)
    pipe = Console(file=io.StringIO(), force_terminal=False)
    assert isinstance(display_for(pipe), PlainLines)
    config = RunConfig.model_validate(
        {
            "editor": "ft_c",
            "model": str(tiny_folder),
            "suite": str(suite_file),
            "output": tmp_path / "run",
            "hparams": ["layers=[1]"],
            "num_edits": 1,
        }
    )
    with display_for(screen) as display:
        assert isinstance(display, LiveDisplay)
        run(config, display)
    assert isinstance(screen.file, io.StringIO)
    assert "1/1" in screen.file.getvalue()


# --- Repeating -------------------------------------------------------------------------------


@pytest.mark.parametrize("editor", EDITORS)
def test_same_seed_same_journal(editor: str, runs: Runs) -> None:
    first, second = runs(editor), runs(editor, again=True)
    assert first.folder != second.folder
    assert without_seconds(first.edits) == without_seconds(second.edits)
    assert without_seconds(first.checkpoints) == without_seconds(second.checkpoints)
    assert first.result.summary == second.result.summary


def test_another_seed_draws_other_templates(runs: Runs) -> None:
    first, second = runs("rome"), runs("rome", "--seed", 1)
    assert (
        first.result.editor.prepared["context_templates"]
        != (second.result.editor.prepared["context_templates"])
    )
    assert without_seconds(first.edits) != without_seconds(second.edits)
    assert [line["case_id"] for line in first.edits] == [line["case_id"] for line in second.edits]
    assert first.checkpoints[0]["baseline"] == second.checkpoints[0]["baseline"]


def test_another_sample_is_another_order(runs: Runs) -> None:
    first, second = runs("none"), runs("none", "--sample", 2)
    assert [line["case_id"] for line in first.edits] != [line["case_id"] for line in second.edits]
    assert second.result.data.sample == 2


def test_the_scorers_batches_do_not_matter(runs: Runs) -> None:
    """Editing none in threes asks in other batches; the answers are the same."""
    one, three = runs("none"), runs("none", "--batch-size", 3)
    assert three.result.protocol.mode == "batch-sequential"
    for left, right in zip(one.edits, three.edits, strict=True):
        assert left["metrics"] == pytest.approx(right["metrics"], abs=1e-4)


# --- From a script ---------------------------------------------------------------------------


@pytest.fixture
def request_of(tiny_folder: Path, suite_file: Path, tmp_path: Path) -> dict[str, Any]:
    """What `evaluate` needs for the tiny run."""
    return {
        "model": str(tiny_folder),
        "suite": str(suite_file),
        "cache_dir": tmp_path / "cache",
        "output": tmp_path / "run",
        "num_edits": 2,
    }


def test_evaluate_returns_the_result(request_of: dict[str, Any]) -> None:
    result = evaluate("none", **request_of)
    assert isinstance(result, Result)
    assert result == read_result(request_of["output"])
    assert result.protocol.num_edits == 2


def test_evaluate_refuses_as_the_command_does(request_of: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="did you mean 'memit'"):
        evaluate("memitt", **request_of)
    assert not request_of["output"].exists()


def test_a_result_does_not_depend_on_its_figures(
    request_of: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full at the very end."""

    def full(*_: Any) -> None:
        raise ResultError("curves.png: cannot be written: No space left on device")

    monkeypatch.setattr(runner, "plot_run", full)
    observer, folder = KillAt(), request_of["output"]
    outcome = runner.run(RunConfig(editor="none", **request_of), observer)
    assert read_result(folder) == outcome.result
    assert events(folder)[-1]["event"] == "finished"
    assert not (folder / "state").exists()
    (note,) = [note for note in observer.notes if "curves" in note]
    assert "No space left on device" in note
    assert note.endswith(f"seqedit-bench plot {folder} draws them")


def test_default_run_directory(request_of: dict[str, Any]) -> None:
    del request_of["output"]
    evaluate("none", **request_of)
    (folder,) = Path("runs").glob("*/*/*/*")
    assert folder.parts[:4] == ("runs", "tiny", "tiny-gpt2", "none")
    assert {path.name for path in folder.iterdir()} == FILES


def test_an_empty_output_folder_is_used(request_of: dict[str, Any]) -> None:
    request_of["output"].mkdir()
    evaluate("none", **request_of)
    assert {path.name for path in request_of["output"].iterdir()} == FILES


def test_the_environment_does_not_change_what_a_script_measures(
    request_of: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Only the command line reads environment variables."""
    (tmp_path / "other-data").mkdir()
    monkeypatch.setenv("SEQEDIT_DATA_DIR", str(tmp_path / "other-data"))
    assert evaluate("none", **request_of).data.source == "bundled"


# --- Data with gaps --------------------------------------------------------------------------


def rows(folder: Path, *kinds: str) -> Path:
    """Write a `counterfact_all_edits.jsonl`: in each row a neighbor and a prompt of one kind."""
    folder.mkdir()
    lines = []
    for number, kind in enumerate(kinds):
        lines.append(
            {
                "case_id": number,
                "prompt": "The capital of {} is",
                "subject": f"Land {number}",
                "target_new": "Rome",
                "target_true": "Paris",
                "neighborhood_prompt": f"The capital of City {number} is",
                f"{kind}_prompt": f"Land {number} is governed from",
            }
        )
    text = "\n".join(json.dumps(line) for line in lines)
    (folder / "counterfact_all_edits.jsonl").write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "kinds",
    [
        ["paraphrase", "generation", "paraphrase"],
        ["generation", "paraphrase", "generation"],
        ["generation"] * 3,
    ],
    ids=["some", "not the first", "none"],
)
def test_records_without_paraphrases(
    kinds: list[str], request_of: dict[str, Any], tmp_path: Path
) -> None:
    """Five in six rows of the list of all edits have none; PS is the mean over those that do."""
    request_of |= {"edits": "counterfact-edits", "num_edits": 3}
    result = evaluate("none", data_dir=rows(tmp_path / "data", *kinds), **request_of)
    found = read_run(request_of["output"])
    values = [line["metrics"]["ps"] for line in found.edits if "ps" in line["metrics"]]
    assert len(values) == kinds.count("paraphrase")
    assert result.summary.immediate.get("ps") == (
        pytest.approx(sum(values) / len(values)) if values else None
    )
    assert {"es", "ns"} <= set(result.summary.immediate)


def test_every_counterfact_edit_of_the_official_data(
    request_of: dict[str, Any], data_dir: Path, other_suite: Callable[..., Path]
) -> None:
    suite = other_suite(
        "[counterfact_es, counterfact_ps, counterfact_ns]\ncheckpoint: {retention: 2}\n"
        "score: {counterfact: [es, ps, ns]",
        "[counterfact_es]\ncheckpoint: {retention: 2}\nscore: {counterfact: [es]",
    )
    request_of |= {"edits": "counterfact-edits", "num_edits": 4, "suite": str(suite)}
    result = evaluate("none", data_dir=data_dir, **request_of)
    assert result.data.order == "paper order of CounterFact"
    found = read_run(request_of["output"])
    assert [line["case_id"] for line in found.edits] == [11534, 21285, 8632, 20606]


# --- Other people's editors ------------------------------------------------------------------

THIRD_PARTY = '''
"""A third-party editor: pushes the output bias of one MLP towards the target's embedding."""

import torch

from seqedit_bench.editors import Editor, EditReport, Hparams, register_editor


class PushHparams(Hparams):
    layer: int = 1
    size: float = 0.5


@register_editor("{name}")
class Push(Editor):
    batched = True
    Hparams = PushHparams

    def prepare(self):
        self.weight = self.model.transformer.h[self.hparams.layer].mlp.c_proj.weight
        return {{"target": "weight"}}

    def edited_parameters(self):
        return [f"transformer.h.{{self.hparams.layer}}.mlp.c_proj.weight"]

    @torch.no_grad()
    def edit(self, requests):
        before = self.weight.clone()
        for request in requests:
            token = self.tokenizer(request.target_new).input_ids[0]
            self.weight += self.hparams.size * self.model.transformer.wte.weight[token]
        norm = float((self.weight - before).norm())
        report = tuple({{"size": self.hparams.size}} for _ in requests)
        return EditReport(report, {{self.edited_parameters()[0]: norm}})
'''

NOISE = """
import torch

from seqedit_bench.editors import Editor, EditReport, register_editor


@register_editor("noise")
class Noise(Editor):
    def edited_parameters(self):
        return ["transformer.h.1.mlp.c_proj.weight"]

    @torch.no_grad()
    def edit(self, requests):
        weight = self.model.get_parameter(self.edited_parameters()[0])
        weight += torch.randn_like(weight)
        return EditReport()
"""

BREAKER = """
import torch

from seqedit_bench.editors import Editor, EditReport, register_editor


@register_editor("breaker")
class Breaker(Editor):
    def edited_parameters(self):
        return ["transformer.h.1.mlp.c_proj.weight"]

    @torch.no_grad()
    def edit(self, requests):
        self.model.get_parameter(self.edited_parameters()[0]).fill_(float("nan"))
        return EditReport(({"loss": float("nan")},))
"""


def test_the_seed_reaches_editors_that_draw_without_one(
    request_of: dict[str, Any], tmp_path: Path, fresh_registry: None
) -> None:
    path = tmp_path / "noise.py"
    path.write_text(NOISE, encoding="utf-8")

    def distances(seed: int, folder: str) -> Any:
        request_of["output"] = tmp_path / folder
        return evaluate("noise", editor_path=path, seed=seed, **request_of).summary.distance

    assert distances(1, "a") == distances(1, "b") != distances(2, "c")


def test_third_party_editor(
    seqedit: Callable[..., Any],
    tiny_folder: Path,
    suite_file: Path,
    tmp_path: Path,
    fresh_registry: None,
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(THIRD_PARTY.format(name="push"), encoding="utf-8")
    options = ["--hparams", "size=0.25", "--batch-size", "2", "--output", tmp_path / "run"]
    done = seqedit(
        "--editor",
        "push",
        "--editor-path",
        path,
        "--model",
        tiny_folder,
        "--suite",
        suite_file,
        *options,
    )
    assert done.code == 0, done.err
    found = read_run(tmp_path / "run")
    assert found.result.editor.name == "push"
    assert found.result.editor.hparams == {"layer": 1, "size": 0.25}
    assert found.result.editor.hparams_source == "defaults; set by hand: size"
    assert found.result.editor.code_sha256 == file_sha256(path)
    assert found.result.editor.prepared == {"target": "weight"}
    assert [line["editor"] for line in found.edits] == [{"size": 0.25}] * 4
    (distances,) = found.result.curves.distance.values()
    assert distances["l2"][0] == 0.0
    assert distances["l2"][1]


def test_an_editor_file_can_be_used_twice_in_one_script(
    request_of: dict[str, Any], tmp_path: Path, fresh_registry: None
) -> None:
    """For instance in a loop over models or seeds."""
    path = tmp_path / "mine.py"
    path.write_text(THIRD_PARTY.format(name="push_again"), encoding="utf-8")
    first = evaluate("push_again", editor_path=path, **request_of)
    request_of["output"] = tmp_path / "second"
    second = evaluate("push_again", editor_path=path, **request_of)
    assert first.summary == second.summary


def test_a_broken_model_is_recorded_not_raised(
    request_of: dict[str, Any], tmp_path: Path, fresh_registry: None
) -> None:
    path = tmp_path / "breaker.py"
    path.write_text(BREAKER, encoding="utf-8")
    result = evaluate("breaker", editor_path=path, **request_of)
    found = read_run(request_of["output"])
    for line in found.edits:
        assert line["metrics"]["es"] == line["metrics"]["ps"] == line["metrics"]["ns"] == 0.0
        assert line["metrics"]["es_nll_new"] is None
        assert line["editor"] == {"loss": None}
        assert set(line["distance"].values()) == {None}
    assert result.summary.immediate["s"] == 0.0
    assert "es_nll_new" not in result.summary.immediate
    assert result.summary.baseline["s"] > 0
    (distance,) = result.summary.distance.values()
    assert set(distance.values()) == {None}
    assert read_result(request_of["output"]) == result


def test_a_display_that_begins_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are over all that was made, the pace only over what is made now."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    lines = [{"edit": n, "metrics": {"es": n % 2}, "distance": {"w": n / 1}} for n in (1, 2, 3, 4)]
    out = io.StringIO()
    display = PlainLines(Console(file=out, width=200))
    display.started(5, ["es"], lines[:3])
    now[0] += 7.0
    display.edited(lines[3])
    assert out.getvalue() == "edit 4 of 5  ES 50  distance 4  7.0 s/edit, 0.1 min left\n"


def test_a_display_shows_what_is_kept_until_it_is_asked_again() -> None:
    """Checkpoints between those that ask about retention say nothing of it."""
    out = io.StringIO()
    display = PlainLines(Console(file=out, width=200))
    display.started(9, [])
    display.measured({"edits": 2, "tasks": {}}, {"es": 0.5, "ps": 1.0})
    display.measured({"edits": 3, "tasks": {}}, {"es": 0.25})
    display.measured({"edits": 4, "tasks": {}}, {})
    display.edited({"edit": 5, "metrics": {}, "distance": {"w": 1.0}})
    assert "kept es 25  kept ps 100  distance 1" in out.getvalue()
