"""The table of properties: rules, words and intervals."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.analysis.constants import Constants
from seqedit_bench.leaderboards.analysis.journal import RunJournal, Values
from seqedit_bench.leaderboards.analysis.properties import PropertyRow, properties
from seqedit_bench.leaderboards.analysis.properties_table import (
    PropertiesTable,
    as_json,
    as_markdown,
    cells,
)
from seqedit_bench.leaderboards.analysis.synthetic import Story, synthetic_run

FAST = Constants(permutations=199, bootstrap=100)


def run(story: Story, sample: int = 1, name: str = "rome", **config: Any) -> RunJournal:
    made = synthetic_run(story, seed=sample)
    unedited: Values = {"ns": 0.9}
    made.checkpoints[0].baseline.extend([unedited] * 10)
    request = {"sample": sample, "seed": 0, "hparams": []}
    settings = {**made.config, "editor": {"name": name}, "request": request, **config}
    return dataclasses.replace(made, config=settings, folder=Path(f"{name}-{sample}"))


def row(*runs: RunJournal) -> PropertyRow:
    (found,) = properties(runs, FAST)
    return found


BROKEN = Story(broken_at=150, spikes={150: 300.0})


def test_what_is_measured_ends_at_the_collapse() -> None:
    found = row(run(BROKEN))
    assert (found.collapsed, found.before_collapse) == (1, [149])
    assert found.efficacy.count == 149
    assert found.efficacy.value == pytest.approx(0.95, abs=0.05)
    assert found.efficacy_word == "<100 until collapse"
    assert found.forgetting.value == 0.0
    assert found.downstream_loss.value == pytest.approx(0.0, abs=0.3)


def test_a_run_that_does_not_collapse_says_it_takes_more() -> None:
    broken, whole = run(BROKEN, 1), run(Story(es=1.0), 2)
    found = row(broken, whole)
    assert (found.collapsed, found.before_collapse, found.edits) == (1, [149, None], [300, 300])
    assert "149, >300" in as_markdown([found])


def test_words() -> None:
    forgetful = row(run(Story(es=1.0, forgetting=0.2, decline=0.2)))
    assert forgetful.forgetting_word == "very high"
    assert forgetful.downstream_word == "high"
    assert forgetful.efficacy_word == "100"
    # Synthetic NS is 0.8 and the unedited model's 0.9.
    assert forgetful.locality_lost == pytest.approx(0.1, abs=0.02)


def test_shares_of_tokens_keep_their_value() -> None:
    """A mean of shares is no number of successes: not rounded, and no Wilson interval."""
    made = run(Story(num_edits=20))
    edits = [
        line.model_copy(update={"metrics": {"efficacy": 0.34 if line.edit > 1 else 1.0}})
        for line in made.edits
    ]
    found = row(dataclasses.replace(made, edits=edits)).efficacy
    assert (found.value, found.low) == (pytest.approx(0.373), pytest.approx(0.34))


def test_from_three_runs_on_intervals_are_over_runs() -> None:
    two = row(*(run(Story(num_edits=60), sample) for sample in (1, 2)))
    three = row(*(run(Story(num_edits=60), sample) for sample in (1, 2, 3)))
    assert (two.over, two.efficacy.count) == ("edits", 120)
    assert (three.over, three.efficacy.count) == ("runs", 3)
    assert three.efficacy.high is not None and three.efficacy.high <= 1.0


def test_hyper_parameters_make_an_editor_of_their_own() -> None:
    request = {"sample": 1, "seed": 0, "hparams": ["layer_choice=code"]}
    plain, other = run(Story(num_edits=60)), run(Story(num_edits=60), request=request)
    assert [each.editor for each in properties([plain, other], FAST)] == [
        "rome",
        "rome layer_choice=code",
    ]


def test_the_same_run_twice_is_no_sample() -> None:
    once = run(Story(num_edits=60))
    with pytest.raises(ResultError, match="same sample and seed"):
        properties([once, once], FAST)


def test_runs_on_other_data_are_refused() -> None:
    data = {"edits": "zsre", "files_sha256": {}}
    with pytest.raises(ResultError, match="different data cannot share a table"):
        properties([run(Story(num_edits=60)), run(Story(num_edits=60), 2, data=data)], FAST)


def test_the_one_file_that_differs_is_named() -> None:
    runs = [
        run(Story(num_edits=60), at, data={"files_sha256": {"a.jsonl": "1" * 64, "b.jsonl": each}})
        for at, each in enumerate(("2" * 64, "3" * 64), start=1)
    ]
    with pytest.raises(ResultError) as caught:
        properties(runs, FAST)
    assert 'data.files_sha256, "b.jsonl", is "222' in str(caught.value)
    assert "a.jsonl" not in str(caught.value)


def test_unlike_protocols_are_refused() -> None:
    """Answers of twenty documents, or of facts made ten a call, are other numbers."""
    for name, value in (("batch_size", 10), ("limits", {"sst2_gen": 20})):
        protocol = {"batch_size": 1, name: value}
        with pytest.raises(
            ResultError, match=rf"different protocol .*\.{name}.* is .* in rome-1 and"
        ):
            properties([run(Story(num_edits=60)), run(Story(), 2, protocol=protocol)], FAST)


def test_runs_of_unlike_settings_are_no_samples_of_one_editor() -> None:
    edited = {"name": "rome", "hparams": {"layers": [4]}}
    runs = [run(Story(num_edits=60)), run(Story(num_edits=60), 2, editor=edited)]
    with pytest.raises(ResultError, match=r"rome: layers is None in rome-1 and \[4\] in rome-2"):
        properties(runs, FAST)


def test_where_it_must_have_broken_stands_beside_where_it_seems_to() -> None:
    blind = FAST.model_copy(update={"min_points": 1000})
    (found,) = properties([run(Story(broken_at=200))], blind)
    (place,), (between,) = found.before_collapse, found.before_collapse_between
    assert place is not None and between is not None
    assert between[0] <= place <= between[1]
    assert between[0] <= 199 <= between[1]
    assert f"{place} ({between[0]}-{between[1]})" in as_markdown([found])


def test_formats() -> None:
    rows = properties([run(BROKEN), run(Story(), 1, "<b>|memit")], FAST)
    stream = io.StringIO()
    Console(file=stream, width=160).print(PropertiesTable(rows))
    text = stream.getvalue()
    assert "149" in text and ">300" in text and "not tried" in text
    parts = [part for cell in cells(rows[0], stacked=True) for part in cell.split()]
    for width in (80, 40, 30):
        narrow = io.StringIO()
        Console(file=narrow, width=width).print(PropertiesTable(rows))
        for whole in ("downstream", "forgetting", "disabling", "<b>|memit", *parts):
            assert whole in narrow.getvalue().split(), "broken in the middle"
    markdown = as_markdown(rows)
    assert "&lt;b>\\|memit" in markdown
    assert {line.count(" | ") for line in markdown.splitlines() if line.startswith("| ")} == {7}
    assert json.loads(as_json(rows))[0]["before_collapse"] == [149]
