"""What no editor has a part in: facts and their order, data, and what the unedited model does."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from typing import Any, NamedTuple

from ..comparable import protocol_key
from ..entry import Entry
from ..known import Known
from ..results import Result
from .problem import Problem, drifted, short

_LATER = 50
"""Edits that tell one order of facts from another."""
_SAMPLED = {"ngram_entropy", "word_entropy"}
"""Of texts that are drawn by the run's seed."""
_UNSTEADY = {"s", "mcc"}
"""What one answer more can move by more than drift: they follow from the others, which cannot."""


def bundled(entry: Entry, known: Known) -> Iterator[Problem]:
    """Yield where an entry on bundled data is not about the data that comes with the package."""
    data, ids = entry.result.data, entry.series.case_ids
    if data.source != "bundled":
        return
    for name, digest in data.files_sha256.items():
        if digest not in known.own.files.get(name, []):
            yield Problem(f"result.data.files_sha256.{name}", "is no file of the bundled data")
    by_digest = known.own.orders.get(data.edits, {})
    orders = next((by_digest[each] for each in data.files_sha256.values() if each in by_digest), [])
    if not orders:
        yield Problem("result.data.files_sha256", f"has no file of {short(data.edits)} edits")
    elif ids != orders[data.sample][: len(ids)]:
        yield Problem("series.case_ids", f"are not the first of sample {data.sample}, in its order")
    for name in known.score(entry.result):
        without = [case for case, there in _presence(entry, name) if not there]
        if without:
            yield Problem(
                f"series.immediate.{name}",
                f"fact {without[0]} has none, and every fact of the bundled data has one",
            )


class _Given(NamedTuple):
    """A part of an entry that is the same in all entries of one key."""

    key: Hashable
    field: str
    value: Any


def agreement(entries: Mapping[str, Entry]) -> Iterator[Problem]:
    """Yield where entries say different things of what no editor has a part in.

    Args:
        entries: By their paths; of two that differ the later one is named.
    """
    said: dict[Hashable, tuple[str, Any]] = {}
    for name, entry in entries.items():
        told: set[str] = set()
        for key, field, value in _given(entry):
            first, before = said.setdefault(key, (name, value))
            if field not in told and _differs(before, value):
                told.add(field)
                yield Problem(
                    field,
                    f"is {short(value)}, and {short(before)} in {first}: no editor changes that",
                    name,
                )


def _differs(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, list):  # a longer run goes on with the same
        return any(first != second for first, second in zip(one, other, strict=False))
    return drifted(one, other)


def _given(entry: Entry) -> Iterator[_Given]:
    result = entry.result
    model, data = result.model, result.data
    named = (model.name, model.revision, model.dtype)
    yield _Given(("model", *named), "result.model.weights_sha256", model.weights_sha256)
    if data.source == "hub":
        for name, digest in data.files_sha256.items():
            yield _Given(("hub", name), f"result.data.files_sha256.{name}", digest)
    yield from _facts(entry)
    yield from _unedited(result)


def _facts(entry: Entry) -> Iterator[_Given]:
    """Which facts each sample has, and of which of them there are prompts of a kind."""
    data, ids = entry.result.data, entry.series.case_ids
    files = json.dumps([data.edits, data.files_sha256], sort_keys=True)
    yield _Given((files, "sample", data.sample), "series.case_ids", ids)
    yield _Given((files, "facts", *ids[:_LATER]), "result.data.sample", data.sample)
    for name in entry.series.immediate:
        for case, there in _presence(entry, name):
            value = f"{'a' if there else 'no'} number for fact {case}"
            yield _Given((files, name, case), f"series.immediate.{name}", value)


def _presence(entry: Entry, metric: str) -> Iterator[tuple[int, bool]]:
    """Yield each fact and whether a metric was measured for it, finite or not."""
    series = entry.series
    broken = set(series.not_finite.get(metric, ()))
    values = series.immediate.get(metric, [])
    for edit, (case, value) in enumerate(zip(series.case_ids, values, strict=False), start=1):
        yield case, value is not None or edit in broken


def _unedited(result: Result) -> Iterator[_Given]:
    """What was measured before the first edit."""
    protocol = protocol_key(result)
    for name, record in result.curves.tasks.items():
        for metric, values in record.metrics.items():
            if record.edits[:1] == [0] and values and metric not in _UNSTEADY:
                at = f"result.curves.tasks.{name}.{metric}.0"
                drawn = (result.seed,) if metric in _SAMPLED else ()
                yield _Given((protocol, name, metric, *drawn), at, values[0])
    for metric, value in result.summary.baseline.items():
        if metric not in _UNSTEADY:
            key = (protocol, result.data.sample, metric)
            yield _Given(key, f"result.summary.baseline.{metric}", value)
