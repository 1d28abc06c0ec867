"""Edit streams: which facts are written, and in which order.

The paper's order of CounterFact is reproduced bit for bit (`create_samples` of its code): indices
of records with a new lower-cased subject, `random.seed(37)`, then ten shuffles in place of the same
list. Other sets are put in order by the same procedure.
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .errors import InputError, unknown_name
from .requests import EditCase, counterfact_case, edit_row_case, zsre_case
from .sources import Source, read_records

PAPER_SEED = 37
NUM_ORDERS = 10
COUNTERFACT_RECORDS = 21_919
COUNTERFACT_UNIQUE_SUBJECTS_SHA = "f462b24770afe596"
"""`order_hash` of the indices of official CounterFact records with a new subject."""


class StreamInfo(NamedTuple):
    """A kind of edit stream."""

    family: str
    """Whose tasks ask about its edits: `counterfact` or `zsre`."""
    about: str


STREAMS = {
    "counterfact": StreamInfo("counterfact", "CounterFact with all its prompts"),
    "counterfact-edits": StreamInfo(
        "counterfact", "every CounterFact edit, with one prompt of each kind"
    ),
    "zsre": StreamInfo("zsre", "zsRE questions in MEND's structure, asked as completions too"),
}


@dataclass(frozen=True, slots=True)
class EditStream:
    """Edit cases in the order they are applied."""

    name: str
    """Which records: a key of `STREAMS`."""
    cases: tuple[EditCase, ...]
    """In order."""
    sample: int
    """Which of the ten orders."""
    order: str
    """How the order came about, for the record."""

    @property
    def family(self) -> str:
        """Whose tasks ask about its edits."""
        return STREAMS[self.name].family


def unique_subjects(subjects: Sequence[str]) -> list[int]:
    """Return the positions at which a lower-cased subject is seen for the first time.

    Example:
        >>> unique_subjects(["Paris", "Rome", "paris"])
        [0, 1]
    """
    seen: set[str] = set()
    first = []
    for position, subject in enumerate(subjects):
        if (key := subject.lower()) not in seen:
            seen.add(key)
            first.append(position)
    return first


def paper_orders(positions: Sequence[int]) -> list[list[int]]:
    """Return the paper's ten orders of these positions (spec of `create_samples`).

    Each order is a shuffle of the one before, from one generator seeded with 37.
    """
    generator = random.Random(PAPER_SEED)
    current = list(positions)
    orders = []
    for _ in range(NUM_ORDERS):
        generator.shuffle(current)
        orders.append(list(current))
    return orders


def order_hash(positions: Sequence[int]) -> str:
    """Return the first 16 hex digits of sha256 over the comma-joined positions."""
    return hashlib.sha256(",".join(map(str, positions)).encode()).hexdigest()[:16]


def load_stream(source: Source, name: str, *, sample: int) -> EditStream:
    """Read the records of a stream and put them into one of the paper's orders.

    Raises:
        InputError: unknown stream or sample, a missing file, a malformed or repeated record.
    """
    if name not in STREAMS:
        raise unknown_name("edit stream", name, STREAMS)
    if not 0 <= sample < NUM_ORDERS:
        raise InputError(f"--sample {sample}: the orders are numbered 0 to {NUM_ORDERS - 1}")
    records = _load(source, name)
    if STREAMS[name].family == "counterfact":
        unique, origin = _counterfact_subjects(source, records)
    else:
        unique, origin = _own_subjects(records)
    by_id = {case.case_id: case for case in records.cases}
    order = [case_id for case_id in paper_orders(unique)[sample] if case_id in by_id]
    if len(order) < len(unique):
        origin += f", restricted to the {len(order)} of them with all prompts here"
    return EditStream(name, tuple(by_id[case_id] for case_id in order), sample, origin)


class _Records(NamedTuple):
    """What a file holds."""

    cases: tuple[EditCase, ...]
    """Sorted by identifier."""
    left_out: int
    """How many more there are, whose question does not hold the subject exactly once."""


class RecordFiles(NamedTuple):
    """Where records are, and how to read one."""

    names: tuple[str, ...]
    """Names of the file, the first that is there is read."""
    read: Callable[[Any, str, int], EditCase | None]
    """From a record, its place for messages and its position in the file to the case."""


FILES = {
    "counterfact": RecordFiles(
        ("counterfact.json", "counterfact.jsonl"),
        lambda record, where, _: counterfact_case(record, where=where),
    ),
    "counterfact-edits": RecordFiles(
        ("counterfact_all_edits.jsonl",),
        lambda record, where, _: edit_row_case(record, where=where),
    ),
    "zsre": RecordFiles(
        ("zsre_mend_eval.json", "zsre.jsonl"),
        lambda record, where, position: zsre_case(record, where=where, case_id=position),
    ),
}


def _load(source: Source, name: str) -> _Records:
    path = source.require(*FILES[name].names)
    written = path.stat()
    return _read_records(path, name, (written.st_mtime_ns, written.st_size))


@functools.lru_cache(maxsize=8)
def _read_records(path: Path, name: str, version: object) -> _Records:
    """Read a file once, however many tasks ask about it; `version` changes with the file."""
    read = FILES[name].read
    found = [
        read(record, where, position) for position, (where, record) in enumerate(read_records(path))
    ]
    cases = [case for case in found if case is not None]
    if not cases:
        none = " whose question holds its subject exactly once" if found else ""
        raise InputError(f"{path}: no records{none}")
    seen: set[int] = set()
    for case in cases:
        if case.case_id in seen:
            raise InputError(f"{path}: case_id {case.case_id} is there twice")
        seen.add(case.case_id)
    cases.sort(key=lambda case: case.case_id)
    return _Records(tuple(cases), len(found) - len(cases))


def _with_new_subject(cases: Sequence[EditCase]) -> list[int]:
    """Return the identifiers of the first case with each subject."""
    first = unique_subjects([case.request.subject for case in cases])
    return [cases[position].case_id for position in first]


def _own_subjects(records: _Records) -> tuple[list[int], str]:
    """Return the identifiers that the order is drawn from, and its description."""
    origin = f"paper procedure on the {len(records.cases)} records of this set"
    if records.left_out:
        origin += (
            f", {records.left_out} left out whose question does not hold the subject exactly once"
        )
    return _with_new_subject(records.cases), origin


def _counterfact_subjects(source: Source, records: _Records) -> tuple[list[int], str]:
    """Return the identifiers that the order is drawn from, and its description.

    The official CounterFact has 21,919 records. Where a source holds fewer but also the list of
    all edits, that list says the paper's order.

    Raises:
        InputError: the file is as large as the official one, and is another.
    """
    name = "counterfact"
    if len(records.cases) != COUNTERFACT_RECORDS:
        if source.name != "folder" or not source.find("counterfact_all_edits.jsonl"):
            return _own_subjects(records)
        name = "counterfact-edits"
        records = _load(source, name)
    unique = _with_new_subject(records.cases)
    official = order_hash(unique) == COUNTERFACT_UNIQUE_SUBJECTS_SHA
    if len(records.cases) == COUNTERFACT_RECORDS and not official:
        raise InputError(
            f"{source.require(*FILES[name].names)}: 21,919 records, as CounterFact has, of other "
            "subjects: not the official file"
        )
    return unique, "paper order of CounterFact"
