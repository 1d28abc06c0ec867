"""A run directory read back: its journal, line by line, finished or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .._jsontext import parse_json
from ..results import Result, ResultError, read_result

EDITS, CHECKPOINTS, SINGLE_EDITS = "edits.jsonl", "checkpoints.jsonl", "single_edits.jsonl"
REPLAYS, OVERLAPS = "replays.jsonl", "overlaps.jsonl"
SCREENED, HUNTED = "screened.jsonl", "hunted.jsonl"
"""What a hunt writes, which is no run."""
MAX_BYTES = 4 << 30
Values = dict[str, float | None]


class _Line(BaseModel):
    # Later versions may write more. What is not finite is written as null.
    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True, allow_inf_nan=False)


class EditLine(_Line):
    """A line of `edits.jsonl`."""

    edit: int = Field(ge=1)
    case_id: int
    relation_id: str | None = None
    prompt: str
    subject: str
    target_new: str
    target_true: str | None = None
    metrics: Values
    texts: dict[str, list[str]] = {}
    editor: Values = {}
    update_norm: Values = {}
    distance: Values = {}
    seconds: Values = {}


class CheckpointLine(_Line):
    """A line of `checkpoints.jsonl`."""

    edits: int = Field(ge=0)
    baseline: list[Values] = []
    edited: dict[str, list[float | None]] = {}
    tasks: dict[str, Values] = {}
    texts: dict[str, list[dict[str, str]]] = {}
    distance: dict[str, Values] = {}
    seconds: Values = {}


class ReplayLine(_Line):
    """A line of `replays.jsonl`: one fact edited first, on the pristine model."""

    kind: str
    """`control`, `recorded` (the run's templates) or `fresh` (others)."""
    case_id: int
    edit: int | None = None
    """Where in the run it was edited."""
    draw: int = 0
    """Which fresh set of templates, from 1."""
    prompt: str
    subject: str
    target_new: str
    update_norm: Values
    editor: Values = {}
    distance: dict[str, Values]
    metrics: Values = {}
    tasks: dict[str, Values] = {}
    texts_before: dict[str, list[str]] = {}
    texts: dict[str, list[str]] = {}
    unedited_tasks: dict[str, Values] = {}


class OverlapLine(_Line):
    """A line of `overlaps.jsonl`: how much a later edit's update answers to an earlier key."""

    edit: int = Field(ge=1)
    overlaps: list[float | None]
    """One for each earlier edit, in order; 1 is the edit's own key."""


@dataclass(frozen=True, slots=True)
class RunJournal:
    """All that a run left behind."""

    folder: Path
    config: dict[str, Any]
    edits: list[EditLine]
    checkpoints: list[CheckpointLine]
    replays: list[ReplayLine]
    overlaps: list[OverlapLine]
    result: Result | None
    """None of a run that has not come to its end."""
    notes: list[str] = field(default_factory=list)
    """What was not as it should be."""

    @property
    def editor(self) -> str:
        """Name of the editor."""
        return str(self.part("editor").get("name", "?"))

    @property
    def model(self) -> str:
        """Name of the model."""
        return str(self.part("model").get("name", "?"))

    @property
    def batch_size(self) -> int:
        """Facts given to the editor in a call."""
        size = self.part("protocol").get("batch_size")
        return size if isinstance(size, int) and size > 0 else 1

    def part(self, name: str) -> dict[str, Any]:
        """Return a part of the configuration; empty where there is none."""
        found = self.config.get(name)
        return found if isinstance(found, dict) else {}


def read_run(folder: Path) -> RunJournal:
    """Read a run directory.

    A last line that was cut off, as a crash leaves it, is dropped and noted; a line that is wrong
    anywhere else is an error.

    Raises:
        ResultError: it is no run directory, or a file in it cannot be used; says which line.
    """
    if not folder.is_dir():
        raise ResultError(f"{folder}: no such run directory")
    for name in ("config.json", EDITS, CHECKPOINTS):
        if not (folder / name).is_file():
            raise ResultError(f"{folder}: not a run directory, it has no {name}")
    notes: list[str] = []
    edits = _lines(folder / EDITS, EditLine, notes)
    if not edits:
        raise ResultError(f"{folder / EDITS}: no edit has been made yet")
    for number, line in enumerate(edits, start=1):
        if line.edit != number:
            raise ResultError(f"{folder / EDITS}: line {number} is edit {line.edit}")
    checkpoints = [
        line
        for line in _lines(folder / CHECKPOINTS, CheckpointLine, notes)
        if line.edits <= len(edits)
    ]
    overlaps = _lines(folder / OVERLAPS, OverlapLine, notes)
    for number, line in enumerate(overlaps, start=1):
        if line.edit != number or len(line.overlaps) != number - 1:
            raise ResultError(
                f"{folder / OVERLAPS}: line {number} is not that of edit {number} with "
                f"{number - 1} overlaps: remove the file, `analyze --keys` makes it again"
            )
    finished = (folder / "leaderboard.json").is_file()
    if not finished:
        notes.append(f"the run is not finished: {len(edits)} edits so far")
    return RunJournal(
        folder,
        _config(folder / "config.json"),
        edits,
        checkpoints,
        _lines(folder / REPLAYS, ReplayLine, notes),
        overlaps,
        read_result(folder) if finished else None,
        notes,
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ResultError(f"{path}: not a JSON object")
    return found


_L = TypeVar("_L", bound=_Line)


def _lines(path: Path, record: type[_L], notes: list[str]) -> list[_L]:
    """Read a journal file; none is an empty one."""
    if not path.is_file():
        return []
    if path.stat().st_size > MAX_BYTES:
        raise ResultError(f"{path}: larger than {MAX_BYTES >> 30} GiB, not a journal")
    lines = []
    for number, text, last in _texts(path):
        try:
            lines.append(record.model_validate_json(text))
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] != "json_invalid":
                where = ".".join(str(part) for part in first["loc"]) or "top level"
                raise ResultError(f"{path}: line {number}, field {where}: {first['msg']}") from None
            if not last:
                raise ResultError(f"{path}: line {number} is not JSON") from None
            notes.append(f"{path.name}: the last line is cut off and was left out")
    return lines


def _texts(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield number and text of each line, and whether it is a last one without its line end."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, text in enumerate(stream, start=1):
            if text.strip():
                yield number, text, not text.endswith("\n")
