"""From a run's journal to its curves and summary: pure functions of the journal's lines.

Because nothing else goes in, anyone who has the journal can compute the same numbers again.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from .curves import SMOOTHINGS, harmonic_mean, retention
from .results import (
    CurveRecord,
    Curves,
    Ending,
    RetentionRecord,
    SingleEditsRecord,
    Summary,
    TaskRecord,
)
from .transfer import transfer

Line = dict[str, Any]
DISTANCES = ("l2", "l2_per_param", "l2_relative")
LAST = 50


def _number(value: Any) -> float:
    # A broken model's NaN is written as null; in means it counts as a failure.
    return 0.0 if value is None else float(value)


def _names(lines: Sequence[Line]) -> list[str]:
    """Return the metrics that any of these edits has, in order of appearance."""
    return list(dict.fromkeys(name for line in lines for name in line["metrics"]))


def means(lines: Sequence[Line], score: Sequence[str]) -> dict[str, float]:
    """Average the metrics of some edits; `s` is the harmonic mean of the `score` metrics.

    An edit whose record has no prompt of a kind has no such metric, and does not count in its mean.
    Metrics that are not finite everywhere (log-likelihoods of a broken model) are left out.
    """
    result = {}
    for name in _names(lines):
        values = [line["metrics"][name] for line in lines if name in line["metrics"]]
        if all(value is not None for value in values):
            result[name] = fmean(values)
    if score and all(name in result for name in score):
        result["s"] = harmonic_mean([result[name] for name in score])
    return result


def curves(edits: Sequence[Line], checkpoints: Sequence[Line], smoothing: str) -> Curves:
    """Compute all curves of a run from its journal."""
    smooth = SMOOTHINGS[smoothing]
    immediate = {}
    for name in _names(edits):
        if "_nll" not in name:
            found = [edit["metrics"] for edit in edits]
            values = [_number(metrics[name]) if name in metrics else None for metrics in found]
            immediate[name] = CurveRecord(**smooth(values)._asdict())
    matrices = checkpoints[0]["distance"] if checkpoints else {}
    return Curves(
        immediate=immediate,
        retention=retention_curves(edits, checkpoints),
        tasks=_task_curves(checkpoints),
        distance={
            matrix: {
                kind: [line["distance"][matrix][kind] for line in checkpoints] for kind in DISTANCES
            }
            for matrix in matrices
        },
        checkpoints=[line["edits"] for line in checkpoints],
    )


def _task_curves(checkpoints: Sequence[Line]) -> dict[str, TaskRecord]:
    records: dict[str, TaskRecord] = {}
    for name in dict.fromkeys(name for line in checkpoints for name in line["tasks"]):
        measured = [line for line in checkpoints if name in line["tasks"]]
        metrics = dict.fromkeys(metric for line in measured for metric in line["tasks"][name])
        records[name] = TaskRecord(
            edits=[line["edits"] for line in measured],
            metrics={
                metric: [line["tasks"][name].get(metric) for line in measured] for metric in metrics
            },
        )
    return records


def retention_curves(
    edits: Sequence[Line], checkpoints: Sequence[Line]
) -> dict[str, RetentionRecord]:
    """Follow every metric of earlier edits that is a success or a failure over the checkpoints."""
    asked = [line for line in checkpoints if line["edits"]]
    records = {}
    for name in dict.fromkeys(name for line in asked for name in line["edited"]):
        # Only what is a success or a failure can be retained.
        at_edit = [edit["metrics"].get(name, "absent") for edit in edits]
        if "_nll" in name or any(value not in (0.0, 1.0, None) for value in at_edit):
            continue
        due = [line for line in asked if name in line["edited"]]
        followed = retention(
            [_number(value) for value in at_edit],
            [[_number(value) for value in line["edited"][name]] for line in due],
        )
        records[name] = RetentionRecord(
            edits=[line["edits"] for line in due],
            instant=[record.instant for record in followed],
            sticky=[record.sticky for record in followed],
            all_edits=[record.all_edits for record in followed],
        )
    return records


def ending(edits: Sequence[Line], stopped: str | None) -> Ending:
    """Say how far a sequence of edits came.

    Args:
        edits: Lines of `edits.jsonl`.
        stopped: Why it ended before the last edit that was asked for, if it did.
    """
    return Ending(
        edits_done=len(edits),
        stopped=stopped,
        failed=sum("failed" in line for line in edits),
        collapsed_at=next((line["edit"] for line in edits if "collapsed" in line), None),
    )


def summary(
    edits: Sequence[Line],
    checkpoints: Sequence[Line],
    single_edits: Sequence[Line],
    all_curves: Curves,
    score: Sequence[str],
) -> Summary:
    """Compute the headline numbers of a run from its journal."""
    baseline = checkpoints[0]["baseline"] if checkpoints else []
    return Summary(
        immediate=means(edits, score),
        immediate_last_50=means(edits[-LAST:], score),
        baseline=means([{"metrics": metrics} for metrics in baseline], score),
        baseline_records=len(baseline),
        retention={
            name: {
                "instant": record.instant[-1],
                "sticky": record.sticky[-1],
                "all_edits": record.all_edits[-1],
            }
            for name, record in all_curves.retention.items()
        },
        tasks={
            name: {
                metric: {"unedited": values[0], "final": values[-1]}
                for metric, values in record.metrics.items()
            }
            for name, record in all_curves.tasks.items()
        },
        distance={
            matrix: {kind: values[-1] for kind, values in kinds.items()}
            for matrix, kinds in all_curves.distance.items()
        },
        transfer=transfer([edit["metrics"] for edit in edits], baseline),
        single_edits=_single_edits(single_edits),
    )


def _single_edits(lines: Sequence[Line]) -> SingleEditsRecord | None:
    if not lines:
        return None
    edited = [line["metrics"] for line in lines]
    unedited = [line["unedited"] for line in lines]
    return SingleEditsRecord(
        edits=lines[0]["edits"],
        num_edits=len(lines),
        edited=means([{"metrics": each} for each in edited], ()),
        unedited=means([{"metrics": each} for each in unedited], ()),
        transfer=transfer(edited, unedited),
    )
