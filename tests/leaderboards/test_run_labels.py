"""What runs are called in a figure of several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench.leaderboards import Result
from seqedit_bench.leaderboards.run_labels import run_labels

Make = Callable[..., Result]
ROME = "runs/quick/gpt2/rome/20261126-070000"


@pytest.mark.parametrize(
    ("one", "other", "labels"),
    [
        ({}, {"editor__name": "memit"}, ["rome", "memit"]),
        ({}, {"data__sample": 2}, ["rome, sample 1", "rome, sample 2"]),
        ({}, {"seed": 7}, ["rome, sample 1, seed 0", "rome, sample 1, seed 7"]),
        (
            {"editor__hparams": {"layers": [1], "v_lr": 0.5}},
            {"editor__hparams": {"layers": [1], "v_lr": 0.1}},
            ["rome, sample 1, v_lr=0.5", "rome, sample 1, v_lr=0.1"],
        ),
        ({}, {}, ["rome, sample 1, a", "rome, sample 1, b"]),
    ],
)
def test_no_more_is_said_than_tells_them_apart(
    one: dict[str, Any], other: dict[str, Any], labels: list[str], make_result: Make
) -> None:
    """Whatever the files are called: `leaderboard.json`, or by the time of the run."""
    runs = [make_result(**one), make_result(**other)]
    for name in ("", "leaderboard.json"):
        paths = [Path("runs", folder, name) for folder in "ab"]
        assert run_labels(list(zip(runs, paths, strict=True))) == labels


def test_folders_of_one_name_are_said_in_full(make_result: Make) -> None:
    runs = [make_result(), make_result(), make_result(editor__name="memit")]
    paths = [Path(ROME), Path("copy", ROME), Path(ROME)]
    assert run_labels(list(zip(runs, paths, strict=True))) == [
        f"rome, sample 1, {ROME}",
        f"rome, sample 1, copy/{ROME}",
        "memit",
    ]
