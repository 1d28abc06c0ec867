"""Curves over the edits of a run: pure functions of numbers, without torch."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

BUCKET = 5
TRAILING_BUCKETS = 10


class Curve(NamedTuple):
    """One metric over a run, smoothed as in the paper's figures."""

    edits: list[int]
    """Edits done at the end of each bucket."""
    bucket: list[float | None]
    """Mean of each bucket of five edits; an incomplete last bucket is left out."""
    trailing: list[float | None]
    """Mean of the last ten buckets (fifty edits), of fewer near the start."""


def smooth(values: Sequence[float | None]) -> Curve:
    """Smooth per-edit values as the paper's code does (its `current_edit_scores`).

    Edits without a value (None) are left out of the means.

    Example:
        >>> smooth([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1])
        Curve(edits=[5, 10], bucket=[1.0, 0.0], trailing=[1.0, 0.5])
    """
    buckets = [
        _mean(values[start : start + BUCKET])
        for start in range(0, len(values) - len(values) % BUCKET, BUCKET)
    ]
    trailing = [
        _mean(buckets[max(0, end - TRAILING_BUCKETS + 1) : end + 1]) for end in range(len(buckets))
    ]
    return Curve([BUCKET * (index + 1) for index in range(len(buckets))], buckets, trailing)


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return fmean(present) if present else None


def harmonic_mean(values: Sequence[float]) -> float:
    """Return the harmonic mean, 0 if any value is 0: the score S of ES, PS and NS.

    Example:
        >>> harmonic_mean([1.0, 0.5]), harmonic_mean([1.0, 0.0])
        (0.6666666666666666, 0.0)
    """
    if any(value <= 0 for value in values):
        return 0.0
    return len(values) / sum(1 / value for value in values)


class Retention(NamedTuple):
    """What is left of the edits that succeeded, after T edits, as fractions."""

    instant: float | None
    """Of the edits made so far that succeeded at once: how many succeed now."""
    sticky: float | None
    """The same, but an edit found lost at one checkpoint is lost ever after (the paper)."""
    all_edits: float
    """Of all edits made so far: how many succeed now, whether or not they did at once."""


def retention(at_edit: Sequence[float], checkpoints: Sequence[Sequence[float]]) -> list[Retention]:
    """Follow the success of edits over checkpoints.

    Args:
        at_edit: Success (1 or 0) of each edit right after it was made.
        checkpoints: Success now of the edits made so far, one sequence a checkpoint, growing.

    Returns:
        One record a checkpoint. Where no edit has succeeded there is nothing to retain: None.

    Example:
        >>> retention([1, 1, 0], [[1, 0], [1, 1, 1]])[-1]
        Retention(instant=1.0, sticky=0.5, all_edits=1.0)
    """
    lost: set[int] = set()
    records = []
    for now in checkpoints:
        succeeded = [index for index in range(len(now)) if at_edit[index]]
        kept = [index for index in succeeded if now[index]]
        lost.update(set(succeeded) - set(kept))
        unlost = [index for index in succeeded if index not in lost]
        records.append(
            Retention(
                len(kept) / len(succeeded) if succeeded else None,
                len(unlost) / len(succeeded) if succeeded else None,
                fmean(map(float, map(bool, now))) if now else 0.0,
            )
        )
    return records
