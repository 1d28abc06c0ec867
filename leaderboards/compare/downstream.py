"""How much of what the unedited model can do downstream is left."""

from __future__ import annotations

from ..analysis.constants import Constants
from ..analysis.series import F1, headroom_left, with_headroom
from ..results import Result

HEADROOM = Constants().headroom

Points = list[tuple[int, float | None]]
"""Edits done, and a value."""


def able_tasks(result: Result) -> list[str]:
    """Return the tasks that the unedited model does so much better than a constant answer."""
    return with_headroom(_unedited(result), HEADROOM)


def _unedited(result: Result) -> dict[str, dict[str, float | None]]:
    return {
        task: {metric: values.get("unedited") for metric, values in metrics.items()}
        for task, metrics in result.summary.tasks.items()
    }


def downstream_kept(result: Result) -> Points:
    """Return the course of what is left, where all of the tasks were asked.

    The mean over tasks of (F1 - floor) / (unedited F1 - floor), the floor being the F1 of a
    constant answer. Tasks on which the unedited model is not at least `Constants.headroom` above
    the floor have nothing to lose and are left out; nothing is known where all are.
    """
    able, unedited = able_tasks(result), _unedited(result)
    found: dict[int, dict[str, dict[str, float | None]]] = {}
    for name in able:
        task = result.curves.tasks.get(name)
        for edits, value in zip(task.edits, task.metrics.get(F1, []), strict=False) if task else ():
            found.setdefault(edits, {})[name] = {F1: value}
    return [
        (edits, headroom_left(now, unedited, able))
        for edits, now in sorted(found.items())
        if len(now) == len(able)
    ]
