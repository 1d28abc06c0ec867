"""A comparison as data: CSV and JSON. docs/statistics.md says what each key means."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from .._one_line import one_line
from ..analysis.records import Estimate
from ..canonical import canonical
from .comparison import Cell, Comparison, Row
from .metrics import Metric

FORMAT_VERSION = 1
"""Of the JSON and the columns of CSV; changes when a key changes its name or meaning."""

CSV_COLUMNS = (
    *("editor", "hparams", "run", "samples", "edits", "metric", "value", "low", "high", "count"),
    *("mark", "to_best", "to_best_low", "to_best_high", "to_best_pairs"),
    *("to_none", "to_none_low", "to_none_high", "to_none_pairs"),
)


def as_csv(comparison: Comparison) -> str:
    """Return a line for every editor and metric; shares are fractions.

    Text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for row in comparison.rows:
        about = [
            _csv(row.group.editor),
            _csv(_hparams(row.group.shown_hparams)),
            _csv(row.group.told_apart),
            _csv(" ".join(map(str, row.group.samples))),
            str(row.done),
        ]
        for metric, cell in zip(comparison.metrics, row.cells, strict=True):
            number = cell.number
            writer.writerow(
                [
                    *about,
                    _csv(metric.name),
                    *map(_digits, (number.value, number.low, number.high)),
                    str(number.count),
                    cell.mark,
                    *_csv_difference(cell.to_best),
                    *_csv_difference(cell.to_control),
                ]
            )
    return stream.getvalue()


def _csv_difference(found: Estimate | None) -> list[str]:
    if found is None or found.value is None:
        return [""] * 4
    return [*map(_digits, (found.value, found.low, found.high)), str(found.count)]


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _csv(text: str) -> str:
    """Return text that no spreadsheet computes.

    Example:
        >>> _csv("=1+1"), _csv("rome")
        ("'=1+1", 'rome')
    """
    text = one_line(text)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "|", "%")) else text


def _hparams(hparams: dict[str, Any]) -> str:
    """Return hyper-parameters as JSON on one line; nothing where there are none."""
    return " ".join(canonical(hparams).split()) if hparams else ""


def as_json(comparison: Comparison) -> str:
    """Return all numbers, with intervals and pairs."""
    first = comparison.first
    return canonical(
        {
            "format_version": FORMAT_VERSION,
            "suite": first.suite.model_dump(mode="json"),
            "model": {
                "name": first.model.name,
                "weights_sha256": first.model.weights_sha256,
                "dtype": first.model.dtype,
            },
            "data": {"edits": first.data.edits, "files_sha256": first.data.files_sha256},
            "edits": comparison.edits,
            "bootstrap": {"draws": comparison.draws, "seed": comparison.seed, "level": 0.95},
            "metrics": [_json_metric(metric) for metric in comparison.metrics],
            "curve": comparison.curve.name,
            "rows": [_json_row(row, comparison.metrics) for row in comparison.rows],
            "notes": comparison.notes,
        }
    )


def _json_metric(metric: Metric) -> dict[str, Any]:
    better = {1: "higher", -1: "lower", 0: None}[metric.better]
    return {
        "name": metric.name,
        "better": better,
        "unit": "share" if metric.unit == "%" else metric.unit,
    }


def _json_row(row: Row, metrics: Sequence[Metric]) -> dict[str, Any]:
    group = row.group
    return {
        "editor": group.editor,
        "differing_hparams": group.shown_hparams,
        "hparams": group.members[0].run.result.editor.hparams,
        "runs": [
            {
                "name": member.run.name,
                "sample": member.sample,
                "seed": member.run.result.seed,
                "edits": member.edits,
            }
            for member in group.members
        ],
        "metrics": {
            metric.name: _json_cell(cell) for metric, cell in zip(metrics, row.cells, strict=True)
        },
        "curve": row.curve,
    }


def _json_cell(cell: Cell) -> dict[str, Any]:
    return {
        **cell.number.model_dump(),
        "mark": cell.mark or None,
        "open_ended": cell.open_ended,
        "to_best": _json_difference(cell.to_best),
        "to_none": _json_difference(cell.to_control),
    }


def _json_difference(found: Estimate | None) -> dict[str, Any] | None:
    if found is None or found.value is None:
        return None
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "pairs": found.count,
    }
