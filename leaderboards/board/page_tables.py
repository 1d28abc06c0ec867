"""The tables of a row's page: settings, costs, and where each number comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..compare.rows import written
from ..report.tables import Table
from .filed import Filed
from .rows import Row


def hparams_table(row: Row) -> Table:
    """Return all hyper-parameters."""
    editor = row.first.result.editor
    rows = [[name, written(value, 600)] for name, value in sorted(editor.hparams.items())]
    return Table("Hyper-parameters", ["name", "value"], rows, f"From: {editor.hparams_source}.")


def costs_table(row: Row) -> Table:
    """Return what each run cost, and on what."""
    rows = []
    for entry in row.entries:
        result, cost = entry.result, entry.result.cost
        rows.append(
            [
                f"sample {result.data.sample}, seed {result.seed}",
                f"{result.seconds_per_edit:.3g}",
                f"{result.evaluation_per_edit:.3g}",
                f"{cost.seconds_prepare:.3g}",
                f"{cost.peak_memory_bytes / 2**30:.2f}",
                f"{cost.tokens_scored:,}",
                written(entry.result.provenance.get("device", "?"), 200),
            ]
        )
    headings = [
        "run", "s an edit", "s of evaluation an edit", "s before the first", "peak GiB",
        "tokens scored", "device",
    ]  # fmt: skip
    return Table("Costs", headings, rows)


def provenance_table(row: Row) -> Table:
    """Return all that its entries say of where the numbers come from; what differs, of each."""
    told = [_provenance(run) for run in row.runs]
    rows = []
    for name in dict.fromkeys(name for each in told for name in each):
        found = [each.get(name, "-") for each in told]
        if len(set(found)) == 1:
            rows.append([name, found[0]])
        else:
            lines = (f"{run}: {value}" for run, value in zip(row.run_names, found, strict=True))
            rows.append([name, "\n".join(lines)])
    return Table("Provenance and digests", ["what", "value"], rows)


_PARTS = ("suite", "model", "data", "protocol", "ending", "provenance", "journal_sha256")


def _provenance(run: Filed) -> dict[str, str]:
    result = run.entry.result
    record: Mapping[str, Mapping[str, Any]] = result.model_dump(mode="json", include=set(_PARTS))
    return {
        "entry": run.entry.run,
        "sha256 of the entry": run.sha256,
        "team": run.entry.submission.team,
        "seed": str(result.seed),
        "editor.code_sha256": result.editor.code_sha256,
        **{
            f"{part}.{key}": written(value, 600)
            for part in _PARTS
            for key, value in record[part].items()
        },
        **{f"prepared.{k}": written(v, 300) for k, v in sorted(result.editor.prepared.items())},
    }
