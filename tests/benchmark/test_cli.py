"""The command line: every mistake is one line and status 2, and leaves nothing behind."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lm_eval.tasks import TaskManager
from pydantic_core import PydanticUndefined
from transformers import AutoModelForCausalLM, BloomConfig, PreTrainedTokenizerFast

from seqedit_bench.benchmark import RunConfig, lmeval, runner
from seqedit_bench.benchmark.cli_run import run_command

EXAMPLE_RESULT = Path(__file__).resolve().parent.parent / "leaderboards" / "result.json"


Command = Callable[..., Any]
"""Runs the command line; returns its status, stdout and stderr."""


def everything(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*")}


@pytest.fixture
def refused(seqedit: Command, tmp_path: Path) -> Command:
    """Run a command that must be refused: status 2, one line on stderr, no file made."""

    def call(*arguments: object) -> Any:
        before = everything(tmp_path, Path.cwd())
        done = seqedit(*arguments)
        assert done.code == 2, done
        assert done.err.endswith("\n")
        assert len(done.err.splitlines()) == 1, done.err
        assert done.err.startswith("error: ")
        assert done.out == ""
        left = everything(tmp_path, Path.cwd()) - before
        assert not left, f"left behind: {sorted(left)}"
        return done

    return call


@pytest.fixture
def bad_run(refused: Command, tiny_folder: Path, suite_file: Path) -> Command:
    """The same for a run on the tiny model; later options win over these."""

    def call(*options: object) -> Any:
        base = ["--quiet", "--model", tiny_folder, "--suite", suite_file]
        if "--editor" not in options:
            base += ["--editor", "none"]
        return refused("run", *base, *options)

    return call


# --- Names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "given", "nearest"),
    [
        ("--editor", "memitt", "memit"),
        ("--suite", "quik", "quick"),
        ("--model", "smolm2-135m", "smollm2-135m"),
        ("--edits", "counterfacts", "counterfact"),
    ],
)
def test_unknown_name(option: str, given: str, nearest: str, bad_run: Command) -> None:
    err = bad_run(option, given).err
    assert f"{given!r}: did you mean {nearest!r}?" in err
    assert "(known: " in err


def test_unknown_command(refused: Command) -> None:
    assert "unknown command 'compear': did you mean 'compare'?" in refused("compear", "x").err


def test_unknown_task_in_a_suite_file(
    bad_run: Command, other_suite: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Scanning the harness's own 14,000 names takes seconds and is not what is tested.
    def ours_only(**options: Any) -> TaskManager:
        return TaskManager(**{**options, "include_defaults": False})

    monkeypatch.setattr(lmeval, "TaskManager", ours_only)
    err = bad_run("--suite", other_suite("{retention:", "{retentoin:")).err
    assert "unknown task 'retentoin': did you mean 'retention'?" in err


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("version: 3", "version: three", "version"),
        ("retention: 2", "retention: 0", "checkpoint.retention"),
        ("num_edits: 4", "num_edits: -1", "num_edits"),
        ("score:", "scores:", "score"),
        ("[counterfact_es, counterfact_ps, counterfact_ns]", "[]", "each_edit"),
        ("name: tiny", "name: ../tiny", "name"),
    ],
)
def test_malformed_suite_file(
    old: str, new: str, key: str, bad_run: Command, other_suite: Callable[..., Path]
) -> None:
    err = bad_run("--suite", other_suite(old, new)).err
    assert "suite.yaml" in err
    assert f"key {key}" in err


@pytest.mark.parametrize("content", [b"", b"[1", b"- a\n- b\n", b"\xff", b"name: [\n"])
def test_suite_file_that_is_none(content: bytes, bad_run: Command, tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_bytes(content)
    assert "suite.yaml" in bad_run("--suite", path).err


def test_missing_suite_file(bad_run: Command) -> None:
    assert "not-there.yaml" in bad_run("--suite", "not-there.yaml").err


def test_suite_with_an_unknown_stream(bad_run: Command, other_suite: Callable[..., Path]) -> None:
    err = bad_run("--suite", other_suite("edits: counterfact", "edits: zsr")).err
    assert "unknown edit stream" in err
    assert "did you mean 'zsre'?" in err


def test_suite_that_asks_nothing_about_the_edits(bad_run: Command) -> None:
    err = bad_run("--edits", "zsre").err
    assert "asks nothing about zsre edits" in err
    assert "counterfact_es" in err


# --- Options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--sample", "12"], "--sample"),
        (["--sample", "-1"], "--sample"),
        (["--num-edits", "0"], "--num-edits"),
        (["--num-edits", "many"], "--num-edits"),
        (["--batch-size", "0"], "--batch-size"),
        (["--seed", "lucky"], "--seed"),
        (["--dtype", "int4"], "--dtype"),
        (["--data-source", "friend"], "--data-source"),
        (["--frobnicate"], "--frobnicate"),
        (["--output"], "--output"),
        (["stray"], "stray"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_value_out_of_range(options: list[str], names: str, bad_run: Command) -> None:
    assert names in bad_run(*options).err


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["run"], "--editor"),
        (["compare"], "results"),
        (["list", "friends"], "friends"),
        (["list"], "what"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_missing_or_wrong_argument(arguments: list[str], names: str, refused: Command) -> None:
    assert names in refused(*arguments).err.lower()


def test_more_edits_than_there_are(bad_run: Command) -> None:
    err = bad_run("--num-edits", "100000").err
    assert "--num-edits 100000" in err
    assert "184 edits" in err


def test_batches_for_an_editor_that_takes_one_fact(bad_run: Command) -> None:
    err = bad_run("--editor", "rome", "--batch-size", "2").err
    assert "'rome' takes one fact at a time: --batch-size 1" in err


@pytest.mark.parametrize("device", ["warp", "cuda:99", "cpu:x"])
def test_unknown_device(device: str, bad_run: Command) -> None:
    assert f"--device {device}" in bad_run("--device", device).err


def test_a_device_without_memory(bad_run: Command) -> None:
    """Torch knows the name, but weights there have no values."""
    assert "--device meta" in bad_run("--device", "meta").err


@pytest.mark.parametrize(
    ("editor", "hparams", "says"),
    [
        ("ft_c", "lrr=0.1", "'lrr': did you mean 'lr'?"),
        ("none", "lr=0.1", "unknown hyper-parameter of none 'lr'"),
        ("ft_c", "lr=fast", "hyper-parameter lr of ft_c"),
        ("ft_c", "lr=-1", "hyper-parameter lr of ft_c"),
        ("ft_c", "lr", "'lr': write key=value"),
        ("ft_c", "layers=[1", "'layers=[1': the value is not YAML"),
        ("ft_c", "layers=[]", "hyper-parameter layers of ft_c"),
        ("ft_c", "layers=[99]", "layer 99: the model has layers 0 to 3"),
        ("rome", "layers=[1, 2]", "hyper-parameter layers of rome"),
        ("rome", "fact_token=last", "hyper-parameter fact_token of rome"),
        ("rome", "mom2_source=not-there.txt", "not-there.txt"),
        ("memit", "mom2_n_tokens=20", "mom2_n_tokens"),
    ],
)
def test_wrong_hparams(editor: str, hparams: str, says: str, bad_run: Command) -> None:
    assert says in bad_run("--editor", editor, "--hparams", hparams).err


# --- Data ------------------------------------------------------------------------------------


@pytest.fixture
def facts(tmp_path: Path, counterfact_record: dict[str, Any]) -> Path:
    """A data folder with two facts, the second of them to be spoilt."""
    second = {**counterfact_record, "case_id": 1}
    second["requested_rewrite"] = {**counterfact_record["requested_rewrite"], "subject": "Mitte"}
    path = tmp_path / "data" / "counterfact.jsonl"
    path.parent.mkdir()
    lines = [json.dumps(record) for record in (counterfact_record, second)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"subject": "Mitte"', '"subject": ""', "field requested_rewrite: subject is empty"),
        ('"subject": "Mitte"', '"topic": "Mitte"', "field requested_rewrite.subject"),
        ('"case_id": 1', '"case_id": "one"', "field case_id"),
        ('"case_id": 1', '"case_id": 1,,', "not JSON"),
    ],
)
def test_malformed_record(old: str, new: str, says: str, bad_run: Command, facts: Path) -> None:
    text = facts.read_text(encoding="utf-8")
    assert old in text
    facts.write_text(text.replace(old, new), encoding="utf-8")
    err = bad_run("--data-dir", facts.parent).err
    assert f"{facts}:2: " in err
    assert says in err


def test_prompt_without_a_slot(bad_run: Command, facts: Path) -> None:
    first, second = facts.read_text(encoding="utf-8").splitlines()
    facts.write_text(f"{first}\n{second.replace('{} can', 'It can')}\n", encoding="utf-8")
    err = bad_run("--data-dir", facts.parent).err
    assert f"{facts}:2: field requested_rewrite: prompt 'It can" in err
    assert "0 '{}'" in err


def test_record_of_a_json_list(bad_run: Command, facts: Path) -> None:
    records = [json.loads(line) for line in facts.read_text(encoding="utf-8").splitlines()]
    records[1]["paraphrase_prompts"] = "one"
    facts.unlink()
    path = facts.with_suffix(".json")
    path.write_text(json.dumps(records), encoding="utf-8")
    err = bad_run("--data-dir", path.parent).err
    assert f"{path}: record 1: field paraphrase_prompts" in err


def test_missing_data_folder(bad_run: Command) -> None:
    assert "data folder not-there is not there" in bad_run("--data-dir", "not-there").err


def test_data_folder_without_the_file(bad_run: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "counterfact.json" in bad_run("--data-dir", tmp_path / "empty").err


def test_stream_that_the_bundle_lacks(bad_run: Command) -> None:
    err = bad_run("--edits", "counterfact-edits").err
    assert "counterfact_all_edits.jsonl is not in the bundled data" in err


def test_source_and_folder_that_contradict(bad_run: Command, facts: Path) -> None:
    err = bad_run("--data-dir", facts.parent, "--data-source", "hub").err
    assert "only a folder takes it" in err


# --- Models ----------------------------------------------------------------------------------


def test_unsupported_architecture(
    bad_run: Command, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    folder = tmp_path / "bloom"
    config = BloomConfig(vocab_size=500, hidden_size=16, n_layer=1, n_head=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    err = bad_run("--model", folder).err
    assert "model type 'bloom' has no block in editors/architectures.yaml" in err


@pytest.mark.parametrize("name", ["./nothing", "/nothing/here", "a/b/c"])
def test_missing_model_folder(name: str, bad_run: Command) -> None:
    assert f"model folder {name} is not there" in bad_run("--model", name).err


@pytest.fixture
def spoilt(tmp_path: Path, tiny_folder: Path) -> Path:
    """A copy of the tiny model, to be spoilt."""
    shutil.copytree(tiny_folder, tmp_path / "spoilt")
    return tmp_path / "spoilt"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("config.json", None, "has no config.json"),
        ("config.json", b"{", "cannot load model"),
        ("config.json", b'{"model_type": "unheard-of"}', "cannot load model"),
        ("model.safetensors", None, "cannot load model"),
        ("model.safetensors", b"\x08\0\0\0", "cannot load model"),
        ("tokenizer.json", b"{", "cannot load model"),
    ],
)
def test_spoilt_model_folder(
    name: str, content: bytes | None, says: str, bad_run: Command, spoilt: Path
) -> None:
    assert (spoilt / name).is_file()
    if content is None:
        (spoilt / name).unlink()
    else:
        (spoilt / name).write_bytes(content)
    err = bad_run("--model", spoilt).err
    assert says in err
    assert str(spoilt) in err


# --- Output ----------------------------------------------------------------------------------


def test_existing_output_is_kept(bad_run: Command, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "edits.jsonl").write_text("precious", encoding="utf-8")
    assert "is there already" in bad_run("--output", tmp_path / "runs").err
    assert (tmp_path / "runs" / "edits.jsonl").read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_output_that_cannot_be_written(place: str, bad_run: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    assert f"output {tmp_path / place}" in bad_run("--output", tmp_path / place).err


# --- Editor files ----------------------------------------------------------------------------


REGISTER = "from seqedit_bench.editors import Editor, register_editor\n"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1\n", "registers no editor"),
        ("raise RuntimeError('boom')\n", "RuntimeError: boom"),
        ("raise RuntimeError('two\\nlines')\n", "RuntimeError: two"),
        ("def broken(:\n", "SyntaxError"),
        ("import not_a_module\n", "ModuleNotFoundError"),
        ("import sys\nsys.exit(0)\n", "SystemExit"),
        (f"{REGISTER}@register_editor('Bad-Name')\nclass X(Editor): ...\n", "lower-case letters"),
        (f"{REGISTER}@register_editor('no_editor')\nclass X: ...\n", "X"),
        (f"{REGISTER}@register_editor('rome')\nclass X(Editor): ...\n", "rome"),
    ],
)
def test_editor_file_that_cannot_be_used(
    code: str, says: str, bad_run: Command, tmp_path: Path, fresh_registry: None
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(code, encoding="utf-8")
    err = bad_run("--editor-path", path).err
    assert f"editor file {path}" in err
    assert says in err


@pytest.mark.parametrize("name", ["missing.py", ".", "notes.txt"])
def test_editor_file_that_is_none(
    name: str, bad_run: Command, tmp_path: Path, fresh_registry: None
) -> None:
    (tmp_path / "notes.txt").write_text("just notes", encoding="utf-8")
    assert "editor file" in bad_run("--editor-path", tmp_path / name).err


# --- Other commands --------------------------------------------------------------------------


def test_compare_shows_results(seqedit: Command) -> None:
    done = seqedit("compare", EXAMPLE_RESULT, EXAMPLE_RESULT)
    assert (done.code, done.err) == (0, "")
    assert done.out.count("rome ") == 1  # the same run twice is one run


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such result"),
        (b"", "not JSON"),
        (b"\x00\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "schema_version"),
        (b'{"schema_version": 1}', "field suite"),
    ],
)
def test_compare_refuses_what_is_no_result(
    content: bytes | None, says: str, refused: Command, tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    if content is not None:
        path.write_bytes(content)
    err = refused("compare", EXAMPLE_RESULT, path).err
    assert str(path) in err
    assert says in err


def test_compare_refuses_unlike_runs(refused: Command, tmp_path: Path) -> None:
    other = json.loads(EXAMPLE_RESULT.read_text(encoding="utf-8"))
    other["suite"]["version"] = 9
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other), encoding="utf-8")
    assert "different suite" in refused("compare", EXAMPLE_RESULT, path).err


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("editors", ["none", "ft_c", "rome", "memit"]),
        ("tasks", ["counterfact_es", "counterfact_ps", "counterfact_ns", "retention"]),
        ("suites", ["quick"]),
        ("models", ["smollm2-135m", "gpt2-xl", "gpt-j-6b"]),
    ],
)
def test_lists(what: str, names: list[str], seqedit: Command) -> None:
    done = seqedit("list", what)
    assert (done.code, done.err) == (0, "")
    first_words = {line.split()[0] for line in done.out.splitlines() if line.strip()}
    assert set(names) <= first_words


def test_an_editor_without_a_command_is_a_run(seqedit: Command) -> None:
    short, long = seqedit("--editor", "memitt"), seqedit("run", "--editor", "memitt")
    assert short == long
    assert short.code == 2


def test_every_flag_of_a_run_is_a_field_of_its_request() -> None:
    """One name and one default, for the command line and for scripts."""
    flags = inspect.signature(run_command).parameters
    assert set(flags) - {"quiet", "json", "resume", "force"} == set(RunConfig.model_fields)
    for name, field in RunConfig.model_fields.items():
        default = None if field.default in ((), PydanticUndefined) else field.default
        wanted = inspect.Parameter.empty if field.is_required() else default
        assert flags[name].default == wanted, name


def test_version_and_help(seqedit: Command) -> None:
    assert re.fullmatch(r"seqedit-bench \d+\.\d+\S*\n", seqedit("--version").out)
    assert "--num-edits" in seqedit("run", "--help").out
    assert "compare" in seqedit("--help").out


def test_interrupted_run(
    seqedit: Command, tiny_folder: Path, suite_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run", stop)
    done = seqedit("--quiet", "--editor", "none", "--model", tiny_folder, "--suite", suite_file)
    assert done.code == 130
    assert len(done.err.splitlines()) == 1


def test_moments_into_the_cache(seqedit: Command, tiny_folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    options = ["--model", tiny_folder, "--tokens", "500", "--layers", "1,2", "--cache-dir", cache]
    done = seqedit("moments", *options)
    assert (done.code, done.err) == (0, "")
    assert "use: --hparams mom2_source=bundled --hparams mom2_n_tokens=500\n" in done.out
    assert len(list((cache / "moments").glob("*.safetensors"))) == 2


def test_moments_for_a_run_in_half_precision(
    seqedit: Command, tiny_folder: Path, suite_file: Path, tmp_path: Path
) -> None:
    """They belong to the weights as they are loaded, so that the run finds what is there."""
    place = ["--model", tiny_folder, "--cache-dir", tmp_path / "cache", "--dtype", "bfloat16"]
    done = seqedit("moments", *place, "--tokens", "500", "--layers", "1")
    assert "use: --dtype bfloat16 --hparams mom2_source=bundled" in done.out
    kept = sorted((tmp_path / "cache" / "moments").iterdir())
    options = ["--suite", suite_file, "--num-edits", "1", "--output", tmp_path / "run"]
    hparams = ["--hparams", "layers=[1]", "--hparams", "mom2_n_tokens=500"]
    done = seqedit("run", "--quiet", "--editor", "rome", *place, *options, *hparams)
    assert (done.code, done.err) == (0, "")
    assert sorted((tmp_path / "cache" / "moments").iterdir()) == kept


def test_what_is_said_to_be_used_names_the_folder_in_full(
    seqedit: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "published"
    folder.mkdir()
    name = "transformer.h.1.mlp.c_proj_float32_mom2_100.npz"
    np.savez(folder / name, **{"mom2.mom2": np.eye(48), "mom2.count": 9})
    done = seqedit("moments", "--model", tiny_folder, "--layers", "1", "--from-npz", folder)
    assert (done.code, done.err) == (0, "")
    assert f"use: --hparams mom2_source=npz:{folder}\n" in done.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--layers", "one"], "--layers 'one'"),
        (["--layers", "99"], "layer 99"),
        (["--text", "a.txt", "--hub", "b"], "exclude each other"),
        (["--text", "not-there.txt"], "not-there.txt"),
        (["--mom2-dtype", "float8"], "--mom2-dtype 'float8'"),
        (["--tokens", "5"], "singular"),
        (["--tokens", "5", "--from-npz", "x"], "--tokens has no effect beside --from-npz"),
    ],
)
def test_moments_refuses(
    options: list[str], says: str, seqedit: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    done = seqedit("moments", "--model", tiny_folder, "--cache-dir", tmp_path, *options)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1, done.err
    assert says in done.err


def test_installed_command_prints_nothing_on_stderr(
    tiny_folder: Path, suite_file: Path, tmp_path: Path
) -> None:
    """In a process of its own, where every library's own output would be seen."""
    script = "from seqedit_bench.benchmark.cli import main; main()"
    options = ["--editor", "none", "--model", str(tiny_folder), "--suite", str(suite_file)]
    done = subprocess.run(
        [sys.executable, "-c", script, *options, "--num-edits", "1", "--device", "cpu"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "edit 1 of 1" in done.stdout
    assert "result: runs/tiny/tiny-gpt2/none/" in done.stdout


# --- Plots -----------------------------------------------------------------------------------


def test_plot_draws_one_run_beside_its_result(seqedit: Command, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(EXAMPLE_RESULT, run / "leaderboard.json")
    done = seqedit("plot", run)
    assert done.code == 0, done.err
    assert done.out.split() == [str(run / "curves.png"), str(run / "curves.svg")]
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_plot_lays_runs_over_each_other(seqedit: Command, tmp_path: Path) -> None:
    done = seqedit("plot", EXAMPLE_RESULT, EXAMPLE_RESULT, "--output", tmp_path / "both")
    assert done.code == 0, done.err
    drawn = (tmp_path / "both.svg").read_text("utf-8")
    assert drawn.startswith("<?xml")
    assert "rome, sample 1</text>" in drawn and "rome, sample 1 (2)</text>" in drawn


def test_plot_refuses_what_cannot_share_a_figure(refused: Command, tmp_path: Path) -> None:
    data = json.loads(EXAMPLE_RESULT.read_text("utf-8"))
    data["suite"]["version"] = 99
    (tmp_path / "other.json").write_text(json.dumps(data), "utf-8")
    err = refused("plot", EXAMPLE_RESULT, tmp_path / "other.json").err
    assert "different suite" in err
    assert "no such result" in refused("plot", tmp_path / "not-there").err
