"""What a run is: every command-line flag that changes it is one field of the same name."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..tasks.errors import InputError, unknown_name
from .aliases import last_name, model_aliases

Mode = Literal["instance-sequential", "batch-sequential", "batch-single"]
"""One fact after another; batch after batch of facts; all facts in one batch."""


CACHE_VARIABLE = "SEQEDIT_CACHE_DIR"


def default_cache() -> Path:
    """Return the folder for what can be computed again, where nobody names one.

    Raises:
        InputError: neither the environment nor a home folder says where.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    try:
        return Path.home() / ".cache" / "seqedit-bench"
    except RuntimeError:
        raise InputError(
            f"there is no home folder for a cache: name one with --cache-dir or {CACHE_VARIABLE}"
        ) from None


class RunConfig(BaseModel):
    """The request for one run; None means that the suite decides."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    editor: str
    """Registered name of the editor."""
    editor_path: Path | None = None
    """A Python file that registers more editors."""
    model: str = "smollm2-135m"
    """Alias, hub id or folder."""
    suite: str = "quick"
    """Name of a suite, or a YAML file."""
    edits: str | None = None
    """Edit stream."""
    num_edits: int | None = Field(None, ge=1)
    """How many facts to edit."""
    batch_size: int = Field(1, ge=1)
    """Facts given to the editor at a time."""
    mode: Mode | None = None
    """Protocol of the edits; None takes the one that `batch_size` makes it."""
    sample: int = Field(1, ge=0, le=9)
    """Which of the paper's ten edit orders."""
    seed: int = 0
    """Seed of everything random."""
    downstream: tuple[str, ...] = ()
    """Further lm-eval tasks, groups or tags, asked at checkpoints."""
    downstream_every: int | None = Field(None, ge=1)
    """Edits between them; None takes the suite's shortest distance between checkpoints."""
    downstream_limit: int | None = Field(None, ge=1)
    """Documents of each, from the first; None asks all."""
    skip: tuple[str, ...] = ()
    """Tasks of the suite to leave out, or `single_edit` for its edits beside the sequence."""
    include_path: Path | None = None
    """A folder of further lm-eval task files."""
    data_source: Literal["bundled", "folder", "hub"] | None = None
    """Where data comes from; a data folder if one is named."""
    data_dir: Path | None = None
    """Folder with the official files."""
    stop_on_collapse: bool = False
    """Whether the first edit after which something is not finite is the last."""
    keep_model: bool = False
    """Whether the edited model is written beside the result, as `from_pretrained` reads it."""
    trust_remote_code: bool = False
    """Whether code that comes with a model may run."""
    device: str | None = None
    """Torch device; None takes the GPU if there is one."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Type of the weights."""
    cache_gb: float = Field(1.0, ge=0)
    """Memory for hidden states under the edited layers, of prompts that come again; in GB."""
    save_every: int = Field(10, ge=1)
    """Edits between saves of all that the next edit depends on."""
    hparams: tuple[str, ...] = ()
    """Hyper-parameters to set by hand, `key=value`."""
    output: Path | None = None
    """Run directory; None makes one under `runs/`."""
    cache_dir: Path = Field(default_factory=default_cache)
    """Folder for converted models and second moments; see `default_cache`."""

    @field_validator("downstream", "skip", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        """Take names in one text, as on the command line."""
        return names(value) if isinstance(value, str) else value

    @field_validator("hparams", mode="before")
    @classmethod
    def _settings(cls, value: Any) -> Any:
        """Take values by key, or one `key=value`."""
        if isinstance(value, Mapping):
            return tuple(f"{key}={_yaml(each)}" for key, each in value.items())
        return (value,) if isinstance(value, str) else value

    def anywhere(self) -> dict[str, Any]:
        """Return the request as JSON, with places that hold from any current folder.

        Links are not followed: a model's published hyper-parameters are found by its folder's name.
        """
        names = ["editor_path", "include_path", "data_dir", "cache_dir"]
        names += ["suite"] if self.suite.endswith((".yaml", ".yml")) else []
        names += ["model"] if self.model not in model_aliases() else []
        given = {name: Path(getattr(self, name)) for name in names if getattr(self, name)}
        there = {name: str(path.absolute()) for name, path in given.items() if path.exists()}
        return {**self.model_dump(mode="json", exclude={"output"}), **there}

    def code(self) -> dict[str, Path | bool]:
        """Return what of the request has code run that is not ours, with the user's rights."""
        named = {
            "editor_path": self.editor_path,
            "include_path": self.include_path,
            "trust_remote_code": self.trust_remote_code,
        }
        return {name: value for name, value in named.items() if value}

    def output_dir(self, suite: str, now: datetime) -> Path:
        """Return the run directory: the one asked for, or runs/<suite>/<model>/<editor>/<time>."""
        if self.output is not None:
            return self.output
        model = last_name(self.model)
        return Path("runs", suite, model, self.editor, now.strftime("%Y%m%d-%H%M%S"))


def names(text: str | None) -> tuple[str, ...]:
    """Split a list of names at its commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def _yaml(value: Any) -> str:
    """Write a value as the YAML that it is read back from.

    Raises:
        ValueError: it is no plain value.

    Example:
        >>> _yaml(1e-05), _yaml([1, None]), _yaml("a: b")
        ('1.0e-05', '[1, null]', "'a: b'")
    """
    try:
        # Of a list, for a plain value alone would be a document of its own, with its end marked.
        text = yaml.safe_dump([value], default_flow_style=True, width=math.inf)
    except yaml.YAMLError:
        raise ValueError(f"{value!r:.60} is no value of YAML") from None
    return text.strip()[1:-1]


def make_request(fields: dict[str, Any], named: Callable[[str], str] = str) -> RunConfig:
    """Put a request together out of values that nobody has looked at.

    Args:
        fields: Those of `RunConfig`, as far as they are given.
        named: Returns what the user calls a field.

    Raises:
        InputError: there is no such field, or its value is not allowed; says which.
    """
    try:
        return RunConfig(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = named(str(first["loc"][0]))
        if first["type"] == "extra_forbidden":
            raise unknown_name("option", field, RunConfig.model_fields) from None
        raise InputError(f"{field} {first['input']!r}: {first['msg']}") from None
