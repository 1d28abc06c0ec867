"""What a run has to say about a metric after its first edits."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import fmean
from typing import NamedTuple

from ..entry import Collapse, Series
from ..results import Result, ResultError
from .downstream import Points, downstream_kept
from .metrics import Metric
from .resampling import Statistic, harmonic_statistic, kept_statistic, mean_statistic
from .sources import Run


def largest_distance(result: Result) -> dict[str, float | None]:
    """Return the distances of the matrix that moved furthest, relative to its size.

    One that is not finite any more is the furthest.
    """
    return max(result.summary.distance.values(), key=_relative, default={})


def _relative(kinds: dict[str, float | None]) -> float:
    value = kinds.get("l2_relative", 0.0)
    return math.inf if value is None else value


def statistic(run: Run, metric: Metric, edits: int) -> Statistic | None:
    """Return a metric as a statistic over the first edits; None where single values are not known.

    As in a result's summary, a metric that is not finite after some of these edits has no mean.
    """
    series = run.series
    if series is None:
        return None
    if metric.kind in ("edits", "score"):
        if not all(_finite(series, name, edits) for name in metric.key):
            return None
        values = [series.immediate[name][:edits] for name in metric.key]
        return harmonic_statistic(values) if metric.kind == "score" else mean_statistic(values[0])
    followed = series.retained.get(metric.key[0]) if metric.key else None
    if followed is None or followed.at > edits or metric.key[0] not in run.result.summary.retention:
        return None
    if metric.kind == "kept":
        at_edit = series.immediate.get(metric.key[0])
        return None if at_edit is None else kept_statistic(at_edit, followed.values)
    if metric.kind == "retained":
        return mean_statistic([value or 0.0 for value in followed.values])
    return None


def _finite(series: Series, name: str, edits: int) -> bool:
    """Return whether a metric was asked, and finite wherever it was."""
    broken = series.not_finite.get(name, [])
    return name in series.immediate and all(number > edits for number in broken)


def asked_again_at(run: Run, metric: Metric) -> int | None:
    """Return after how many edits earlier ones were asked, for what is a number of those."""
    if metric.kind not in ("kept", "retained") or run.series is None:
        return None
    followed = run.series.retained.get(metric.key[0])
    return followed and followed.at


def run_value(run: Run, metric: Metric, edits: int) -> float | None:
    """Return a metric of a whole run after its first edits; None where it is not known."""
    result = run.result
    whole = edits == result.ending.edits_done
    if metric.kind in ("edits", "score"):
        return result.summary.immediate.get(metric.name) if whole else None
    if metric.kind == "single":
        single = result.summary.single_edits
        return single.edited.get(metric.key[0]) if single else None
    if metric.kind == "run" and metric.name != "moved":
        return _of_run(run, metric.name, edits, whole)
    points = [value for done, value in course(run, metric) if done <= edits]
    return points[-1] if points else None


def course(run: Run, metric: Metric) -> Points:
    """Return how a metric went over the run: single edits where they are known, else curves.

    Of S there is none: it is no number of single edits.
    """
    curves, kind = run.result.curves, metric.kind
    if kind == "edits":
        return of_edits(run, metric.key[0])
    if kind in ("kept", "sticky", "retained"):
        record = curves.retention.get(metric.key[0])
        names = {"kept": "instant", "sticky": "sticky", "retained": "all_edits"}
        return list(zip(record.edits, getattr(record, names[kind]), strict=False)) if record else []
    if kind == "task":
        record = curves.tasks.get(metric.key[0])
        values = record.metrics.get(metric.key[1], []) if record else []
        return list(zip(record.edits, values, strict=False)) if record else []
    if kind == "f1":
        return _mean_f1(run.result)
    if kind == "headroom":
        return downstream_kept(run.result)
    if metric.name == "moved":
        return moved(run.result)
    return []


def of_edits(run: Run, name: str) -> Points:
    """Return how a metric measured right after each edit went over the run.

    As in a result's curves, what is not finite is a failure.
    """
    if run.series is not None and name in run.series.immediate:
        broken = set(run.series.not_finite.get(name, ()))
        return [
            (number, 0.0 if value is None and number in broken else value)
            for number, value in enumerate(run.series.immediate[name], start=1)
        ]
    curve = run.result.curves.immediate.get(name)
    return list(zip(curve.edits, curve.mean_5, strict=False)) if curve else []


def _mean_f1(result: Result) -> Points:
    """Return the mean F1 of the tasks that have one, where all of them were asked."""
    found: dict[int, list[float | None]] = {}
    tasks = [each for each in result.curves.tasks.values() if "weighted_f1" in each.metrics]
    for task in tasks:
        for edits, value in zip(task.edits, task.metrics["weighted_f1"], strict=False):
            found.setdefault(edits, []).append(value)
    points: Points = []
    for edits, values in sorted(found.items()):
        known = [value for value in values if value is not None]
        if len(values) == len(tasks):
            points.append((edits, fmean(known) if known else None))
    return points


def moved(result: Result) -> Points:
    """Return the relative distance of the matrix that moved furthest."""
    checkpoints = result.curves.checkpoints
    columns = [kinds.get("l2_relative", []) for kinds in result.curves.distance.values()]
    if not columns:
        return [(edits, 0.0) for edits in checkpoints]
    points: Points = []
    for edits, *values in zip(checkpoints, *columns, strict=False):
        known = [value for value in values if value is not None]
        points.append((edits, max(known) if known and len(known) == len(values) else None))
    return points


def _of_run(run: Run, name: str, edits: int, whole: bool) -> float | None:
    result = run.result
    if name == "collapse":
        found = survived(run, edits)
        return found and float(found.edits)
    if name == "seconds_prepare":
        return result.cost.seconds_prepare
    if not whole:
        return None
    values: dict[str, float] = {
        "failed": result.ending.failed,
        "seconds": result.seconds_per_edit,
        "seconds_evaluate": result.evaluation_per_edit,
        "memory": result.cost.peak_memory_bytes,
    }
    return values[name]


class Survived(NamedTuple):
    """How many edits a run made before the model was broken."""

    edits: int
    collapsed: bool

    @property
    def text(self) -> str:
        """The number; with > where no collapse was seen.

        Example:
            >>> Survived(79, True).text, Survived(100, False).text
            ('79', '>100')
        """
        return f"{self.edits}" if self.collapsed else f">{self.edits}"


def survived(run: Run, edits: int) -> Survived | None:
    """Return the edits before collapse, of the first so many; None where nobody knows.

    Where something was not finite earlier, it is the edits before that.
    """
    found = _collapse(run)
    if found is None:
        return None
    broke = [at for at in (found.edit, run.result.ending.collapsed_at) if at is not None]
    first = min(broke, default=edits + 1)
    return Survived(first - 1, True) if first <= edits else Survived(edits, False)


@lru_cache(maxsize=256)
def _collapse(run: Run) -> Collapse | None:
    """Return what an entry says of the collapse, or what an analysis of the run finds."""
    if run.entry is not None:
        return run.entry.collapse
    if run.folder is None:
        return None
    # Only here: the analysis takes libraries that take a second to load.
    from ..analysis.analyse import analyse
    from ..analysis.journal import read_run

    found = analyse(read_run(run.folder)).collapse
    return Collapse(type=found.kind, edit=found.edit)


def edits_at(run: Run, at: int | None) -> int:
    """Return how many edits of a run are looked at.

    Raises:
        ResultError: it was not asked for so many, or not one batch after another up to there.
    """
    result = run.result
    done, asked, size = result.ending.edits_done, result.protocol.num_edits, _batch(result)
    if at is None or at == asked:
        return done
    if at > asked:
        raise ResultError(f"{run.name}: --at {at}, and the run is of {asked} edits")
    if at % size:
        raise ResultError(
            f"{run.name}: --at {at} lies inside a call of the editor with {size} facts; name a "
            f"multiple of {size}"
        )
    return min(done, at)


def _batch(result: Result) -> int:
    single = result.protocol.mode == "batch-single"
    return result.protocol.num_edits if single else result.protocol.batch_size
