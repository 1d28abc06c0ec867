"""Whether an entry has all that its protocol asks: what is left out can flatter as well.

The point of collapse is judged here too: its criteria are about curves that an entry has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ..analysis.collapse import Course, confirm, first_collapse
from ..analysis.constants import Constants
from ..analysis.journal import CheckpointLine
from ..analysis.series import EFFICACY, EXACT, Points, downstream, success
from ..entry import Entry
from ..known import Known
from ..results import Curves, Result
from .problem import Problem
from .rules import is_about_edits

_AT_THE_ENDS = 2**53
"""Edits between measurements of what is asked before the first edit and after the last."""
_ROUNDING = 1e-5
"""What six digits can move a threshold by: nobody is refused for that."""


def complete(entry: Entry, known: Known) -> Iterator[Problem]:
    """Yield what is missing of an entry, and what it says of a collapse against its curves.

    The lists of the entry must fit each other (`ranges`).
    """
    yield from _edits(entry, known)
    yield from _retention(entry, known)
    yield from _tasks(entry.result, known)
    yield from _collapse(entry)


def _metrics(known: Known, result: Result) -> Mapping[str, list[str]]:
    protocol = known.protocol(result.suite)
    return protocol.metrics if protocol else {}


def _edits(entry: Entry, known: Known) -> Iterator[Problem]:
    """Every metric of what is asked after each edit is there."""
    metrics = _metrics(known, entry.result)
    for task in entry.result.protocol.each_edit:
        for name in metrics.get(task, []):
            if name not in entry.series.immediate:
                yield Problem(f"series.immediate.{name}", f"is missing, and {task} was asked")


def _retention(entry: Entry, known: Known) -> Iterator[Problem]:
    """Earlier edits were asked when it was due, the last time after all edits."""
    result, metrics = entry.result, _metrics(known, entry.result)
    due: dict[str, set[int]] = {}
    for task, every in result.protocol.checkpoint.items():
        for name in metrics.get(task, []) if is_about_edits(task) else ():
            due.setdefault(name, set()).update(_due(every, result)[1:])
            if name not in entry.series.retained:
                yield Problem(f"series.retained.{name}", f"is missing, and {task} was asked")
    done = result.ending.edits_done
    for name, each in entry.series.retained.items():
        if name in due and each.at != done:
            yield Problem(f"series.retained.{name}.at", f"is {each.at}, and {done} edits were made")
    for name, record in result.curves.retention.items():
        at = f"result.curves.retention.{name}.edits"
        if name in due and record.edits != sorted(due[name]):
            yield Problem(at, "is not as often as the protocol says")
        elif not set(record.edits) <= set(result.curves.checkpoints):
            yield Problem(at, "has a place of no checkpoint")


def _due(every: int, result: Result) -> list[int]:
    """Return after how many edits a task is asked that is due every so many."""
    done, size = result.ending.edits_done, result.protocol.batch_size
    ends = [min(start + size, done) for start in range(0, done, size)]
    before = range(0, done, size)
    return [0] + [
        end
        for begun, end in zip(before, ends, strict=True)
        if end == done or end // every > begun // every
    ]


def _tasks(result: Result, known: Known) -> Iterator[Problem]:
    """Tasks were asked when they were due, before the first edit and after the last."""
    protocol, drawn, metrics = result.protocol, result.curves, _metrics(known, result)
    allowed = {**protocol.checkpoint, **dict.fromkeys(protocol.start_end, _AT_THE_ENDS)}
    suite = known.protocol(result.suite)
    further = {every for name, every in allowed.items() if suite and name not in suite.checkpoint}
    for name, record in drawn.tasks.items():
        at = f"result.curves.tasks.{name}"
        # A group of the harness's that was asked for brings tasks of other names.
        cadences = {allowed[name]} if name in allowed else further
        if not cadences:
            yield Problem(at, "is no task of the protocol")
        elif record.edits not in [_due(every, result) for every in cadences]:
            yield Problem(f"{at}.edits", "is not as often as the protocol says, and at both ends")
    for name in allowed:
        found = drawn.tasks[name].metrics if name in drawn.tasks else {}
        for metric in [] if is_about_edits(name) else metrics.get(name, []):
            if metric not in found:
                yield Problem(
                    f"result.curves.tasks.{name}.{metric}", f"is missing, and {name} was asked"
                )
    due = {place for every in allowed.values() for place in _due(every, result)}
    if not due <= set(drawn.checkpoints):
        yield Problem("result.curves.checkpoints", "leaves out a checkpoint that was due")


# --- The collapse ----------------------------------------------------------------------------


def _collapse(entry: Entry) -> Iterator[Problem]:
    """What is said of a collapse is what ES, retention and tasks show.

    Spikes are not in an entry: which edit broke the model is the journal's to say, but whether it
    broke about there is not.
    """
    kind, edit = entry.collapse.type, entry.collapse.edit
    if kind == "none":
        strict = _shifted(_ROUNDING)
        found = first_collapse(_course(entry, strict), strict)
        if found is not None:
            yield Problem(
                "collapse.type", f"is none, and the curves show one after edit {found.edit}"
            )
        return
    lax = _shifted(-_ROUNDING)
    course = _course(entry, lax)
    if kind == "catastrophic":
        if edit is not None and not confirm(edit, course, lax).confirmed:
            yield Problem("collapse.edit", f"the curves do not show that edit {edit} broke it")
        return
    found = first_collapse(course, lax)
    if found is None:
        yield Problem("collapse.type", "is gradual, and the curves show none")
        return
    seen = [each.at for each in found.criteria if each.met and each.at is not None]
    first, last = found.edit - found.horizon, max(found.edit, *seen)
    if edit is not None and not first <= edit <= last:
        yield Problem("collapse.edit", f"is {edit}, and the curves show it at {first} to {last}")


def _shifted(by: float) -> Constants:
    """Return the thresholds, all a little harder to meet; easier if negative."""
    usual = Constants()
    return usual.model_copy(
        update={
            "es_ceiling": usual.es_ceiling - by,
            "es_drop": usual.es_drop + by,
            "retention_drop": usual.retention_drop + by,
            "retention_floor": usual.retention_floor - by,
            "f1_floor": usual.f1_floor - by,
            "headroom_lost": usual.headroom_lost + by,
        }
    )


def _course(entry: Entry, constants: Constants) -> Course:
    """Return what the analysis of the run looked at, as far as a collapse shows in it."""
    immediate, curves = entry.series.immediate, entry.result.curves
    es = next((immediate[name] for name in EFFICACY if name in immediate), [])
    criterion = next((name for name in (*EXACT, *EFFICACY) if name in immediate), None)
    retention = Points([], [])
    if criterion is not None and (record := curves.retention.get(criterion)) is not None:
        learned = [bool(success(value)) for value in immediate[criterion]]
        for done, value in zip(record.edits, record.instant, strict=True):
            if value is not None and sum(learned[:done]) >= constants.retention_min:
                retention.edits.append(done)
                retention.values.append(value)
    return Course(
        [success(value) for value in es],
        retention,
        downstream(_checkpoints(curves), constants.headroom),
        entry.result.ending.edits_done,
    )


def _checkpoints(curves: Curves) -> list[CheckpointLine]:
    """Return the checkpoints of a run, with the tasks that were asked at each."""
    lines: dict[int, CheckpointLine] = {}
    for name, record in curves.tasks.items():
        for at, done in enumerate(record.edits):
            line = lines.setdefault(done, CheckpointLine(edits=done))
            line.tasks[name] = {metric: values[at] for metric, values in record.metrics.items()}
    return [lines[done] for done in sorted(lines)]
