"""What the analysis looks at: series of numbers out of a journal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from ..curves import retention
from .journal import CheckpointLine, RunJournal, Values

EXACT = ("es_exact", "efficacy_exact")
EFFICACY = ("es", "efficacy")
F1, FLOOR = "weighted_f1", "constant_f1"
GENERATED = "_gen"


class Points(NamedTuple):
    """A series measured at some numbers of edits done."""

    edits: list[int]
    values: list[float]


class Downstream(NamedTuple):
    """The mean weighted F1 of the tasks asked most often."""

    points: Points
    tasks: list[str]
    """Whose mean it is."""
    generated: bool
    """Whether answers were generated, and so can be unparsable."""
    unedited: float | None
    floor: float | None
    """Mean F1 of constant answers."""
    headroom: Points
    """Of tasks the unedited model can do: share left of the difference to a constant answer."""


def success(value: float | None) -> float:
    """Return a metric's value; a broken model's NaN, written as null, is a failure."""
    return 0.0 if value is None else float(value)


def finite(value: float | None) -> float | None:
    """Return a value that JSON can hold and that can be drawn."""
    return value if value is not None and math.isfinite(value) else None


def immediate(run: RunJournal, name: str) -> list[float | None]:
    """Return a metric measured right after each edit; None where the record has none."""
    return [success(line.metrics[name]) if name in line.metrics else None for line in run.edits]


def first_of(run: RunJournal, names: Sequence[str]) -> str | None:
    """Return the first of these metrics that edits of the run have."""
    return next((name for name in names if any(name in e.metrics for e in run.edits)), None)


def efficacy(run: RunJournal) -> list[float]:
    """Return ES of each edit (`efficacy` of zsRE edits); empty if it was not asked."""
    name = first_of(run, EFFICACY)
    return [value or 0.0 for value in immediate(run, name)] if name else []


def norms(run: RunJournal) -> list[float]:
    """Return each edit's largest Frobenius norm of a matrix's change; infinite if not finite.

    Of an editor that reports none, the change of the distance from the original stands in, which
    is never larger (triangle inequality). Empty for editors that change no weights. Edits made in
    one call share the call's norm.
    """
    if any(line.update_norm for line in run.edits):
        return [largest(line.update_norm) for line in run.edits]
    if not any(line.distance for line in run.edits):
        return []
    before: Values = {}
    found = []
    for line in run.edits:
        steps = {name: _step(value, before.get(name, 0.0)) for name, value in line.distance.items()}
        found.append(largest(steps))
        before = line.distance
    return found


def _step(now: float | None, before: float | None) -> float | None:
    return None if now is None or before is None else abs(now - before)


def largest(values: Values) -> float:
    """Return the largest value, infinity where one is no number, 0 of none.

    Example:
        >>> largest({"a": 1.0, "b": 2.0}), largest({"a": None}), largest({})
        (2.0, inf, 0.0)
    """
    return max(map(_known, values.values()), default=0.0)


def distances(run: RunJournal) -> dict[str, list[float]]:
    """Return the distance of each matrix from its original after each edit (l2)."""
    names = dict.fromkeys(name for line in run.edits for name in line.distance)
    return {name: [_known(line.distance.get(name)) for line in run.edits] for name in names}


def matrix_steps(run: RunJournal) -> dict[str, list[float]]:
    """Return the Frobenius norm of each matrix's change by each edit, as far as it is recorded.

    Of edits made in one call the first has it all. One that was refused has none, and its call's
    norm stands in the lines of the others.
    """
    size = run.batch_size
    names = dict.fromkeys(name for line in run.edits for name in line.update_norm)
    steps = {name: [0.0] * len(run.edits) for name in names}
    for first in range(0, len(run.edits), size):
        for line in run.edits[first : first + size]:
            for name, norm in line.update_norm.items():
                steps[name][first] = _known(norm)
    return steps


def _known(value: float | None) -> float:
    return math.inf if value is None else value


def followed(run: RunJournal, name: str) -> list[tuple[int, list[bool]]]:
    """Return, for each checkpoint that asked, the edits done and which of them succeed now."""
    return [
        (line.edits, [bool(success(value)) for value in line.edited[name]])
        for line in run.checkpoints
        if line.edits and name in line.edited and len(line.edited[name]) == line.edits
    ]


def retained(run: RunJournal, name: str, fewest: int = 1) -> Points:
    """Return the instant retention at checkpoints, where enough edits had worked at first."""
    at_edit = [value or 0.0 for value in immediate(run, name)]
    asked = followed(run, name)
    points = Points([], [])
    for (done, _), record in zip(asked, retention(at_edit, [now for _, now in asked]), strict=True):
        if record.instant is not None and sum(map(bool, at_edit[:done])) >= fewest:
            points.edits.append(done)
            points.values.append(record.instant)
    return points


def downstream(checkpoints: Sequence[CheckpointLine], headroom: float) -> Downstream | None:
    """Return the mean weighted F1 at checkpoints; None where no such task was asked.

    Args:
        checkpoints: Those of the run.
        headroom: How much better than a constant answer a task must start to be followed in
            `Downstream.headroom`.
    """
    asked = [line for line in checkpoints if any(F1 in found for found in line.tasks.values())]
    names = dict.fromkeys(
        name for line in asked for name, found in line.tasks.items() if F1 in found
    )
    times = {name: sum(F1 in line.tasks.get(name, {}) for line in asked) for name in names}
    most = max(times.values(), default=0)
    # Tasks asked only at the start and the end would make the mean there one of other tasks.
    tasks = [name for name, count in times.items() if count == most]
    lines = [line for line in asked if all(F1 in line.tasks.get(name, {}) for name in tasks)]
    if not tasks or not lines:
        return None
    start = lines[0] if not lines[0].edits else None
    floors = [success(found[FLOOR]) for name in tasks if FLOOR in (found := lines[0].tasks[name])]
    able = [name for name in with_headroom(start.tasks, headroom) if name in tasks] if start else []
    room = Points([], [])
    if start and able:
        left = [headroom_left(line.tasks, start.tasks, able) for line in lines]
        room = Points([line.edits for line in lines], left)
    return Downstream(
        Points([line.edits for line in lines], [_mean_f1(line, tasks) for line in lines]),
        tasks,
        all(name.endswith(GENERATED) for name in tasks),
        _mean_f1(start, tasks) if start else None,
        fmean(floors) if len(floors) == len(tasks) else None,
        room,
    )


def _mean_f1(line: CheckpointLine, tasks: Sequence[str]) -> float:
    return fmean(success(line.tasks[name][F1]) for name in tasks)


def _room(found: Values) -> float:
    return success(found[F1]) - success(found[FLOOR])


def with_headroom(unedited: Mapping[str, Values], least: float) -> list[str]:
    """Return the tasks that the unedited model does so much better than a constant answer."""
    known = {name: found for name, found in unedited.items() if F1 in found and FLOOR in found}
    return [name for name, found in known.items() if _room(found) >= least]


def headroom_left(
    now: Mapping[str, Values], unedited: Mapping[str, Values], tasks: Sequence[str]
) -> float:
    """Return the mean share left of what the unedited model did better than a constant answer."""
    return fmean(
        (success(now[name][F1]) - success(unedited[name][FLOOR])) / _room(unedited[name])
        for name in tasks
    )


def buckets(values: Sequence[float | None], size: int) -> Points:
    """Return means of disjoint buckets, an incomplete last one and empty ones left out.

    Example:
        >>> buckets([1, 0, 1, 1, 1], 2)
        Points(edits=[2, 4], values=[0.5, 1.0])
    """
    points = Points([], [])
    for end in range(size, len(values) + 1, size):
        known = [value for value in values[end - size : end] if value is not None]
        if known:
            points.edits.append(end)
            points.values.append(fmean(known))
    return points
