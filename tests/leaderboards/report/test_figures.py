"""Figures for a paper."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from reported import FAST
from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.analysis.journal import RunJournal
from seqedit_bench.leaderboards.report.figures import write_figures


def test_three_figures_twice(runs: list[RunJournal], tmp_path: Path) -> None:
    written = write_figures(runs, tmp_path / "figures", FAST)
    assert [path.name for path in written] == [
        f"figure{number}.{ending}" for number in (1, 2, 3) for ending in ("png", "svg")
    ]
    first, second, third = (path.read_text(encoding="utf-8") for path in written[1::2])
    for text in ("rome", "ft_c", "memit", "edits"):
        assert text in first
    assert "ES" in first and "sticky (the paper)" in second
    assert "sst2_gen" in third and "3 down_proj" in third
    # Ticks of the log axis are text, not formulas that nothing sets.
    assert "mathdefault" not in third
    again = write_figures(runs, tmp_path / "again", FAST)
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]


def test_more_runs_than_a_row_holds(runs: list[RunJournal], tmp_path: Path) -> None:
    many = [dataclasses.replace(runs[0], folder=Path(f"run{at}")) for at in range(5)]
    write_figures(many, tmp_path, FAST)
    assert "(run4)" in (tmp_path / "figure1.svg").read_text(encoding="utf-8")


def test_nothing_measured_draws_empty_axes(runs: list[RunJournal], tmp_path: Path) -> None:
    write_figures([dataclasses.replace(runs[0], checkpoints=[])], tmp_path, FAST)
    assert (tmp_path / "figure3.png").stat().st_size > 1000


def test_a_folder_that_cannot_be_made(runs: list[RunJournal], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ResultError, match="cannot be written"):
        write_figures(runs, tmp_path / "file" / "figures", FAST)
