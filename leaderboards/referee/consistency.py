"""Whether an entry agrees with itself: what can be computed from its single edits is."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

from ..curves import harmonic_mean
from ..entry import Entry
from ..known import Known
from ..results import Result, TransferRecord
from ..series import lines_of
from ..summary import LAST, curves, means, retention_curves
from ..transfer import transfer, wilson
from .problem import Problem, close, compared

S = "s"
_OF_THE_UNEDITED = {"unedited_qa_success", "unedited_completion_success"}


def consistency(entry: Entry, known: Known) -> Iterator[Problem]:
    """Yield every number that is not what the rest of the entry makes it.

    The lists of the entry must fit each other (`ranges`).
    """
    result = entry.result
    yield from _immediate(entry, known.score(result))
    yield from _retention(entry)
    yield from _ends(result)
    yield from _transfers(entry)
    yield from _ending(entry)
    yield from _identity(entry)


def _computable(values: dict[str, float]) -> dict[str, float]:
    # Log-likelihoods of single edits are left to the journal.
    return {name: value for name, value in values.items() if "_nll" not in name}


def _immediate(entry: Entry, score: Sequence[str]) -> Iterator[Problem]:
    result, lines = entry.result, lines_of(entry.series)
    summary = result.summary
    for part, of in (("immediate", lines), ("immediate_last_50", lines[-LAST:])):
        stored = getattr(summary, part)
        at = f"result.summary.{part}"
        known = {name: value for name, value in _computable(stored).items() if score or name != S}
        yield from compared(at, known, means(of, score))
    if len(lines) <= LAST:
        at = "result.summary.immediate_last_50"
        yield from compared(at, summary.immediate_last_50, summary.immediate)
    scores = [summary.baseline[name] for name in score if name in summary.baseline]
    expected = harmonic_mean(scores) if scores and len(scores) == len(score) else None
    if score and not close(summary.baseline.get(S), expected):
        yield Problem("result.summary.baseline.s", "is not the harmonic mean of the scores")
    drawn = curves(lines, [], result.protocol.smoothing).immediate
    for name in sorted({*drawn, *result.curves.immediate}):
        stored = result.curves.immediate.get(name)
        found = [curve.model_dump() if curve else {} for curve in (stored, drawn.get(name))]
        yield from compared(f"result.curves.immediate.{name}", *found)


def _retention(entry: Entry) -> Iterator[Problem]:
    result, lines = entry.result, lines_of(entry.series)
    stored = result.curves.retention
    followed = entry.series.retained
    for name, each in followed.items():
        again = retention_curves(lines, [{"edits": each.at, "edited": {name: each.values}}])
        at = f"result.curves.retention.{name}"
        if (name in again) != (name in stored):
            yield Problem(at, f"is {'missing' if name in again else 'not followed by success'}")
            continue
        if name not in again:
            continue
        record, last = stored[name], again[name]
        if not record.edits or record.edits[-1] != each.at:
            yield Problem(f"{at}.edits", f"does not end at {each.at}, where the series does")
            continue
        yield from compared(f"{at}.instant", record.instant[-1], last.instant[-1])
        yield from compared(f"{at}.all_edits", record.all_edits[-1], last.all_edits[-1])
    for name in sorted(set(stored) - set(followed)):
        yield Problem(f"series.retained.{name}", "is missing, and there is a curve of it")


def _ends(result: Result) -> Iterator[Problem]:
    """The ends of curves are what the summary says."""
    summary, drawn, at = result.summary, result.curves, "result.summary"
    ends: dict[str, Any] = {
        "retention": {
            name: {
                kind: values[-1:] for kind, values in record.model_dump(exclude={"edits"}).items()
            }
            for name, record in drawn.retention.items()
        },
        "tasks": {
            name: {
                metric: {"unedited": values[:1], "final": values[-1:]}
                for metric, values in record.metrics.items()
            }
            for name, record in drawn.tasks.items()
        },
        "distance": {
            name: {kind: values[-1:] for kind, values in kinds.items()}
            for name, kinds in drawn.distance.items()
        },
    }
    for part, expected in ends.items():
        yield from compared(f"{at}.{part}", getattr(summary, part), _only(expected))
    for name, kinds in drawn.distance.items():
        for kind, values in kinds.items():
            if drawn.checkpoints[:1] == [0] and values and values[0] != 0:
                yield Problem(f"result.curves.distance.{name}.{kind}", "is not 0 before any edit")


def _only(value: Any) -> Any:
    """Replace each list by the one value in it."""
    if isinstance(value, dict):
        return {key: _only(each) for key, each in value.items()}
    return value[0] if value else None


def _transfers(entry: Entry) -> Iterator[Problem]:
    summary = entry.result.summary
    again = transfer([line["metrics"] for line in lines_of(entry.series)], [])
    pair = [
        found.model_dump(exclude=_OF_THE_UNEDITED) if found else {}
        for found in (summary.transfer, again)
    ]
    yield from compared("result.summary.transfer", *pair)
    beside = summary.single_edits
    if beside is not None and beside.transfer is not None:
        yield from _rate("result.summary.single_edits.transfer", beside.transfer)


def _rate(at: str, found: TransferRecord) -> Iterator[Problem]:
    known = found.learned > 0
    low, high = wilson(found.failures, found.learned) if known else (None, None)
    expected = {
        "failure_rate": found.failures / found.learned if known else None,
        "failure_low": low,
        "failure_high": high,
    }
    yield from compared(at, found.model_dump(include=set(expected)), expected)


def _ending(entry: Entry) -> Iterator[Problem]:
    result = entry.result
    broken = min((edits[0] for edits in entry.series.not_finite.values()), default=None)
    at = result.ending.collapsed_at
    if broken is not None and (at is None or at > broken):
        yield Problem(
            "result.ending.collapsed_at", f"edit {broken} has metrics that are not finite"
        )
    cost = result.cost
    pace = result.ending.edits_done / cost.seconds_edit if cost.seconds_edit else 0.0
    if not math.isclose(cost.edits_per_second, pace, rel_tol=1e-4):
        yield Problem(
            "result.cost.edits_per_second",
            f"is {cost.edits_per_second:g}, and {result.ending.edits_done} edits in "
            f"{cost.seconds_edit:g} s are {pace:g}",
        )


def _identity(entry: Entry) -> Iterator[Problem]:
    result = entry.result
    ids = ",".join(map(str, entry.series.case_ids))
    if result.data.case_ids_sha256 != hashlib.sha256(ids.encode()).hexdigest():
        yield Problem("result.data.case_ids_sha256", "is not that of the facts in series.case_ids")
