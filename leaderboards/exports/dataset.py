"""Entries as a folder that can be pushed as a data set of the Hugging Face hub.

Two tables in Parquet, `entries` (a row an entry) and `edits` (a row an edit), and a card.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .._files import write_whole
from ..compare.markdown import as_markdown_table
from ..compare.sources import Run
from ..compare.values import largest_distance
from ..entry import Entry
from ..results import ResultError

_TAG = "seqedit-bench"
_COUNTS = ("collapse_edit", "retained_at")
_FRONT = f"""\
---
license: cc0-1.0
pretty_name: Sequential knowledge editing, results of seqedit-bench
language:
- en
tags:
- {_TAG}
- knowledge-editing
- model-editing
- leaderboard
configs:
- config_name: entries
  default: true
  data_files:
  - split: train
    path: data/entries.parquet
- config_name: edits
  data_files:
  - split: train
    path: data/edits.parquet
---
"""
_ABOUT = """\
# Sequential knowledge editing: results of seqedit-bench

Results of editing language models fact after fact: whether each edit works right after it was
made, whether earlier ones still do, and what the model can do besides. An entry is one run of one
editor on one model, on the facts of one sample. Numbers of different suites, models or data are
not to be compared with each other.

PATH is this folder, or its name on the hub:

```python
from datasets import load_dataset

entries = load_dataset("PATH", "entries", split="train")
edits = load_dataset("PATH", "edits", split="train")
```
"""
_COLUMNS = {
    "entries": [
        ("run", "name of the entry"),
        ("suite, suite_version", "what was asked, and when"),
        ("model, model_revision, weights_sha256, dtype", "the unedited model"),
        ("editor, kind, needs, hparams", "the editor; hyper-parameters as JSON"),
        ("team, paper", "who made the run; what to cite for it"),
        ("edits_stream, sample, seed", "which facts in which order"),
        ("edits, edits_asked, batch_size, mode", "how many were made, and how"),
        ("collapse, collapse_edit", "none, gradual or catastrophic, and the edit"),
        ("immediate.*", "means over edits, each measured right after it; s is the harmonic mean"),
        ("unedited.*", "the same of the unedited model"),
        ("instant.*, sticky.*", "of immediate successes, the share that is left at the end"),
        ("final.*", "tasks that belong to no edit, after the last edit"),
        ("moved", "relative distance of the matrix that moved furthest"),
        ("seconds_per_edit, peak_memory_bytes", "costs"),
    ],
    "edits": [
        ("run, editor, model, sample, seed", "as in the entries"),
        ("edit, case_id", "place in the sequence from 1, and the fact"),
        ("immediate.*", "metrics right after this edit; null where it has none"),
        ("retained.*", "the same at the end of the run"),
        ("retained_at", "edits made by then"),
    ],
}


def write_dataset(entries: Sequence[Entry], folder: Path, bibtex: str) -> list[Path]:
    """Write entries as a data set.

    Args:
        entries: At least one, each run once.
        folder: Where to; a folder that holds something else is not touched.
        bibtex: What to cite.

    Raises:
        ResultError: the folder holds something else, or a file cannot be written.
    """
    _ensure_ours(folder)
    data = folder / "data"
    try:
        data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"{data}: cannot be made: {error.strerror}") from None
    ordered = sorted(entries, key=lambda entry: entry.place)
    tables = {
        "entries": [_entry_row(entry) for entry in ordered],
        "edits": [row for entry in ordered for row in _edit_rows(entry)],
    }
    written = [
        write_whole(data / f"{name}.parquet", _parquet(rows)) for name, rows in tables.items()
    ]
    return [
        write_whole(folder / "README.md", _card(ordered, len(tables["edits"]), bibtex)),
        *written,
    ]


def _ensure_ours(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ResultError(f"{folder}: a file; name a folder for the data set")
    card = folder / "README.md"
    if any(folder.iterdir()) and not (
        card.is_file() and f"- {_TAG}\n" in card.read_text("utf-8", "replace")
    ):
        raise ResultError(
            f"{folder}: holds something that is no data set of ours; name another folder"
        )


def _entry_row(entry: Entry) -> dict[str, Any]:
    result, summary = entry.result, entry.result.summary
    row: dict[str, Any] = {
        "run": entry.run,
        "suite": result.suite.name,
        "suite_version": result.suite.version,
        "model": result.model.name,
        "model_revision": result.model.revision,
        "weights_sha256": result.model.weights_sha256,
        "dtype": result.model.dtype,
        "editor": result.editor.name,
        "kind": result.editor.kind,
        "needs": list(result.editor.needs),
        "hparams": json.dumps(result.editor.hparams, sort_keys=True, ensure_ascii=False),
        "team": entry.submission.team,
        "paper": entry.submission.paper,
        "edits_stream": result.data.edits,
        "sample": result.data.sample,
        "seed": str(result.seed),
        "edits": result.ending.edits_done,
        "edits_asked": result.protocol.num_edits,
        "batch_size": result.protocol.batch_size,
        "mode": result.protocol.mode,
        "collapse": entry.collapse.type,
        "collapse_edit": entry.collapse.edit,
        "moved": _float(largest_distance(result).get("l2_relative", 0.0)),
        "seconds_per_edit": result.seconds_per_edit,
        "peak_memory_bytes": result.cost.peak_memory_bytes,
    }
    row |= _prefixed("immediate", summary.immediate)
    row |= _prefixed("unedited", summary.baseline)
    for kind in ("instant", "sticky"):
        row |= _prefixed(kind, {name: each.get(kind) for name, each in summary.retention.items()})
    for task, metrics in summary.tasks.items():
        row |= _prefixed(
            f"final.{task}", {name: each.get("final") for name, each in metrics.items()}
        )
    return row


def _edit_rows(entry: Entry) -> Iterable[dict[str, Any]]:
    result, series = entry.result, entry.series
    for place, case_id in enumerate(series.case_ids):
        row: dict[str, Any] = {
            "run": entry.run,
            "editor": result.editor.name,
            "model": result.model.name,
            "sample": result.data.sample,
            "seed": str(result.seed),
            "edit": place + 1,
            "case_id": case_id,
        }
        row |= _prefixed(
            "immediate", {name: each[place] for name, each in series.immediate.items()}
        )
        again = {name: each for name, each in series.retained.items() if place < len(each.values)}
        row |= _prefixed("retained", {name: each.values[place] for name, each in again.items()})
        row["retained_at"] = max((each.at for each in again.values()), default=None)
        yield row


def _prefixed(prefix: str, values: Mapping[str, float | None]) -> dict[str, float | None]:
    return {f"{prefix}.{name}": _float(value) for name, value in sorted(values.items())}


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return rows as Parquet; a column that some of them lack is null there."""
    import pyarrow
    from pyarrow import parquet

    types = {"str": pyarrow.string(), "int": pyarrow.int64(), "float": pyarrow.float64()}
    types["list"] = pyarrow.list_(pyarrow.string())
    schema = pyarrow.schema([(name, types[kind]) for name, kind in _columns(rows).items()])
    try:
        columns = [
            pyarrow.array([row.get(each.name) for row in rows], each.type) for each in schema
        ]
    except (OverflowError, pyarrow.ArrowException) as error:
        raise ResultError(
            f"the entries hold a value that Parquet has no room for: {error}"
        ) from None
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_arrays(columns, schema=schema), sink)
    return sink.getvalue().to_pybytes()


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Return the type of each column: plain ones as they come, then metrics by name."""
    names = dict.fromkeys(name for row in rows for name in row)
    plain = [name for name in names if "." not in name]
    found = dict.fromkeys(plain, "str")
    for row in rows:
        found |= {name: type(row[name]).__name__ for name in plain if row.get(name) is not None}
    # What is null in every row has a type all the same.
    found |= {name: "int" for name in _COUNTS if name in found}
    return found | dict.fromkeys(sorted(set(names) - set(plain)), "float")


def _card(entries: Sequence[Entry], edits: int, bibtex: str) -> str:
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        result = entry.result
        suite = result.suite.versioned
        groups.setdefault((suite, result.model.name, result.data.edits), []).append(entry)
    rows = [
        [*key, str(len({each.result.editor.name for each in found})), str(len(found))]
        for key, found in sorted(groups.items())
    ]
    parts = [_FRONT + _ABOUT, "## What is in it\n", f"{len(entries)} entries, {edits} edits.\n"]
    parts.append(as_markdown_table(["suite", "model", "edit stream", "editors", "entries"], rows))
    for table, columns in _COLUMNS.items():
        parts += [f"## `{table}`\n", as_markdown_table(["columns", "what"], columns, code=True)]
    parts += [
        "Shares are fractions; what was not finite is null. The whole records, with curves, "
        "hashes and versions, are the entries this was made from:\n",
        "    seqedit-bench export hf ENTRIES... --output DIR\n",
        "## Cite\n",
        f"```bibtex\n{bibtex.strip()}\n```\n",
    ]
    return "\n".join(parts)


def only_entries(runs: Sequence[Run]) -> list[Entry]:
    """Return the entries among what was read.

    Raises:
        ResultError: something else is among them, or two entries have one name.
    """
    entries = []
    names: dict[str, str] = {}
    for run in runs:
        if run.entry is None:
            raise ResultError(
                f"{run.name}: not an entry; `seqedit-bench submit` makes one of a run"
            )
        name = run.entry.run
        if name in names:
            raise ResultError(f"{names[name]} and {run.name} are two entries named {name!r}")
        names[name] = run.name
        entries.append(run.entry)
    return entries
