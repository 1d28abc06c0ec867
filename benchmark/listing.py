"""What `seqedit-bench list` shows; nothing here imports torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from ..editors import about_editor, available_editors, available_wrappers
from .aliases import model_aliases
from .suite import available_suites, load_suite

_FOLDERS = {
    "editors": ("editors", ""),
    "tasks": ("tasks", ""),
    "suites": ("benchmark", "suites"),
    "models": ("benchmark", "models.yaml"),
}

Listing = tuple[tuple[str, ...], list[tuple[str, ...]]]


def folder(what: str) -> Path:
    """Return where the listed files are; for tasks, lm-evaluation-harness's include path."""
    package, inside = _FOLDERS[what]
    return Path(str(files(f"seqedit_bench.{package}"))) / inside


def editors() -> Listing:
    """Return name, kind, needs, batches and summary of each editor and wrapper."""
    rows = []
    for name in available_editors():
        about = about_editor(name)
        rows.append(
            (
                name,
                about.get("kind", "?"),
                ", ".join(about.get("needs", [])) or "-",
                "yes" if about.get("batched") else "no",
                about.get("summary", "installed by another package"),
                about.get("paper", "?"),
            )
        )
    for name in available_wrappers():
        about = about_editor(name)
        summary = f"{about['summary']}; X: {about['around']}"
        rows.append((f"{name}+X", "weights", "as X", "as X", summary, about["paper"]))
    return ("editor", "kind", "needs", "batches", "summary", "paper"), rows


def tasks() -> Listing:
    """Return name, folder and first comment line of each task file."""
    root = folder("tasks")
    rows = []
    for path in sorted(root.rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        # Not parsed as YAML: the harness's `!function` tags would have to be run.
        if name := re.search(r"^task: (\S+)$", text, re.MULTILINE):
            summary = text.splitlines()[0].removeprefix("# ")
            rows.append((name[1], str(path.parent.relative_to(root)), summary))
    return ("task", "folder", "summary"), rows


def suites() -> Listing:
    """Return name, version, data and description of each suite."""
    rows = []
    for name in available_suites():
        suite = load_suite(name)
        rows.append((name, str(suite.version), suite.data_source, suite.description))
    return ("suite", "version", "data", "description"), rows


def models() -> Listing:
    """Return alias, place and description of each model with a short name."""
    rows = [
        (alias, entry.get("hub") or f"package {entry['wheel']}", entry["about"])
        for alias, entry in model_aliases().items()
    ]
    return ("alias", "from", "about"), rows


LISTINGS: dict[str, Callable[[], Listing]] = {
    "editors": editors,
    "tasks": tasks,
    "suites": suites,
    "models": models,
}
