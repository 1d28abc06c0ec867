"""A run opened again: its edits as first edits, and its keys compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import command
from seqedit_bench.benchmark.observer import Silent
from seqedit_bench.benchmark.overlaps import compute_overlaps, overlaps
from seqedit_bench.benchmark.provenance import sources_sha256
from seqedit_bench.benchmark.replay import Wanted, _jobs, replay
from seqedit_bench.benchmark.rerun import open_rerun
from seqedit_bench.editors import Editor, EditRequest
from seqedit_bench.editors._keys import keys_and_outputs, subject_rows
from seqedit_bench.editors._locate import decode_strings
from seqedit_bench.leaderboards.analysis import Constants
from seqedit_bench.leaderboards.analysis.analyse import analyse
from seqedit_bench.leaderboards.analysis.journal import read_run
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.edits import load_stream
from seqedit_bench.tasks.sources import Source

SMALL = ("layers=[1]", "v_num_grad_steps=3", "mom2_n_tokens=600")
TEMPLATES = "context_template_length_params=[[4, 2]]"
WANTED = Wanted(controls=20, fresh=2, candidates=2)
FAST = Constants(permutations=99, bootstrap=100)
Command = Callable[..., Any]


@pytest.fixture(scope="module")
def finished(
    seqedit: Command, tiny_folder: Path, suite_file: Path, tmp_path_factory: pytest.TempPathFactory,
    session_cache: Path,
) -> Path:  # fmt: skip
    """A finished run of four ROME edits."""
    folder = tmp_path_factory.mktemp("runs") / "rome"
    options = [part for each in (*SMALL, TEMPLATES) for part in ("--hparams", each)]
    done = seqedit(
        "run", "--quiet", "--editor", "rome", "--model", tiny_folder, "--suite", suite_file,
        "--output", folder, "--cache-dir", session_cache, *options,
    )  # fmt: skip
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def run_folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def here(session_cache: Path) -> dict[str, Path]:
    return {"cache_dir": session_cache}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def test_replays_are_first_edits(run_folder: Path, here: dict[str, Any]) -> None:
    before = {path.name: path.read_bytes() for path in run_folder.iterdir()}
    made = lines(replay(read_run(run_folder), WANTED, FAST, Silent(), **here))
    kinds = [line["kind"] for line in made]
    assert [kinds.count(kind) for kind in ("recorded", "fresh", "control")] == [2, 4, 20]
    edits = lines(run_folder / "edits.jsonl")
    for line in made:
        (distance,) = line["distance"].values()
        (norm,) = line["update_norm"].values()
        # The first edit is all there is.
        assert distance["l2"] == pytest.approx(norm, rel=1e-4)
        if line["kind"] == "recorded" and line["edit"] == 1:
            assert norm == pytest.approx(next(iter(edits[0]["update_norm"].values())), rel=1e-5)
            assert line["metrics"] == pytest.approx(edits[0]["metrics"], rel=1e-3)
    # Controls are facts that are not replayed, each once.
    controls = [line["case_id"] for line in made if line["kind"] == "control"]
    assert len({*controls}) == 20
    assert not {*controls} & {line["case_id"] for line in made if line["kind"] == "recorded"}
    # Fresh templates make other updates of the same fact.
    by_draw = {
        (line["case_id"], line["draw"]): next(iter(line["update_norm"].values()))
        for line in made
        if line["kind"] != "control"
    }
    assert len({*by_draw.values()}) == len(by_draw) == 6
    # The run itself is as it was.
    for name, content in before.items():
        assert (run_folder / name).read_bytes() == content


def test_replays_go_on_where_they_stopped(run_folder: Path, here: dict[str, Any]) -> None:
    path = replay(read_run(run_folder), WANTED, FAST, Silent(), **here)
    whole = path.read_text(encoding="utf-8")
    half = "".join(whole.splitlines(keepends=True)[:9])
    path.write_text(half + '{"kind":"contr', encoding="utf-8")
    replay(read_run(run_folder), WANTED, FAST, Silent(), **here)
    assert path.read_text(encoding="utf-8") == whole


def test_the_runs_own_templates_are_used(run_folder: Path, here: dict[str, Any]) -> None:
    config = json.loads((run_folder / "config.json").read_text())
    config["editor"]["prepared"]["context_templates"] = ["{}", "Other text. {}"]
    (run_folder / "config.json").write_text(json.dumps(config))
    rerun = open_rerun(read_run(run_folder), Silent(), **here)
    state = rerun.editor.state_dict()
    assert decode_strings("context_templates", state) == ["{}", "Other text. {}"]


def test_a_bundled_run_is_replayed_whatever_folder_the_environment_names(
    run_folder: Path, here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQEDIT_DATA_DIR", str(tmp_path))
    assert open_rerun(read_run(run_folder), Silent(), **here).plan.source.name == "bundled"
    done = command.seqedit("analyze", run_folder, "--keys", "--cache-dir", here["cache_dir"])
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("part", "name", "value", "says"),
    [
        ("data", "files_sha256", {"counterfact.jsonl": "0"}, "data are not those of the run"),
        ("model", "weights_sha256", "0", "model weights are not those of the run"),
        ("editor", "hparams", {"layers": [0]}, "hyper-parameters are not those of the run"),
        ("request", "sample", 2, "the order of the data has changed"),
        ("request", "sample", 99, "config.json, sample"),
    ],
)
def test_another_run_is_refused(
    part: str, name: str, value: Any, says: str, run_folder: Path, here: dict[str, Any]
) -> None:
    config = json.loads((run_folder / "config.json").read_text())
    config[part][name] = value
    (run_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=says):
        replay(read_run(run_folder), WANTED, FAST, Silent(), **here)
    assert not (run_folder / "replays.jsonl").exists()


def test_analyze_replays_and_compares_keys(
    seqedit: Command, run_folder: Path, session_cache: Path
) -> None:
    done = seqedit(
        "analyze", run_folder, "--replay", "--keys", "--controls", 20, "--candidates", 1,
        "--fresh", 1, "--cache-dir", session_cache,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "20 random first edits" in done.out
    written = json.loads((run_folder / "analysis.json").read_text())
    assert written["disabling"]["controls"] == 20
    assert written["overwriting"]["measure"] == "keys"
    assert {"replays.jsonl", "overlaps.jsonl"} <= set(written["journal_sha256"])


def test_more_controls_than_facts(run_folder: Path, here: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="has only 182 other facts"):
        replay(read_run(run_folder), Wanted(controls=1000, candidates=2), FAST, Silent(), **here)


def test_one_candidate_more_leaves_the_controls() -> None:
    cases = load_stream(Source.choose(None, None), "counterfact", sample=1).cases
    plan = SimpleNamespace(cases=cases, stream=SimpleNamespace(cases=cases))
    rerun: Any = SimpleNamespace(plan=plan, draws_templates=False)

    def controls(*chosen: int) -> list[int]:
        jobs = _jobs(rerun, chosen, Wanted(controls=100))
        return [job.case.case_id for job in jobs if job.kind == "control"]

    before = controls(1)
    edit = 1 + [case.case_id for case in cases].index(before[0])
    after = controls(1, edit)
    assert len(after) == len(set(after)) == 100
    assert after[:-1] == before[1:]


# --- Keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hparams"),
    [
        ("rome", {}),
        ("rome", {"mom2_adjustment": False}),
        ("p_rome", {}),
        ("memit", {"layers": [1]}),
        ("memit_seq", {"layers": [1]}),
        ("alphaedit", {"layers": [1]}),
    ],
)
def test_overlap_is_what_an_edit_writes_at_another_key(
    name: str,
    hparams: dict[str, Any],
    make_editor: Callable[..., Editor],
    make_model: Callable[..., Any],
    requests: list[EditRequest],
) -> None:
    """The definition, against the change that the editor really makes."""
    model = make_model("gpt2")
    editor: Any = make_editor(name, model, **hparams)
    rows = overlaps(editor, requests, Silent())
    assert [len(row) for row in rows] == [0, 1, 2, 3]
    keys = [
        keys_and_outputs(
            model, editor._architecture, 1, subject_rows(editor.tokenizer, each, ["{}"])
        )
        for each in requests
    ]
    weight = model.get_parameter(editor.edited_parameters()[0])
    before = weight.detach().clone()
    editor.edit([requests[3]])
    change = (weight.detach() - before).T.double()  # (d_model, d_ff): GPT-2 keeps it transposed
    own = change @ keys[3][0][0].double()
    for earlier in range(3):
        there = change @ keys[earlier][0][0].double()
        assert torch.allclose(there, rows[3][earlier] * own, rtol=1e-3, atol=1e-6)


def test_an_editor_without_keys(
    seqedit: Command, tiny_folder: Path, suite_file: Path, tmp_path: Path, here: dict[str, Any]
) -> None:
    folder = tmp_path / "none"
    seqedit(
        "run", "--quiet", "--editor", "none", "--model", tiny_folder, "--suite", suite_file,
        "--num-edits", 2, "--output", folder, "--cache-dir", here["cache_dir"],
    )  # fmt: skip
    with pytest.raises(InputError, match="'none' has no keys"):
        compute_overlaps(read_run(folder), Silent(), **here)
    assert analyse(read_run(folder), FAST).disabling is None


def test_tasks_of_its_own_are_named_again(
    run_folder: Path, here: dict[str, Any], tmp_path: Path
) -> None:
    """As for `resume`: what a run directory names is not run unasked, and must be what it was."""
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        (folder / "mine.yaml").write_text(f"task: {folder.name}\n", encoding="utf-8")
    path = run_folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["request"] |= {"include_path": str(own), "trust_remote_code": True}
    config["provenance"]["include_sha256"] = sources_sha256(own)
    path.write_text(json.dumps(config), encoding="utf-8")
    run = read_run(run_folder)
    for given, says in (
        ({}, "name it again with --include-path, --trust-remote-code$"),
        ({"include_path": own}, "name it again with --trust-remote-code$"),
        ({"include_path": other, "trust_remote_code": True}, "task files are not those of the run"),
    ):
        with pytest.raises(InputError, match=says):
            open_rerun(run, Silent(), **given, **here)
    config = open_rerun(run, Silent(), include_path=own, trust_remote_code=True, **here).plan.config
    assert (config.include_path, config.trust_remote_code) == (own, True)


def test_tasks_of_its_own_that_it_had_not(
    run_folder: Path, here: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"--include-path: .* used no task files of its own"):
        open_rerun(read_run(run_folder), Silent(), include_path=tmp_path, **here)


def test_an_editor_of_its_own_is_named_again(
    seqedit: Command, tiny_folder: Path, suite_file: Path, tmp_path: Path, here: dict[str, Any],
    fresh_registry: None, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    seqedit("new-editor", "mine")
    done = seqedit(
        "run", "--quiet", "--editor", "mine", "--editor-path", "mine.py", "--model", tiny_folder,
        "--suite", suite_file, "--num-edits", 2, "--output", "run",
    )  # fmt: skip
    assert done.code == 0, done.err
    model = tiny_folder.rename(tiny_folder.with_name("moved"))
    try:
        asked = ("analyze", "run", "--keys", "--cache-dir", here["cache_dir"])
        done = seqedit(*asked)
        assert "code of its own" in done.err and "--editor-path" in done.err
        # It is run, and only then found to have no keys.
        done = seqedit(*asked, "--editor-path", "mine.py", "--model", model)
        assert "'mine' has no keys" in done.err
        config = json.loads(Path("run", "config.json").read_text(encoding="utf-8"))
        config["editor"]["code_sha256"] = "0" * 64
        Path("run", "config.json").write_text(json.dumps(config), encoding="utf-8")
        done = seqedit(*asked, "--editor-path", "mine.py", "--model", model)
        assert "lines of the editor's code are not those of the run" in done.err
    finally:
        model.rename(tiny_folder)
