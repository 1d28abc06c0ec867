"""The analysis in the terminal: everything is there, and nothing is markup."""

from __future__ import annotations

import io

from rich.console import Console

from seqedit_bench.leaderboards.analysis import Constants
from seqedit_bench.leaderboards.analysis.analyse import analyse
from seqedit_bench.leaderboards.analysis.records import Collapse
from seqedit_bench.leaderboards.analysis.show import analysis_tables, verdict
from seqedit_bench.leaderboards.analysis.synthetic import Story, synthetic_run

FAST = Constants(permutations=199, bootstrap=100)


def shown(story: Story, subject: str | None = None) -> str:
    run = synthetic_run(story)
    if subject is not None:
        run.edits[149] = run.edits[149].model_copy(update={"subject": subject})
    stream = io.StringIO()
    Console(file=stream, width=160).print(analysis_tables(analyse(run, FAST)))
    return stream.getvalue()


def test_a_collapse() -> None:
    text = shown(Story(broken_at=150, spikes={150: 300.0}))
    assert "catastrophic collapse at edit 150" in text
    assert "Subject 150" in text
    assert "retention" in text and "collapsed" in text and "growth of distance" in text


def test_no_collapse() -> None:
    assert "no collapse in 300 edits" in shown(Story())


def test_a_verdict_stays_a_sentence() -> None:
    run = synthetic_run(Story(num_edits=60))
    found = analyse(run, FAST)
    undecided = found.collapse.model_copy(update={"undecided": list(range(31, 50))})
    text = verdict(found.model_copy(update={"collapse": undecided})).plain
    assert text.endswith("too little was measured to judge the spike at 31, 32, 33 and 16 more")
    slow = Collapse(kind="gradual", edit=11, low=1, high=61)
    text = verdict(found.model_copy(update={"collapse": slow})).plain
    assert text == "collapse without a spike near edit 11 (1 to 61)"


def test_names_are_not_markup() -> None:
    text = shown(Story(spikes={150: 300.0}), subject="[bold]x[/bold]\x1b[2J")
    assert "[bold]x[/bold]\N{REPLACEMENT CHARACTER}[2J" in text


def test_a_run_full_of_spikes_lists_the_largest() -> None:
    text = shown(Story(spikes={at: 100.0 + at for at in range(50, 290, 10)}))
    assert "the largest 12 of 24" in text
    assert "Subject 280" in text
