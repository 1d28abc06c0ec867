"""The result of a run as a record: `leaderboard.json`, and its JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ._jsontext import parse_json

SCHEMA_VERSION = 1
LARGEST = 1e300
"""Of numbers without a bound: what is larger cannot be added up."""
MAX_BYTES = 64 << 20


_DEEPEST = 25
"""Levels of lists in lists of a file: no setting needs as many."""
_MOST = 2000
"""Curves of one kind that a result can have: more could not be shown."""
Count = Annotated[int, Field(ge=0, le=2**53)]
"""A number of things; every JSON reader can hold it."""
Positive = Annotated[int, Field(ge=1, le=2**53)]


class ResultError(ValueError):
    """A result file that cannot be used: says which, where in it, and why."""


class Record(BaseModel):
    """A record with no other fields than those it declares."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


SKIPPED = "left out by --skip"
"""Why a task was not measured that was asked to be left out."""


class SuiteInfo(Record):
    name: str
    """Suite that was run."""
    version: Count
    """Its version; changes when what is measured changes."""
    sha256: str
    """Digest of the suite file."""

    @property
    def versioned(self) -> str:
        """Name and version, as in `quick@3`."""
        return f"{self.name}@{self.version}"


class EditorInfo(Record):
    name: str
    """Registered name."""
    kind: Literal["weights", "hooks", "context"]
    """Where the edits live."""
    needs: list[str]
    """What it needs before the first edit."""
    hparams: dict[str, Any]
    """All hyper-parameters, resolved."""
    hparams_source: str
    """Where they come from."""
    code_sha256: str
    """Digest of the editor's source file."""
    prepared: dict[str, Any]
    """What preparation left on record: context templates, second moments."""


class ModelInfo(Record):
    name: str
    """As the user named it: alias, hub id or folder name."""
    model_type: str
    """Architecture family."""
    revision: str | None
    """Commit on the hub, where there is one."""
    weights_sha256: str
    """Digest of the unedited weights."""
    num_parameters: Count
    dtype: str
    trust_remote_code: bool
    """Whether code that came with the model was allowed to run."""


class DataInfo(Record):
    source: Literal["bundled", "folder", "hub"]
    """Where the records come from."""
    files_sha256: dict[str, str]
    """Digest of every file read, by name."""
    edits: str
    """Edit stream."""
    sample: Count
    """Which of the paper's ten orders."""
    order: str
    """How the order came about."""
    case_ids_sha256: str
    """Digest of the case ids in the order of the edits."""


class ProtocolInfo(Record):
    mode: Literal["instance-sequential", "batch-sequential", "batch-single"]
    """Whether one fact is edited at a time, several, or all at once."""
    num_edits: Positive
    batch_size: Positive
    each_edit: list[str]
    """Tasks asked right after each edit."""
    checkpoint: dict[str, Positive]
    """Edits between measurements of each task that is asked at checkpoints."""
    start_end: list[str]
    """Tasks asked before the first edit and after the last."""
    limits: dict[str, Count]
    """Documents asked of tasks that are not asked in full."""
    not_measured: dict[str, str]
    """Tasks that were due and why they were left out."""
    smoothing: Literal["buckets", "sliding"]
    """How curves of single edits are drawn."""


class Ending(Record):
    """How far the sequence of edits came, and what became of them."""

    edits_done: Positive
    """Edits made or attempted; fewer than `protocol.num_edits` where the run was stopped."""
    stopped: str | None
    """Why it ended before the last edit that was asked for; null where it did not."""
    failed: Count
    """Edits that could not be made; their lines in the journal say why."""
    collapsed_at: Positive | None
    """First edit after which something was not finite: weights, log-likelihoods, losses."""


class CurveRecord(Record):
    edits: list[Count]
    """Edits done."""
    mean_5: list[float | None]
    """Means of five edits, in buckets or sliding; null where none of them has the metric."""
    mean_50: list[float | None]
    """Means of the last fifty edits, fewer near the start."""


class RetentionRecord(Record):
    edits: list[Count]
    """Edits done, one entry a checkpoint."""
    instant: list[float | None]
    """Share of immediate successes that still succeed; null where there were none."""
    sticky: list[float | None]
    """The same, once lost is lost for good: the paper's curve."""
    all_edits: list[float]
    """Share of all edits so far that succeed now."""


class TaskRecord(Record):
    edits: list[Count]
    """Edits done, one entry a measurement."""
    metrics: dict[str, list[float | None]]
    """Values by metric, the task's headline first; in entries sorted."""


class TransferRecord(Record):
    """Edits made in question form and asked as statements."""

    edits: Count
    convertible: Count
    """Of these: those whose question has a statement form."""
    qa_success: float | None
    """Share whose answer is the greedy choice after the question, token for token."""
    completion_success: float | None
    """Share whose answer is in the text generated after the statement."""
    learned: Count
    """Successes on the question: what the failure rate is a share of."""
    failures: Count
    """Of these: failures on the statement."""
    failure_rate: float | None
    failure_low: float | None
    """95 % Wilson interval."""
    failure_high: float | None
    unedited_qa_success: float | None
    unedited_completion_success: float | None


class SingleEditsRecord(Record):
    """Edits made one by one on the unedited model."""

    edits: str
    """Edit stream."""
    num_edits: Count
    edited: dict[str, float]
    """Means over these edits, each measured on the model that has only that edit."""
    unedited: dict[str, float]
    """The same before the edit."""
    transfer: TransferRecord | None


class Curves(Record):
    immediate: dict[str, CurveRecord] = Field(max_length=_MOST)
    """Metrics measured right after each edit, by name."""
    retention: dict[str, RetentionRecord] = Field(max_length=_MOST)
    """Metrics of earlier edits measured again at checkpoints, by name."""
    tasks: dict[str, TaskRecord] = Field(max_length=_MOST)
    """Tasks that belong to no edit, by name."""
    distance: dict[str, dict[str, list[float | None]]] = Field(max_length=_MOST)
    """Distance from the original weights by matrix: l2, l2_per_param (the paper's), l2_relative."""
    checkpoints: list[Count]
    """Edits done at each measurement of distance."""


class Summary(Record):
    immediate: dict[str, float] = Field(max_length=_MOST)
    """Means over all edits, measured right after each; `s` is the harmonic mean of the scores."""
    immediate_last_50: dict[str, float]
    """The same over the last fifty edits."""
    baseline: dict[str, float]
    """The same metrics of the unedited model, on the first records of the stream."""
    baseline_records: Count
    retention: dict[str, dict[str, float | None]] = Field(max_length=_MOST)
    """At the end: instant, sticky and all_edits of each metric."""
    tasks: dict[str, dict[str, dict[str, float | None]]] = Field(max_length=_MOST)
    """Tasks that belong to no edit: `unedited` and `final` of each metric."""
    distance: dict[str, dict[str, float | None]] = Field(max_length=_MOST)
    """At the end, by matrix."""
    transfer: TransferRecord | None
    """Question to statement, where the sequence asks both."""
    single_edits: SingleEditsRecord | None
    """Edits beside the sequence, where the suite has them."""


class Cost(Record):
    edits_per_second: float
    """Editing alone, evaluation aside."""
    seconds_edit: float
    """Total time in the editor."""
    seconds_evaluate: float
    """Total time in evaluation."""
    seconds_prepare: float
    """Time before the first edit: templates, second moments."""
    peak_memory_bytes: Count
    """Largest memory of the process, or of the GPU where one is used."""
    tokens_scored: Count
    """Tokens run through the model for evaluation."""


class Result(Record):
    """What one run measured, with all that is needed to judge it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    suite: SuiteInfo
    editor: EditorInfo
    model: ModelInfo
    data: DataInfo
    protocol: ProtocolInfo
    seed: int = Field(ge=-(2**63), lt=2**64)
    ending: Ending
    curves: Curves
    summary: Summary
    cost: Cost
    provenance: dict[str, Any]
    """Library versions, commit, dirty flag, platform, device, start time."""
    journal_sha256: dict[str, str] = Field(min_length=1)
    """Digest of each journal file this was computed from."""

    @property
    def num_edits(self) -> str:
        """How many edits the numbers are of, and of how many where that is not all."""
        done, asked = self.ending.edits_done, self.protocol.num_edits
        return str(asked) if done == asked else f"{done} of {asked}"

    @property
    def seconds_per_edit(self) -> float:
        """Seconds in the editor, a mean over edits."""
        return self.cost.seconds_edit / self.ending.edits_done

    @property
    def evaluation_per_edit(self) -> float:
        """Seconds of evaluation, a mean over edits."""
        return self.cost.seconds_evaluate / self.ending.edits_done

    def to_json(self) -> str:
        """Return the result as indented JSON."""
        return self.model_dump_json(indent=2) + "\n"


def read_result(path: Path) -> Result:
    """Read a result file, or the one in a run directory.

    Raises:
        ResultError: it is missing, too large, not JSON, or does not fit the schema.
    """
    if path.is_dir():
        path = path / "leaderboard.json"
    if not path.is_file():
        raise ResultError(f"{path}: no such result; name a run directory or a leaderboard.json")
    return read_record(path, Result, "result", {"schema_version": SCHEMA_VERSION}, MAX_BYTES)


_R = TypeVar("_R", bound=Record)


def read_record(
    path: Path, record: type[_R], what: str, expected: Mapping[str, int], most: int
) -> _R:
    """Read a file that holds one record.

    Args:
        path: The file.
        record: What it shall be.
        what: How that is called, for messages.
        expected: Its version, by the field that says it.
        most: Bytes that it may have.

    Raises:
        ResultError: it cannot be read, is too large or too deep, not JSON, or does not fit; says
            where.
    """
    try:
        if path.stat().st_size > most:
            raise ResultError(f"{path}: larger than {most >> 20} MiB, not {_a(what)}")
        data = parse_json(path.read_text(encoding="utf-8"))
        for key, version in expected.items():
            if isinstance(data, dict) and data.get(key) != version:
                found = repr(data.get(key))[:40]
                raise ResultError(f"{path}: {key} {found}, this program reads {version}")
        if not _shallow(data):
            raise ResultError(f"{path}: nested too deeply, not {_a(what)}")
        # A text is no number: "NaN" and "inf" would be read as what JSON does not have.
        return record.model_validate(data, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part)[:40] for part in first["loc"]) or "top level"
        raise ResultError(f"{path}: field {field}: {first['msg']}") from None
    except ResultError:
        raise
    except OSError as error:
        raise ResultError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ResultError(f"{path}: not JSON: {error}") from None


def _shallow(value: Any) -> bool:
    """Return whether a value can be walked through by functions that call themselves."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return not level


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a result; `result.schema.json` beside this file is its copy."""
    return Result.model_json_schema()


def write_schema() -> None:
    """Write `result.schema.json` again, after a change of the record."""
    path = Path(__file__).with_name("result.schema.json")
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
