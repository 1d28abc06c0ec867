"""What SECURITY.md promises: no code out of data, none of a model's unasked, nothing steered."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from robustness.broken import RECORD, SUITE
from robustness.broken_settings import RESULT
from transformers import dynamic_module_utils

from command import seqedit

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = sorted(
    path
    for folder in ("benchmark", "editors", "leaderboards", "tasks")
    for path in (ROOT / folder).rglob("*.py")
)
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
RUNS_CODE = {"eval", "exec", "compile", "__import__"}
RUNS_FILES = {"exec_module", "run_path", "run_module"}
EDITOR_FILES = Path("editors", "_registry.py")
YAML = Path("tasks", "yamltext.py")
_SAFELY = {"torch.load": ("weights_only", "True"), "np.load": ("allow_pickle", "False")}


def findings(path: Path, text: str) -> Iterator[str]:
    """Yield what a source file does that data could abuse.

    Args:
        path: The file, relative to the root: two of them may do one thing each.
        text: Its content.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (f"imports {name}" for name in names if name.split(".")[0] in PICKLES)
        if isinstance(node, ast.Call):
            yield from _call(path, node)


def _call(path: Path, node: ast.Call) -> Iterator[str]:
    called = ast.unparse(node.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if called in RUNS_CODE:
        yield f"calls {called}"
    if called.split(".")[-1] in RUNS_FILES and path != EDITOR_FILES:
        yield f"calls {called}"
    argument, safe = _SAFELY.get(called, ("", ""))
    if given.get(argument, "") != safe:
        yield f"calls {called} without {argument}={safe}"
    if called.startswith("yaml.") and called not in ("yaml.safe_load", "yaml.safe_dump"):
        ours = path == YAML and called == "yaml.load" and given == {"Loader": "_Strict"}
        yield from [] if ours else [f"calls {called}"]
    if called.endswith(".from_pretrained") and given.get("trust_remote_code") not in (
        "trust_remote_code",
        "False",
    ):
        yield f"calls {called} without saying whose code may run"
    if given.get("trust_remote_code") == "True" or given.get("shell") == "True":
        yield f"calls {called} with code of others"
    if called in ("os.system", "os.popen"):
        yield f"calls {called}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_file_runs_data(path: Path) -> None:
    assert not list(findings(path.relative_to(ROOT), path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "eval(x)",
        "exec(x)",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p, allow_pickle=True)",
        "yaml.load(t, Loader=yaml.Loader)",
        "yaml.unsafe_load(t)",
        "AutoModel.from_pretrained(p)",
        "AutoModel.from_pretrained(p, trust_remote_code=True)",
        "subprocess.run(c, shell=True)",
        "os.system(c)",
        "spec.loader.exec_module(m)",
    ],
)
def test_the_check_sees_what_it_is_for(code: str) -> None:
    assert list(findings(Path("editors", "mine.py"), code))


def test_our_yaml_loader_is_the_safe_one() -> None:
    import yaml

    from seqedit_bench.tasks import yamltext

    assert issubclass(yamltext._Strict, yaml.SafeLoader)
    assert yamltext._Strict.yaml_constructors == yaml.SafeLoader.yaml_constructors
    assert yamltext._Strict.yaml_multi_constructors == yaml.SafeLoader.yaml_multi_constructors
    with pytest.raises(ValueError, match="could not determine a constructor"):
        yamltext.parse_yaml("!!python/object/apply:os.system ['true']")


# --- Code that comes with a model -------------------------------------------------------------

MODELING = """\
from pathlib import Path
from transformers import GPT2LMHeadModel
Path({marker!r}).write_text("ran")
class Mine(GPT2LMHeadModel):
    pass
"""


@pytest.fixture
def model_with_code(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """A model folder with a Python file in it, and the file that one writes when it runs."""
    folder, marker = tmp_path / "with-code", tmp_path / "marker"
    shutil.copytree(tiny_folder, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModelForCausalLM": "mine.Mine"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "mine.py").write_text(MODELING.format(marker=str(marker)), encoding="utf-8")
    modules = str(tmp_path / "modules")
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", modules)
    monkeypatch.syspath_prepend(modules)
    return folder, marker


@pytest.mark.parametrize("trusted", [False, True])
def test_code_of_a_model_runs_only_when_asked(
    trusted: bool, model_with_code: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, marker = model_with_code
    (tmp_path / "suite.yaml").write_text(SUITE, encoding="utf-8")
    done = seqedit(
        *("--editor", "none", "--model", folder, "--suite", tmp_path / "suite.yaml"),
        *("--output", tmp_path / "run", "--quiet", *(["--trust-remote-code"] * trusted)),
    )
    assert done.code == 0, done.err
    assert marker.exists() == trusted
    result = json.loads((tmp_path / "run" / "leaderboard.json").read_text(encoding="utf-8"))
    assert result["model"]["trust_remote_code"] is trusted
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["request"]["trust_remote_code"] is trusted


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("run", "--editor-path"),
        ("run", "--include-path"),
        ("run", "--trust-remote-code"),
        ("run", "--suite"),
        ("analyze", "--editor-path"),
        ("analyze", "--include-path"),
        ("analyze", "--trust-remote-code"),
        ("hunt", "--trust-remote-code"),
        ("moments", "--trust-remote-code"),
        ("train", "--trust-remote-code"),
    ],
)
def test_the_help_says_what_is_code(command: str, option: str) -> None:
    text = seqedit(command, "--help").out
    assert option in text
    after = re.split(r"--[a-z-]+", text.split(option, 1)[1])[0]
    assert re.search(r"\bcode\b", " ".join(after.split()) + text.split(option, 1)[1][:400])


# --- Results and run directories from strangers -----------------------------------------------

HOSTILE = [
    "[red]x[/red]",
    "[link=file:///etc/passwd]x[/link]",
    "[/]",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202eevil\u200f",
    "../../../evil",
    "/etc/evil",
    "$\\frac{1}{0$",
    "a\nb\rc\td",
    "x" * 100_000,
    "\x00",
    "\ud800",
    "{} {0} %s",
    "<script>alert(1)</script>&",
]

DRAWN = [HOSTILE[at] for at in (3, 5, 7, 8, 9, 10, 13)]
"""Those that could do something in a figure or with its file; drawing takes a second."""


def poisoned(value: Any, word: str, *, at: str = "") -> Any:
    """Replace every text of a result that may be anything, names of curves included."""
    if isinstance(value, dict):
        free = at.endswith((".immediate", ".tasks", ".distance", "_sha256", ".hparams"))
        return {
            (f"{word}{key}" if free else key): poisoned(item, word, at=f"{at}.{key}")
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [poisoned(item, word, at=at) for item in value]
    fixed = at.endswith((".kind", ".source", ".mode", ".smoothing"))
    return word if isinstance(value, str) and not fixed else value


@pytest.mark.parametrize("word", HOSTILE, ids=lambda word: repr(word)[:24])
def test_a_hostile_result_is_shown_as_text(word: str, tmp_path: Path) -> None:
    result = poisoned(json.loads(RESULT.read_text(encoding="utf-8")), word)
    folder = tmp_path / "from" / "a" / "stranger"
    folder.mkdir(parents=True)
    (folder / "leaderboard.json").write_text(json.dumps(result), encoding="utf-8")
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    compared = seqedit("compare", folder, folder)
    plotted = seqedit("plot", folder) if word in DRAWN else compared
    for done in (compared, plotted):
        assert done.code in (0, 2), done
        if done.code:
            assert done.err.startswith("error: ")
            assert len(done.err.splitlines()) == 1
            assert len(done.err) < 1000
        shown = done.out + done.err
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200e\u200f]", shown)
        shown.encode()
    if word == "[red]x[/red]":
        assert "[red]x[/red]" in compared.out, "markup is text"
    made = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    figures = {folder / "curves.png", folder / "curves.svg"} if word in DRAWN else set()
    assert made == figures
    for figure in figures:
        assert not re.search(rb"<script>", figure.read_bytes())


def test_a_link_in_a_strangers_folder_is_not_followed(tmp_path: Path) -> None:
    """What `plot` writes beside a result must not land somewhere else."""
    precious = tmp_path / "precious"
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(RESULT, folder / "leaderboard.json")
    names = ("curves.png", "curves.svg", "curves.png.tmp", "curves.svg.tmp")
    for name in names:
        (folder / name).symlink_to(precious)
    precious.write_text("mine", encoding="utf-8")
    assert seqedit("plot", folder).code == 0
    assert precious.read_text(encoding="utf-8") == "mine"
    assert not (folder / "curves.png").is_symlink()


@pytest.mark.parametrize("name", ["[red]", "\x1b[2J", "../x", "$x$"])
def test_messages_do_not_steer_the_terminal(name: str, tmp_path: Path, tiny_folder: Path) -> None:
    result = {**json.loads(RESULT.read_text(encoding="utf-8")), name: 1}
    (tmp_path / "r.json").write_text(json.dumps(result), encoding="utf-8")
    done = seqedit("compare", tmp_path / "r.json")
    assert done.code == 2
    assert done.err[:-1].isprintable()
    record = {**RECORD, "case_id": f"{name}\x1b[31m"}
    (tmp_path / "counterfact.jsonl").write_text(json.dumps(record), encoding="utf-8")
    (tmp_path / "suite.yaml").write_text(SUITE, encoding="utf-8")
    run = seqedit(
        *("run", "--editor", "none", "--model", tiny_folder),
        *("--data-dir", tmp_path, "--suite", tmp_path / "suite.yaml"),
    )
    assert run.code == 2
    assert run.err[:-1].isprintable()


@pytest.mark.parametrize("given", [".", "sub/..", "./"])
def test_a_models_name_is_no_way_out_of_the_run_directory(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import datetime

    from seqedit_bench.benchmark import RunConfig

    (tmp_path / "models" / "sub").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "models")
    folder = RunConfig.model_validate({"editor": "none", "model": given}).output_dir(
        "tiny", datetime(2026, 1, 2)
    )
    assert folder.parts[:4] == ("runs", "tiny", "models", "none")
