"""Numbers of single edits out of a journal, and back."""

from __future__ import annotations

from typing import Any

from seqedit_bench.leaderboards.series import lines_of, series_of
from seqedit_bench.leaderboards.summary import curves

EDITS: list[dict[str, Any]] = [
    {"case_id": 7, "metrics": {"es": 1.0, "em": 0.25, "es_nll_new": 2.0}},
    {"case_id": 3, "metrics": {"es": 0.0, "em": None, "ps": 0.5, "es_nll_new": None}},
    {"case_id": 5, "metrics": {"es": 1.0, "em": -0.5, "es_nll_new": 1.0}},
]
CHECKPOINTS: list[dict[str, Any]] = [
    {"edits": 0, "edited": {}},
    {"edits": 2, "edited": {"es": [1.0, 0.0], "em": [0.1, None], "es_nll_new": [1.0, None]}},
    {"edits": 3, "edited": {"es": [0.0, 0.0, 1.0]}},
]


def test_each_metric_is_followed_to_its_last_measurement() -> None:
    series = series_of(EDITS, CHECKPOINTS)
    assert series.case_ids == [7, 3, 5]
    assert series.immediate == {
        "es": [1.0, 0.0, 1.0],
        "em": [0.25, None, -0.5],
        "ps": [None, 0.5, None],
    }
    assert series.not_finite == {"em": [2]}
    assert {name: (each.at, each.values) for name, each in series.retained.items()} == {
        "es": (3, [0.0, 0.0, 1.0]),
        "em": (2, [0.1, None]),
    }


def test_lines_come_back_without_log_likelihoods() -> None:
    """What is not finite stays apart from what an edit does not have: curves take it as 0."""
    back = lines_of(series_of(EDITS, []))
    assert back == [
        {
            "case_id": line["case_id"],
            "metrics": {k: v for k, v in line["metrics"].items() if "_nll" not in k},
        }
        for line in EDITS
    ]
    drawn, again = (curves(lines, [], "sliding").immediate for lines in (EDITS, back))
    assert again == {name: curve for name, curve in drawn.items() if "_nll" not in name}
    assert again["em"].mean_5 == [0.25, 0.125, -0.25 / 3]
    assert again["ps"].mean_5 == [None, 0.5, 0.5]


def test_a_run_without_edits_followed() -> None:
    assert series_of(EDITS[:1], CHECKPOINTS[:1]).retained == {}
