"""From a run's journal to its analysis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .._files import file_sha256
from .change_points import Draw, change_point
from .collapse import Course, confirm, first_collapse
from .constants import Constants
from .disabling import control_norms, disabling
from .forgetting import forgetting
from .journal import CHECKPOINTS, EDITS, OVERLAPS, REPLAYS, RunJournal
from .onset import onset
from .overwriting import overwriting
from .phases import phases
from .records import Analysis, ChangePoint, Collapse, Confirmation, Spike
from .series import (
    EFFICACY,
    EXACT,
    Points,
    buckets,
    distances,
    downstream,
    efficacy,
    finite,
    first_of,
    immediate,
    matrix_steps,
    norms,
    retained,
)
from .spikes import Found, find_spikes
from .steady import steady_retention

_SCORES = ("es", "ps", "ns", "efficacy", "paraphrase", "specificity")


def analyse(run: RunJournal, constants: Constants | None = None) -> Analysis:
    """Analyse a run.

    Args:
        run: Its journal; it need not be finished.
        constants: Thresholds; the defaults if none are given.
    """
    constants = constants or Constants()
    criterion = first_of(run, EXACT) or first_of(run, EFFICACY)
    course = Course(
        efficacy(run),
        retained(run, criterion, constants.retention_min) if criterion else Points([], []),
        downstream(run.checkpoints, constants.headroom),
        len(run.edits),
    )
    spikes = [_spike(run, found, course, constants) for found in _spikes(run, constants)]
    changes = list(_change_points(run, course, criterion, constants))
    collapse = _collapse(spikes, course, changes, constants)
    steps = matrix_steps(run)
    followed = [
        found
        for name, values in distances(run).items()
        if (found := onset(name, values, steps.get(name, []), constants, batch_size=run.batch_size))
    ]
    return Analysis(
        editor=run.editor,
        model=run.model,
        edits=len(run.edits),
        finished=run.result is not None,
        notes=run.notes,
        constants=constants,
        spikes=spikes,
        collapse=collapse,
        change_points=changes,
        onsets=followed,
        phases=phases(len(run.edits), course.retention, collapse, constants),
        forgetting=forgetting(run, constants),
        overwriting=overwriting(run, constants),
        disabling=disabling(run, constants),
        journal_sha256=_digests(run.folder),
    )


def _spikes(run: RunJournal, constants: Constants) -> list[Found]:
    return find_spikes(
        norms(run), constants, controls=control_norms(run), batch_size=run.batch_size
    )


def _spike(run: RunJournal, found: Found, course: Course, constants: Constants) -> Spike:
    line = run.edits[found.edit - 1]
    return Spike(
        edit=found.edit,
        case_id=line.case_id,
        prompt=line.prompt,
        subject=line.subject,
        target_new=line.target_new,
        norm=finite(found.norm),
        ratio=finite(found.ratio),
        severe=found.severe,
        against=found.against,
        division_factor=line.editor.get("division_factor"),
        worked=course.es[found.edit - 1] == 1.0 if course.es else None,
        confirmation=confirm(found.edit, course, constants),
    )


def _change_points(
    run: RunJournal, course: Course, criterion: str | None, constants: Constants
) -> Iterator[ChangePoint]:
    series = {
        name: buckets(immediate(run, name), constants.bucket)
        for name in _SCORES
        if any(name in line.metrics for line in run.edits)
    }
    series["retention"] = course.retention
    if course.downstream:
        series["f1"] = course.downstream.points
    sizes = [math.log10(norm) if 0 < norm < math.inf else None for norm in norms(run)]
    series["log10 norm"] = buckets(sizes, constants.bucket)
    # One alarm in `alpha` runs, not in `alpha` series.
    level = constants.alpha / len(series)
    draws: dict[str, Draw] = {}
    if criterion is not None:
        draws["retention"] = partial(steady_retention, run, criterion, course.retention)
    for name, points in series.items():
        found = change_point(name, points, constants, level=level, draw=draws.get(name))
        if found is not None:
            yield found


def _collapse(
    spikes: list[Spike], course: Course, changes: list[ChangePoint], constants: Constants
) -> Collapse:
    """Find the point of collapse: the earliest spike that is confirmed, or a slow decline."""
    undecided = [spike.edit for spike in spikes if spike.confirmation.confirmed is None]
    confirmed = [spike for spike in spikes if spike.confirmation.confirmed]
    if confirmed:
        cause = _cause(confirmed)
        return Collapse(
            kind="catastrophic",
            edit=cause.edit,
            low=cause.edit,
            high=cause.edit,
            confirmation=cause.confirmation,
            undecided=undecided,
        )
    found = first_collapse(course, constants)
    if found is None:
        return Collapse(kind="none", undecided=undecided)
    first, edit, last = _place(found, course, changes, constants)
    return Collapse(
        kind="gradual", edit=edit, low=first, high=last, confirmation=found, undecided=undecided
    )


def _place(
    found: Confirmation, course: Course, changes: list[ChangePoint], constants: Constants
) -> tuple[int, int, int]:
    """Return the first edit, the likeliest and the last at which a slow collapse may have been.

    It lies between the first edit after which the criteria are met and the time at which all of
    them had been seen. A step down, about there, of what they are about tells it more closely.
    """
    met = {criterion.name: criterion.at or 0 for criterion in found.criteria if criterion.met}
    # What was broken before there were edits enough to judge by is found no earlier than these.
    first = found.edit if found.edit > constants.es_before_min + 1 else 1
    asked = {
        "retention": course.retention.edits,
        "downstream": course.downstream.points.edits if course.downstream else [],
    }
    for name, edits in asked.items():
        first = max([first, *(done + 1 for done in edits if done < met.get(name, 0))])
    last = max(found.edit, *met.values())
    about = {**dict.fromkeys(EFFICACY, "es"), "f1": "downstream"}
    located = [
        change
        for name, criterion in about.items()
        for change in changes
        if criterion in met
        and change.series == name
        and _steps_down(change, first - found.horizon, last)
    ]
    places = [change.at for change in located if change.at is not None]
    if not places:
        return first, max(first, found.edit), last
    if max(places) - min(places) > course.interval:
        return min(places), min(places), max(places)
    return located[0].low or places[0], places[0], located[0].high or places[0]


def _steps_down(change: ChangePoint, first: int, last: int) -> bool:
    """Say whether a series falls at once between two edits."""
    if change.at is None or change.before is None or change.after is None:
        return False
    return change.shape == "step" and change.after < change.before and first <= change.at <= last


def _cause(confirmed: list[Spike]) -> Spike:
    """Return the earliest spike; of several before the same broken checkpoint, the largest.

    What breaks a model confirms every spike up to a horizon before it, harmless ones too: the
    earliest would often be one of those.
    """
    seen = min(
        criterion.at
        for criterion in confirmed[0].confirmation.criteria
        if criterion.met and criterion.at is not None
    )
    rivals = [spike for spike in confirmed if spike.edit <= seen]
    return max(rivals, key=lambda spike: (spike.size, -spike.edit))


def _digests(folder: Path) -> dict[str, str]:
    """Return the digest of each file that was analysed."""
    names = ("config.json", EDITS, CHECKPOINTS, REPLAYS, OVERLAPS)
    return {name: file_sha256(folder / name) for name in names if (folder / name).is_file()}
