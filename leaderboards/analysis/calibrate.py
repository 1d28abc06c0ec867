"""How often the analysis finds what is not there, and misses what is: on synthetic runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..transfer import wilson
from .analyse import analyse
from .constants import Constants
from .records import Analysis
from .synthetic import Story, synthetic_run


class Rate(NamedTuple):
    """How often something was found in synthetic runs, with a 95 % Wilson interval."""

    story: str
    found: str
    times: int
    runs: int
    low: float
    high: float
    wanted: bool
    """Whether it is there to be found."""


_Question = tuple[str, Callable[[Analysis], bool], bool]
_BROKEN_AT, _NEAR = 150, 10


def _changes(found: Analysis) -> bool:
    return any(change.significant for change in found.change_points)


def _kind(name: str) -> Callable[[Analysis], bool]:
    return lambda found: found.collapse.kind == name


def _at(found: Analysis) -> bool:
    edit = found.collapse.edit
    return edit is not None and abs(edit - _BROKEN_AT) <= _NEAR


def _covered(found: Analysis) -> bool:
    change = next((each for each in found.change_points if each.series == "es"), None)
    if change is None or change.low is None or change.high is None:
        return False
    return change.low <= _BROKEN_AT <= change.high


_STORIES: list[tuple[str, Story, list[_Question]]] = [
    (
        "noise",
        Story(),
        [
            ("spike", lambda found: bool(found.spikes), False),
            ("collapse", lambda found: found.collapse.kind != "none", False),
            ("change point in any of six series", _changes, False),
            ("onset", lambda found: any(each.at for each in found.onsets), False),
        ],
    ),
    (
        "noise, one edit in five fails",
        Story(es=0.8),
        [("collapse", lambda found: found.collapse.kind != "none", False)],
    ),
    (
        "one fact in fifty forgotten from checkpoint to checkpoint",
        Story(forgetting=0.02),
        [
            ("collapse", lambda found: found.collapse.kind != "none", False),
            ("change point in any of six series", _changes, False),
        ],
    ),
    (
        "one fact in ten lost at once",
        Story(lost_at_once=0.1),
        [("change point in any of six series", _changes, False)],
    ),
    (
        "a large update that breaks nothing",
        Story(spikes={_BROKEN_AT: 200.0}),
        [
            ("spike", lambda found: bool(found.spikes), True),
            ("collapse", lambda found: found.collapse.kind != "none", False),
        ],
    ),
    (
        f"broken by edit {_BROKEN_AT}",
        Story(broken_at=_BROKEN_AT, spikes={_BROKEN_AT: 200.0}),
        [
            ("catastrophic collapse", _kind("catastrophic"), True),
            ("at that very edit", lambda found: found.collapse.edit == _BROKEN_AT, True),
            ("change of ES, interval covers it", _covered, True),
        ],
    ),
    (
        f"broken at {_BROKEN_AT} without a large update",
        Story(broken_at=_BROKEN_AT),
        [
            ("gradual collapse", _kind("gradual"), True),
            (f"within {_NEAR} edits", _at, True),
        ],
    ),
    (
        "broken for 60 edits, then as before",
        Story(broken_at=_BROKEN_AT, recovers_at=_BROKEN_AT + 60, spikes={_BROKEN_AT: 200.0}),
        [("collapse", lambda found: found.collapse.kind != "none", False)],
    ),
]


def calibrate(
    runs: int,
    constants: Constants,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> list[Rate]:
    """Count what is found in synthetic runs of 300 edits.

    Args:
        runs: Of each story.
        constants: Thresholds.
        progress: Told how far this has come.
    """
    rates = []
    for at, (story_name, story, questions) in enumerate(_STORIES):
        counts = [0] * len(questions)
        for seed in range(runs):
            found = analyse(synthetic_run(story, seed), constants)
            for index, (_, holds, _) in enumerate(questions):
                counts[index] += holds(found)
            progress("synthetic runs", at * runs + seed + 1, len(_STORIES) * runs)
        for (question, _, wanted), count in zip(questions, counts, strict=True):
            low, high = wilson(count, runs)
            rates.append(Rate(story_name, question, count, runs, low, high, wanted))
    return rates
