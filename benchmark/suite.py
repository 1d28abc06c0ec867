"""Suites: which tasks run, when, and on which edits."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..tasks.edits import STREAMS
from ..tasks.errors import InputError, unknown_name


class Checkpoints(BaseModel):
    """What is measured again and again along the run."""

    model_config = ConfigDict(extra="forbid")

    every: int = Field(ge=1)
    """Edits between checkpoints; one more at the end of the run."""
    tasks: list[str]
    """Tasks; those whose documents belong to edits are asked about all edits made so far."""


class Suite(BaseModel):
    """One measuring protocol; changing what it measures changes its version."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    version: int = Field(ge=1)
    description: str
    data_source: Literal["bundled", "hub"]
    """Where data comes from if the user names no folder."""
    edits: str
    """Edit stream."""
    num_edits: int = Field(ge=1)
    """Length of a run if the user gives none."""
    baseline_records: int = Field(ge=0)
    """Records of the stream that the unedited model is measured on, before the first edit."""
    each_edit: list[str] = Field(min_length=1)
    """Tasks asked right after each edit, about the facts just edited."""
    checkpoint: Checkpoints
    score: list[str]
    """Metrics whose harmonic mean is the score S."""
    sha256: str = ""
    """Digest of the file; filled in when it is read."""


def _folder() -> Path:
    return Path(str(files("seqedit_bench.benchmark"))) / "suites"


def available_suites() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(path.stem for path in _folder().glob("*.yaml"))


def load_suite(name: str) -> Suite:
    """Read a suite by name, or from a YAML file of the user's.

    Raises:
        InputError: no such suite, or a key or value that is not allowed; says which.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if name not in available_suites():
            raise unknown_name("suite", name, available_suites())
        path = _folder() / f"{name}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
        suite = Suite.model_validate(yaml.safe_load(text))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"suite file {path}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "top level"
        raise InputError(f"suite file {path}: key {key}: {first['msg']}") from None
    if suite.edits not in STREAMS:
        raise unknown_name(f"edit stream (suite file {path})", suite.edits, STREAMS)
    suite.sha256 = hashlib.sha256(text.encode()).hexdigest()
    return suite
