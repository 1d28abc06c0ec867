"""The outcome of a hunt: which facts to measure, and how many stand out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..leaderboards.analysis.constants import Constants
from ..leaderboards.analysis.disabling import suspects
from ..leaderboards.analysis.intervals import median
from ..leaderboards.analysis.series import largest
from .observer import Line


def norm_of(line: Line) -> float:
    """Return the largest norm of a matrix's change; infinite where it is no number."""
    return largest(line["update_norm"])


def factor_of(line: Line) -> float | None:
    """Return ROME's division factor, of editors that have one."""
    return line["editor"].get("division_factor")


def to_measure(lines: Sequence[Line], most: int) -> list[Line]:
    """Return the facts to measure: in turn those of the largest norm and of the least factor."""
    by_id = {line["case_id"]: line for line in lines}
    norms = {case_id: norm_of(line) for case_id, line in by_id.items()}
    factors = {case_id: factor_of(line) for case_id, line in by_id.items()}
    chosen = suspects(norms, factors)[:most]
    return [by_id[case_id] for case_id in sorted(chosen, key=lambda case_id: -norms[case_id])]


def summarise(
    lines: Sequence[Line],
    normal: Sequence[Line],
    top: Sequence[Line],
    tried: int,
    constants: Constants,
) -> dict[str, Any]:
    """Return the outcome: how many facts are how far from the usual.

    Args:
        lines: All facts that were edited.
        normal: Those of them that were not picked for their keys: what is usual.
        top: Those that were measured.
        tried: Facts that were looked at.
        constants: Thresholds.
    """
    norms = [norm_of(line) for line in normal]
    usual = median(
        [norm for norm in norms if math.isfinite(norm)] or [0.0],
        draws=constants.bootstrap,
        seed=constants.seed,
    )
    median_norm = usual.value or 0.0

    def ratio(line: Line) -> float:
        return norm_of(line) / median_norm if median_norm else 0.0

    factors = [factor for line in lines if (factor := factor_of(line)) is not None]
    return {
        "facts": tried,
        "edited": len(lines),
        "normal": len(normal),
        "median_norm": usual.model_dump(),
        "largest_ratio": max(map(ratio, lines), default=0.0),
        "spikes": sum(ratio(line) >= constants.spike_factor for line in lines),
        "disabling": sum(ratio(line) >= constants.disabling_factor for line in lines),
        "division_factor": {
            "least": min(map(abs, factors), default=None),
            "negative": sum(factor < 0 for factor in factors),
        },
        "constants": constants.model_dump(
            include={"spike_factor", "disabling_factor", "bootstrap", "seed"}
        ),
        "top": [{**line, "ratio": ratio(line)} for line in top],
    }
