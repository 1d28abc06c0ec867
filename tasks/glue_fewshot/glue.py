"""GLUE's files: four data sets, their splits, their rows."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..sources import Source, read_records


@dataclass(frozen=True, slots=True)
class Example:
    """One row of GLUE."""

    idx: int
    """GLUE's own number of the row within its split."""
    label: int
    """0 or 1; for RTE, 0 is entailment."""
    texts: tuple[str, ...]
    """Its sentence, or its two."""


@dataclass(frozen=True, slots=True)
class GlueSet:
    """One data set of GLUE, and how to tell its official files."""

    fields: tuple[str, ...]
    """Columns of its texts."""
    train: int
    """Rows of the train split."""
    validation: int
    """Rows of the validation split."""
    questions_hash: str
    """`order_hash` of the `idx` of the paper's 200 questions."""


GLUE = {
    "sst2": GlueSet(("sentence",), 67_349, 872, "81a6ae4d04dafa01"),
    "mrpc": GlueSet(("sentence1", "sentence2"), 3_668, 408, "2649f01104a2886f"),
    "cola": GlueSet(("sentence",), 8_551, 1_043, "effd2d94880742e9"),
    "rte": GlueSet(("sentence1", "sentence2"), 2_490, 277, "174715f230928ce4"),
}
"""In the order of the paper's draw."""


def split_path(source: Source, name: str, split: str) -> Path:
    """Return the file of one split of a data set.

    Raises:
        InputError: the source does not have it.
    """
    return source.require(*(f"{name}_{split}.{kind}" for kind in ("jsonl", "parquet")))


def read_split(path: Path, name: str) -> tuple[Example, ...]:
    """Return the rows of a file, in its order.

    Raises:
        InputError: a row is malformed, or two have the same `idx`; says where.
    """
    written = path.stat()
    return _read_rows(path, GLUE[name].fields, (written.st_mtime_ns, written.st_size))


@functools.lru_cache(maxsize=8)
def _read_rows(path: Path, fields: tuple[str, ...], version: object) -> tuple[Example, ...]:
    """Read a file once, however many tasks need it; `version` changes with the file."""
    rows = tuple(
        _example(record, fields, position, where=where)
        for position, (where, record) in enumerate(read_records(path))
    )
    if len({row.idx for row in rows}) < len(rows):
        raise InputError(f"{path}: two rows have the same idx")
    return rows


def _example(record: Any, fields: tuple[str, ...], position: int, *, where: str) -> Example:
    """Read one row; in some copies SST-2 has no `idx`, which is then the position."""
    if not isinstance(record, dict):
        raise InputError(f"{where}: expected a JSON object, found {type(record).__name__}")
    for name in fields:
        if not isinstance(record.get(name), str):
            raise InputError(f"{where}: field {name} is missing or no text")
    label, idx = record.get("label"), record.get("idx")
    if type(label) is not int or label not in (0, 1):
        raise InputError(f"{where}: field label is {label!r}, not 0 or 1")
    if idx is not None and (type(idx) is not int or not -(2**63) <= idx < 2**63):
        raise InputError(f"{where}: field idx is {idx!r}, not a whole number")
    texts = tuple(record[name] for name in fields)
    return Example(position if idx is None else idx, label, texts)
