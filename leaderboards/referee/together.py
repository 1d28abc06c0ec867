"""Entries beside each other: the same run twice, the same from other code, what all share."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations

from ..canonical import rounded
from ..comparable import protocol_key
from ..entry import Entry
from ..results import Result
from .given import agreement
from .problem import DRIFT, Problem
from .ranges import is_share


def _same_run(entry: Entry) -> tuple[str, ...]:
    """Return what determines the numbers of a run, versions of its code aside."""
    result = entry.result
    editor = json.dumps(rounded(result.editor.hparams), sort_keys=True)
    return (
        protocol_key(result),
        result.editor.name,
        entry.submission.card.code or "",
        editor,
        str(result.data.sample),
        str(result.seed),
    )


def _code(result: Result) -> tuple[str, str]:
    return result.editor.code_sha256, str(result.provenance.get("sources_sha256"))


def together(entries: Mapping[str, Entry]) -> Iterator[Problem]:
    """Yield what is wrong with entries only because of other entries.

    Args:
        entries: By their paths; of two that do not go together the later one is named.
    """
    journals: dict[str, list[str]] = defaultdict(list)
    runs: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for name, entry in entries.items():
        journals[entry.result.journal_sha256.get("edits.jsonl", "")].append(name)
        runs[_same_run(entry)].append(name)
    for names in journals.values():
        for name in names[1:]:
            yield Problem(
                "result.journal_sha256.edits.jsonl", f"is that of {names[0]}: the same run", name
            )
    for names in runs.values():
        for one, other in combinations(names, 2):
            yield from _twice(one, other, entries)
    yield from agreement(entries)


def _twice(one: str, other: str, entries: Mapping[str, Entry]) -> Iterator[Problem]:
    """Judge two entries of the same editor, settings, sample and seed."""
    first, second = entries[one].result, entries[other].result
    if first.journal_sha256.get("edits.jsonl") == second.journal_sha256.get("edits.jsonl"):
        return
    if _code(first) == _code(second):
        yield Problem(
            "result.seed",
            f"{one} has the same protocol, editor, settings, sample, seed and code: remove one",
            other,
        )
        return
    for field_name, before, now in _shares(first, second):
        if abs(before - now) > DRIFT:
            yield Problem(
                field_name,
                f"is {now:.4g}, and {before:.4g} in {one}, by other code: over {DRIFT:g} apart",
                other,
            )


def _shares(first: Result, second: Result) -> Iterator[tuple[str, float, float]]:
    """Yield shares that both have, with their fields."""
    pairs = [("immediate", first.summary.immediate, second.summary.immediate)]
    instant = [
        {name: kinds.get("instant") for name, kinds in result.summary.retention.items()}
        for result in (first, second)
    ]
    for part, one, other in [*pairs, ("retention", *instant)]:
        for name in sorted(set(one) & set(other)):
            before, now = one[name], other[name]
            if is_share(name) and before is not None and now is not None:
                yield f"result.summary.{part}.{name}", before, now
