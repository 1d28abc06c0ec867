"""The shape of the house: who imports whom, what is packaged, what starts without torch."""

from __future__ import annotations

import ast
import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT: dict[str, set[str]] = {
    "benchmark": {"editors", "leaderboards", "tasks"},
    "editors": {"tasks"},
    "leaderboards": set(),
    "tasks": set(),
}
SOURCES = sorted(path for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))
MODULES = sorted(
    module.name
    for folder in MAY_IMPORT
    for module in (
        *pkgutil.iter_modules([str(ROOT)], "seqedit_bench."),
        *pkgutil.walk_packages([str(ROOT / folder)], f"seqedit_bench.{folder}."),
    )
    if module.name.startswith(f"seqedit_bench.{folder}")
)
RESULT = ROOT / "tests" / "leaderboards" / "result.json"


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(path: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node


def _is_module(path: Path) -> bool:
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _bound_in_package(folder: Path) -> set[str]:
    """Return the names that a package's `__init__.py` imports or assigns."""
    tree = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_relative_imports_resolve_and_flow_one_way(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0]
    for node in _imports(path):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        target = path.parents[node.level - 1]
        if node.module:
            target = target.joinpath(*node.module.split("."))
            assert _is_module(target), f"line {node.lineno}: {target} is not a module"
        if target.is_dir():
            known = _bound_in_package(target) if target != ROOT else set()
            for alias in node.names:
                found = alias.name in known or _is_module(target / alias.name)
                assert found, f"line {node.lineno}: {target} has no {alias.name}"
        places = [target] if target != ROOT else [target / alias.name for alias in node.names]
        for place in places:
            other = place.relative_to(ROOT).parts[0]
            assert other == own or other in MAY_IMPORT[own], f"{own} must not import {other}"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_no_absolute_import_of_our_own(path: Path) -> None:
    """An absolute import would take the installed copy, or a second one under a generic name."""
    for node in _imports(path):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""] * (not node.level)
        )
        for name in names:
            assert name.split(".")[0] not in {*MAY_IMPORT, "seqedit_bench"}, f"line {node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_two_modules_hook_forward_passes(path: Path) -> None:
    """For the length of a pass, and for longer."""
    if _name(path) in {str(Path("editors", name)) for name in ("_trace.py", "_hook.py")}:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            assert not re.fullmatch(r"register_\w*hook", node.attr), f"line {node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_one_module_knows_the_harness(path: Path) -> None:
    if _name(path) == str(Path("benchmark", "lmeval.py")):
        return
    found = {
        (name.split(".")[0], imported)
        for node in _imports(path)
        for name, imported in (
            [(alias.name, "") for alias in node.names]
            if isinstance(node, ast.Import)
            else [(node.module or "", alias.name) for alias in node.names if not node.level]
        )
    }
    harness = {imported for package, imported in found if package == "lm_eval"}
    allowed = {"Registry"} if _name(path) == str(Path("editors", "_registry.py")) else set()
    assert harness <= allowed


def test_every_package_is_listed_for_the_wheel() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = re.search(r"^packages = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert block is not None
    listed = set(re.findall(r'^\s*"([\w.]+)"', block.group(1), re.MULTILINE))
    there = {
        ".".join(("seqedit_bench", *path.parent.relative_to(ROOT).parts))
        for path in SOURCES
        if path.name == "__init__.py"
    }
    assert listed == there


def test_root_is_no_package() -> None:
    assert not (ROOT / "__init__.py").exists()


def _python(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


def test_no_generic_name_is_imported() -> None:
    """From the repository root `import tasks` would work, and be a second copy."""
    code = (
        "import sys; import seqedit_bench.benchmark.cli; "
        f"print(sorted({set(MAY_IMPORT)!r} & set(sys.modules)))"
    )
    done = _python(code, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


WITHOUT_TORCH = """
import sys
from seqedit_bench.benchmark.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = {"torch", "transformers", "datasets"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--help"], "seqedit-bench"),
        (["run", "--help"], "--editor"),
        (["--version"], "seqedit-bench"),
        (["list", "editors"], "rome"),
        (["list", "tasks"], "counterfact_es"),
        (["list", "suites"], "quick"),
        (["list", "models"], "smollm2-135m"),
        (["compare", str(RESULT), str(RESULT)], "rome"),
        (["compare", "--format", "json", str(RESULT)], "format_version"),
        (["export", "lm-eval", str(RESULT), "--output", "out"], "results_"),
        (["cite", str(RESULT)], "gupta2024model"),
        (["analyze", "--help"], "--set"),
        (["leaderboard", "--help"], "--html"),
        (["submit", "--help"], "--team"),
        (["verify", "--help"], "--replay"),
        (["validate", str(ROOT / "leaderboards")], "no problem"),
    ],
    ids=lambda value: "-".join(value[:2]) if isinstance(value, list) else "",
)
def test_starts_without_torch(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = _python(WITHOUT_TORCH, *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert says in done.stdout


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.failed == 0


def test_there_are_modules_and_examples() -> None:
    """The checks above would pass on nothing."""
    assert {f"seqedit_bench.{folder}" for folder in MAY_IMPORT} <= set(MODULES)
    assert {"seqedit_bench.tasks.counterfact.scores", "seqedit_bench.editors.rome"} <= set(MODULES)
    assert len(MODULES) == len(set(MODULES)) == len(SOURCES)
    finder = doctest.DocTestFinder()
    examples = [
        test.name
        for name in ("seqedit_bench.tasks.metrics", "seqedit_bench.leaderboards.curves")
        for test in finder.find(importlib.import_module(name))
        if test.examples
    ]
    assert len(examples) >= 4
