"""Suites: which tasks run, when, and on which edits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..tasks.edits import STREAMS
from ..tasks.errors import InputError, unknown_name
from ..tasks.sources import read_text
from ..tasks.yamltext import parse_yaml


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class SingleEdits(_Part):
    """Edits made one by one on the unedited model, which is restored after each."""

    edits: str
    """Edit stream."""
    num_edits: int = Field(ge=1)
    """How many of its edits, or all there are."""
    tasks: list[str] = Field(min_length=1)
    """Tasks asked before and after each of these edits, about that edit."""


class Suite(_Part):
    """One measuring protocol; changing what it measures changes its version."""

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
    checkpoint: dict[str, Annotated[int, Field(ge=1)]]
    """Tasks asked before the first edit, after every so many, and at the end.

    Those whose documents belong to edits are asked about all edits made so far.
    """
    start_end: list[str] = []
    """Tasks asked before the first edit and after the last."""
    single_edit: SingleEdits | None = None
    """Edits of the unedited model, beside the sequence."""
    score: dict[str, list[str]]
    """Metrics whose harmonic mean is the score S, by family of edits."""
    smoothing: Literal["buckets", "sliding"]
    """How curves are drawn: means of buckets of five (the paper's code), or sliding means."""
    sha256: str = ""
    """Digest of the file; filled in when it is read."""

    def without(self, names: Sequence[str]) -> Suite:
        """Return the suite without some of its tasks, or without `single_edit`.

        Raises:
            InputError: the suite does not have a task of this name.
        """
        known = {*self.each_edit, *self.checkpoint, *self.start_end}
        known |= {"single_edit"} if self.single_edit else set()
        for name in names:
            if name not in known:
                raise unknown_name(f"task of suite {self.name}", name, known)
        return self.model_copy(
            update={
                "each_edit": [name for name in self.each_edit if name not in names],
                "checkpoint": {k: n for k, n in self.checkpoint.items() if k not in names},
                "start_end": [name for name in self.start_end if name not in names],
                "single_edit": None if "single_edit" in names else self.single_edit,
            }
        )


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
        text = read_text(path)
    except InputError as error:
        raise InputError(f"suite file {error}") from None
    try:
        suite = Suite.model_validate(parse_yaml(text))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "top level"
        known = ""
        if first["type"] == "extra_forbidden":
            inside = SingleEdits if first["loc"][0] == "single_edit" else Suite
            known = f" (known: {', '.join(sorted(set(inside.model_fields) - {'sha256'}))})"
        raise InputError(f"suite file {path}: key {key}: {first['msg']}{known}") from None
    except ValueError as error:
        raise InputError(f"suite file {path}: not YAML: {error}") from None
    for stream in (suite.edits, suite.single_edit and suite.single_edit.edits):
        if stream is not None and stream not in STREAMS:
            raise unknown_name(f"edit stream (suite file {path})", stream, STREAMS)
    families = {stream.family for stream in STREAMS.values()}
    for family in suite.score:
        if family not in families:
            raise unknown_name(f"key of score (suite file {path})", family, families)
    suite.sha256 = hashlib.sha256(text.encode()).hexdigest()
    return suite
