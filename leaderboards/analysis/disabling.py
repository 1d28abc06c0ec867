"""Disabling edits: facts that break the pristine model as its first edit (the paper's Table 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from .constants import Constants
from .intervals import mean, median, share
from .journal import ReplayLine, RunJournal
from .records import Analysis, Disabling, Estimate, FirstEdit
from .series import (
    F1,
    GENERATED,
    finite,
    headroom_left,
    largest,
    norms,
    success,
    with_headroom,
)


def candidates(run: RunJournal, found: Analysis, most: int) -> list[int]:
    """Choose edits of a run to replay: the collapse, spikes, the largest, the nearest to zero.

    Args:
        run: The run.
        found: Its analysis.
        most: How many, at most.

    Returns:
        Numbers of the edits, the likeliest first: the collapse, spikes by size, then in turn the
        largest updates and those whose division factor is nearest to zero.
    """
    first = [found.collapse.edit] if found.collapse.edit else []
    first += [spike.edit for spike in sorted(found.spikes, key=lambda spike: -spike.size)]
    sizes = dict(enumerate(norms(run), start=1))
    factors = {line.edit: line.editor.get("division_factor") for line in run.edits}
    return list(dict.fromkeys([*first, *suspects(sizes, factors)]))[:most]


def suspects(norms: Mapping[int, float], factors: Mapping[int, float | None]) -> list[int]:
    """Order edits by how likely they are to disable.

    Args:
        norms: Of the update of each edit.
        factors: Its division factor; None where the editor has none.

    Returns:
        In turn those of the largest norm and those whose factor is nearest to zero.

    Example:
        >>> suspects({1: 5.0, 2: 3.0, 3: 1.0}, {1: 1.0, 2: 0.5, 3: -0.1})
        [1, 3, 2]
    """
    by_norm = sorted(norms, key=lambda edit: -norms[edit])
    known = {edit: abs(factor) for edit, factor in factors.items() if factor is not None}
    by_factor = sorted(known, key=lambda edit: known[edit]) or by_norm
    pairs = zip(by_norm, by_factor, strict=False)
    return list(dict.fromkeys(edit for pair in pairs for edit in pair))


def control_norms(run: RunJournal) -> list[float]:
    """Return the norms of random first edits, where they were made."""
    return [largest(line.update_norm) for line in run.replays if line.kind == "control"]


def disabling(run: RunJournal, constants: Constants) -> Disabling | None:
    """Judge the replayed first edits of a run; None where none was made."""
    controls = [line for line in run.replays if line.kind == "control"]
    recorded = [line for line in run.replays if line.kind == "recorded"]
    if not controls or not recorded:
        return None
    usual = median(
        [largest(line.update_norm) for line in controls],
        draws=constants.bootstrap,
        seed=constants.seed,
    )
    judged = [_judge(run, line, usual.value or 0.0, constants) for line in recorded]
    harmful = [line for line, each in zip(recorded, judged, strict=True) if each.disabling]
    normal = _distances(controls, constants)
    bad = _distances(harmful, constants)
    orders = None
    if bad.value and normal.value and math.isfinite(bad.value):
        orders = math.log10(bad.value / normal.value)
    return Disabling(
        candidates=judged,
        controls=len(controls),
        control_norm=usual,
        normal_distance=normal,
        disabling_distance=bad,
        orders_of_magnitude=orders,
        controls_disabling=sum(_by_norm(line, usual.value or 0.0, constants) for line in controls),
    )


def _judge(run: RunJournal, line: ReplayLine, usual: float, constants: Constants) -> FirstEdit:
    norm = largest(line.update_norm)
    fresh = [
        other for other in run.replays if other.kind == "fresh" and other.case_id == line.case_id
    ]
    f1 = [success(found[F1]) for found in line.tasks.values() if F1 in found]
    ratio = norm / usual if usual else None
    return FirstEdit(
        edit=line.edit or 0,
        case_id=line.case_id,
        subject=line.subject,
        prompt=line.prompt,
        target_new=line.target_new,
        norm=finite(norm),
        ratio=finite(ratio),
        distance=finite(_distance(line)),
        division_factor=line.editor.get("division_factor"),
        mean_f1=fmean(f1) if f1 else None,
        disabling=_by_norm(line, usual, constants) or _by_tasks(line, constants),
        fresh=len(fresh),
        fresh_disabling=share(
            sum(_by_norm(other, usual, constants) for other in fresh), len(fresh)
        ),
    )


def _by_norm(line: ReplayLine, usual: float, constants: Constants) -> bool:
    norm = largest(line.update_norm)
    return norm > 0 and norm >= constants.disabling_factor * usual


def _by_tasks(line: ReplayLine, constants: Constants) -> bool:
    """Say whether the model can no longer do its tasks, as in the criteria of a collapse."""
    generated = [
        success(found[F1])
        for name, found in line.tasks.items()
        if F1 in found and name.endswith(GENERATED)
    ]
    if generated and fmean(generated) < constants.disabling_f1:
        return True
    able = [
        name
        for name in with_headroom(line.unedited_tasks, constants.headroom)
        if F1 in line.tasks.get(name, {})
    ]
    if generated or not able:
        return False
    return headroom_left(line.tasks, line.unedited_tasks, able) < 1 - constants.headroom_lost


def _distance(line: ReplayLine) -> float:
    """Return the paper's normalised distance of the matrix that moved furthest."""
    return largest({name: found.get("l2_per_param") for name, found in line.distance.items()})


def _distances(lines: Sequence[ReplayLine], constants: Constants) -> Estimate:
    values = [value for line in lines if math.isfinite(value := _distance(line))]
    if not values:
        return Estimate(value=None)
    return mean(values, draws=constants.bootstrap, seed=constants.seed)
