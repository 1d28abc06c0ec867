"""What each number of an entry can be at all, and which lists belong together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ..entry import Entry
from ..headline import MAGNITUDES, is_known_of_task, is_unbounded
from ..results import LARGEST, Curves, Result, Summary, TransferRecord
from .problem import Problem, short

JOURNAL = {"config.json", "edits.jsonl", "checkpoints.jsonl"}
Bounds = tuple[float, float]
_LAST_FACT = 2**53
"""Largest case id; tables of 64-bit numbers hold it, and every JSON reader."""


def is_share(metric: str) -> bool:
    """Return whether a metric of edits is a success, 0 or 1, or a mean of such."""
    return metric not in MAGNITUDES and not is_unbounded(metric)


def _of_edits(metric: str) -> Bounds:
    if is_unbounded(metric):
        return 0.0, LARGEST
    return (-1.0, 1.0) if metric in MAGNITUDES else (0.0, 1.0)


def _of_tasks(metric: str) -> Bounds:
    return _of_edits(metric) if is_known_of_task(metric) else (-LARGEST, LARGEST)


def ranges(entry: Entry) -> Iterator[Problem]:
    """Yield every number that cannot be, and every list that does not fit its neighbours."""
    result = entry.result
    yield from _hashes(result)
    yield from _places(entry)
    yield from _curves(result.curves, result.ending.edits_done)
    yield from _summary(result.summary)
    yield from _series(entry)
    yield from _cost(result)


def _within(field: str, values: Iterable[float | None], bounds: Bounds) -> Iterator[Problem]:
    low, high = bounds
    for value in values:
        # Rounding to six digits can leave a share that is a mean a little over 1.
        if value is not None and not low - 1e-6 <= value <= high + 1e-6:
            yield Problem(field, f"{short(value)} is not between {low:g} and {high:g}")
            return


def _hashes(result: Result) -> Iterator[Problem]:
    journal = result.journal_sha256
    digests = {
        "suite.sha256": result.suite.sha256,
        "editor.code_sha256": result.editor.code_sha256,
        "model.weights_sha256": result.model.weights_sha256,
        "data.case_ids_sha256": result.data.case_ids_sha256,
        "provenance.sources_sha256": result.provenance.get("sources_sha256"),
        **{f"data.files_sha256.{name}": value for name, value in result.data.files_sha256.items()},
        **{f"journal_sha256.{name}": value for name, value in journal.items()},
    }
    for field, digest in digests.items():
        if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            yield Problem(f"result.{field}", f"{short(digest)} is no sha256: 64 digits of 0-9, a-f")
    names = set(journal) - {"single_edits.jsonl"}
    if names != JOURNAL:
        yield Problem("result.journal_sha256", f"names {', '.join(sorted(names))}, not the journal")
    if not result.data.files_sha256:
        yield Problem("result.data.files_sha256", "names no file")


def _places(entry: Entry) -> Iterator[Problem]:
    """Check what counts edits: none lies beyond the last."""
    result = entry.result
    ending, protocol = result.ending, result.protocol
    done = ending.edits_done
    places = {
        "ending.edits_done": (done, protocol.num_edits),
        "ending.failed": (ending.failed, done),
        "ending.collapsed_at": (ending.collapsed_at or 0, done),
        "protocol.batch_size": (protocol.batch_size, protocol.num_edits),
        "data.sample": (result.data.sample, 9),
        "summary.baseline_records": (result.summary.baseline_records, protocol.num_edits),
    }
    for field, (place, last) in places.items():
        if place > last:
            yield Problem(f"result.{field}", f"{place} is more than {last}")
    if (entry.collapse.edit or 0) > done:
        yield Problem("collapse.edit", f"{entry.collapse.edit} is more than {done}")
    if (entry.collapse.type == "none") != (entry.collapse.edit is None):
        yield Problem("collapse", "type none and an edit exclude each other")
    size = protocol.batch_size
    single = "batch-single" if size == protocol.num_edits else "batch-sequential"
    if protocol.mode != (mode := "instance-sequential" if size == 1 else single):
        yield Problem("result.protocol.mode", f"batches of {size} are {mode}")


def _points(
    field: str, edits: Sequence[int], done: int, lists: Mapping[str, Any]
) -> Iterator[Problem]:
    """Check a curve: its places go up and end where the edits do, with a value at each."""
    rising = all(one < other for one, other in pairwise(edits))
    if not rising or (edits and edits[-1] > done):
        yield Problem(
            f"{field}.edits", f"does not go up to {done} or less, each more than the last"
        )
    for name, values in lists.items():
        if len(values) != len(edits):
            yield Problem(f"{field}.{name}", f"has {len(values)} values at {len(edits)} places")


def _curves(curves: Curves, done: int) -> Iterator[Problem]:
    at = "result.curves"
    for name, curve in curves.immediate.items():
        field = f"{at}.immediate.{name}"
        lists = {"mean_5": curve.mean_5, "mean_50": curve.mean_50}
        yield from _points(field, curve.edits, done, lists)
        for key, values in lists.items():
            yield from _within(f"{field}.{key}", values, _of_edits(name))
    for name, record in curves.retention.items():
        field = f"{at}.retention.{name}"
        lists = record.model_dump(exclude={"edits"})
        yield from _points(field, record.edits, done, lists)
        for key, values in lists.items():
            yield from _within(f"{field}.{key}", values, (0.0, 1.0))
        for instant, sticky in zip(record.instant, record.sticky, strict=False):
            if instant is not None and sticky is not None and sticky > instant + 1e-6:
                yield Problem(f"{field}.sticky", "more is left than by instant retention")
                break
    for name, task in curves.tasks.items():
        yield from _points(f"{at}.tasks.{name}", task.edits, done, task.metrics)
        for metric, values in task.metrics.items():
            yield from _within(f"{at}.tasks.{name}.{metric}", values, _of_tasks(metric))
    places = {
        f"{name}.{kind}": v for name, kinds in curves.distance.items() for kind, v in kinds.items()
    }
    yield from _points(f"{at}.distance", curves.checkpoints, done, places)
    for field, values in places.items():
        yield from _within(f"{at}.distance.{field}", values, (0.0, LARGEST))


def _summary(summary: Summary) -> Iterator[Problem]:
    at = "result.summary"
    for part in ("immediate", "immediate_last_50", "baseline"):
        for metric, value in getattr(summary, part).items():
            yield from _within(f"{at}.{part}.{metric}", [value], _of_edits(metric))
    yield from _transfer(f"{at}.transfer", summary.transfer)
    if (beside := summary.single_edits) is not None:
        for part in ("edited", "unedited"):
            for metric, value in getattr(beside, part).items():
                yield from _within(f"{at}.single_edits.{part}.{metric}", [value], _of_edits(metric))
        yield from _transfer(f"{at}.single_edits.transfer", beside.transfer)


def _transfer(at: str, found: TransferRecord | None) -> Iterator[Problem]:
    if found is None:
        return
    if not found.edits >= found.convertible >= found.learned >= found.failures:
        yield Problem(at, "edits, convertible, learned, failures: each is part of the one before")
    shares = {name: v for name, v in found.model_dump().items() if isinstance(v, float)}
    for name, value in shares.items():
        yield from _within(f"{at}.{name}", [value], (0.0, 1.0))


def _series(entry: Entry) -> Iterator[Problem]:
    series, done = entry.series, entry.result.ending.edits_done
    if len(series.case_ids) != done:
        yield Problem("series.case_ids", f"has {len(series.case_ids)} facts for {done} edits")
    if len(set(series.case_ids)) != len(series.case_ids):
        yield Problem("series.case_ids", "has a fact twice")
    yield from _within("series.case_ids", series.case_ids, (0, _LAST_FACT))
    for name, values in series.immediate.items():
        if len(values) != len(series.case_ids):
            yield Problem(f"series.immediate.{name}", f"has {len(values)} values for {done} edits")
        yield from _within(f"series.immediate.{name}", values, _of_edits(name))
    for name, edits in series.not_finite.items():
        values = series.immediate.get(name, [])
        if not edits or any(edit > len(values) or values[edit - 1] is not None for edit in edits):
            yield Problem(f"series.not_finite.{name}", "names an edit that has a number")
    for name, followed in series.retained.items():
        field = f"series.retained.{name}"
        if not 0 < followed.at <= done:
            yield Problem(f"{field}.at", f"{followed.at} is not between 1 and {done}")
        if len(followed.values) != followed.at:
            yield Problem(f"{field}.values", f"has {len(followed.values)} values at {followed.at}")
        yield from _within(f"{field}.values", followed.values, _of_edits(name))


def _cost(result: Result) -> Iterator[Problem]:
    for name, value in result.cost.model_dump().items():
        yield from _within(f"result.cost.{name}", [value], (0.0, LARGEST))
