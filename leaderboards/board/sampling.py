"""Numbers made of single edits, and how they would vary with other edits of the same kind.

Edits are drawn with replacement within each run. Rows whose runs made the same edits in the same
order draw the same ones, so that the difference of their draws is that of a paired bootstrap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from ..entry import Entry

DRAWS = 2000
_SEED = 8

Statistic = Callable[[Sequence[Entry], Sequence[np.ndarray]], np.ndarray]
"""From runs, and how often each edit of each counts (draws, edits), to one number a draw."""


def once(entries: Sequence[Entry]) -> list[np.ndarray]:
    """Count every edit once: a statistic of that is its value."""
    return [np.ones((1, len(entry.series.case_ids))) for entry in entries]


def drawn(entries: Sequence[Entry]) -> list[np.ndarray]:
    """Count edits as often as they are drawn, the same for runs of the same edits."""
    seen: dict[tuple[int, ...], int] = {}
    counts = []
    for entry in entries:
        ids = tuple(entry.series.case_ids)
        seen[ids] = seen.get(ids, -1) + 1
        counts.append(_counts(ids, seen[ids]))
    return counts


@lru_cache(maxsize=32)
def _counts(case_ids: tuple[int, ...], repeat: int) -> np.ndarray:
    """Draw edits; a second run of a row with the same edits draws anew."""
    digest = hashlib.sha256(repr((case_ids, repeat, _SEED)).encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    edits = len(case_ids)
    return generator.multinomial(edits, np.full(edits, 1 / edits), size=DRAWS).astype(np.float64)


def mean_of(*names: str) -> Statistic:
    """Return the mean over all edits of the first of these metrics that they have."""

    def statistic(entries: Sequence[Entry], counts: Sequence[np.ndarray]) -> np.ndarray:
        pairs = []
        for entry, count in zip(entries, counts, strict=True):
            found = next((n for n in names if n in entry.series.immediate), None)
            if found is not None:
                pairs.append((_filled(entry.series.immediate[found], len(count[0])), count))
        return _ratio(pairs, len(counts[0]))

    return statistic


def kept_of(*names: str) -> Statistic:
    """Return the share of edits that worked at once and still do when asked last."""

    def statistic(entries: Sequence[Entry], counts: Sequence[np.ndarray]) -> np.ndarray:
        pairs = []
        for entry, count in zip(entries, counts, strict=True):
            series = entry.series
            found = next((n for n in names if n in series.retained and n in series.immediate), None)
            if found is None:
                continue
            now, size = series.retained[found], len(count[0])
            first = np.nan_to_num(_filled(series.immediate[found][: now.at], size))
            later = np.nan_to_num(_filled(now.values, size))
            # Only edits that worked at once can be kept.
            pairs.append((np.where(first > 0, later > 0, np.nan), count))
        return _ratio(pairs, len(counts[0]))

    return statistic


def harmonic(*parts: Statistic) -> Statistic:
    """Return the harmonic mean of statistics, 0 where one is not above 0."""

    def statistic(entries: Sequence[Entry], counts: Sequence[np.ndarray]) -> np.ndarray:
        values = np.stack([part(entries, counts) for part in parts])
        with np.errstate(all="ignore"):
            mean = len(parts) / (1 / values).sum(axis=0)
        return np.where((values <= 0).any(axis=0), 0.0, mean)

    return statistic


def _filled(values: Sequence[float | None], size: int) -> np.ndarray:
    """Return values of the first edits, not a number for those that have none."""
    filled = np.full(size, np.nan)
    filled[: len(values)] = [np.nan if value is None else value for value in values]
    return filled


def _ratio(pairs: Sequence[tuple[np.ndarray, np.ndarray]], draws: int) -> np.ndarray:
    """Return the mean of values that are numbers, each counted as often as it was drawn."""
    above, below = np.zeros(draws), np.zeros(draws)
    with np.errstate(all="ignore"):
        for values, count in pairs:
            above += count @ np.nan_to_num(values)
            below += count @ (~np.isnan(values)).astype(np.float64)
        return np.where(below > 0, above / below, np.nan)
