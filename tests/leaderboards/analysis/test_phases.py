"""The phases of a run."""

from __future__ import annotations

from seqedit_bench.leaderboards.analysis.constants import Constants
from seqedit_bench.leaderboards.analysis.phases import phases
from seqedit_bench.leaderboards.analysis.records import Collapse
from seqedit_bench.leaderboards.analysis.series import Points

C = Constants()
NONE = Collapse(kind="none")


def found(retention: Points, collapse: Collapse = NONE, num_edits: int = 50) -> list[tuple]:
    return [
        (phase.name, phase.first, phase.last, phase.first_low, phase.first_high)
        for phase in phases(num_edits, retention, collapse, C)
    ]


def test_nothing_is_forgotten() -> None:
    assert found(Points([10, 20], [1.0, 0.96])) == [("intact", 1, 50, 1, 1)]
    assert found(Points([], [])) == [("intact", 1, 50, 1, 1)]


def test_gradual_forgetting_begins_between_two_checkpoints() -> None:
    retention = Points([10, 20, 30, 40], [1.0, 0.9, 0.97, 0.9])
    assert found(retention) == [("intact", 1, 39, 1, 1), ("gradual", 40, 50, 31, 40)]


def test_all_three() -> None:
    retention = Points([10, 20, 30, 40], [1.0, 0.9, 0.8, 0.0])
    collapse = Collapse(kind="catastrophic", edit=35, low=35, high=35)
    assert found(retention, collapse) == [
        ("intact", 1, 19, 1, 1),
        ("gradual", 20, 34, 11, 20),
        ("collapsed", 35, 50, 35, 35),
    ]


def test_out_of_the_blue() -> None:
    retention = Points([10, 20, 30], [1.0, 1.0, 0.0])
    collapse = Collapse(kind="catastrophic", edit=25, low=25, high=25)
    assert [each[0] for each in found(retention, collapse)] == ["intact", "collapsed"]


def test_broken_by_the_first_edit() -> None:
    collapse = Collapse(kind="catastrophic", edit=1, low=1, high=1)
    assert found(Points([10], [0.0]), collapse) == [("collapsed", 1, 50, 1, 1)]


def test_phases_leave_no_edit_out() -> None:
    for first in range(1, 50):
        collapse = Collapse(kind="gradual", edit=first, low=first, high=first)
        parts = phases(50, Points([10, 20, 30, 40], [1.0, 0.9, 0.8, 0.7]), collapse, C)
        edits = [edit for part in parts for edit in range(part.first, part.last + 1)]
        assert edits == list(range(1, 51))
