"""Names of models, read without torch."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml


def model_aliases() -> dict[str, dict[str, Any]]:
    """Return `models.yaml`: alias to hub id or installed package."""
    path = files("seqedit_bench.benchmark") / "models.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def short_name(model: str) -> str:
    """Return what a result calls a model: of a folder its own name, wherever it lies."""
    return last_name(model) if Path(model).is_dir() else model


def last_name(model: str) -> str:
    """Return the last part of a model's name: of a link its own, of `.` that of the folder."""
    path = Path(model).absolute()
    return path.resolve().name if path.name == ".." else path.name
