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
    return Path(model).resolve().name if Path(model).is_dir() else model
