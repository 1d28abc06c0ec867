"""Rows, numbers, differences and marks, on runs whose every number is known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.analysis.intervals import mean_of_runs, share
from seqedit_bench.leaderboards.compare import Comparison, Run, catalogue, compare
from seqedit_bench.leaderboards.compare.comparison import Cell, Row
from seqedit_bench.leaderboards.compare.estimates import Estimates
from seqedit_bench.leaderboards.compare.metrics import find
from seqedit_bench.leaderboards.compare.rows import Member, group_runs
from told_entries import Tale, made_entry

MakeRun = Callable[..., Run]


def compared(runs: Sequence[Run], *names: str, **given: Any) -> Comparison:
    known = catalogue(runs)
    metrics = [metric for name in names or ("es",) if (metric := find(name, known))]
    assert len(metrics) == len(names or ("es",))
    if "sort" in given:
        given["sort"] = find(given["sort"], known)
    return compare(runs, metrics, metrics[0], **{"draws": 400, **given})


def row_of(found: Comparison, label: str) -> Row:
    (row,) = [row for row in found.rows if row.group.label == label]
    return row


def cell(found: Comparison, label: str, metric: str = "es") -> Cell:
    place = [each.name for each in found.metrics].index(metric)
    return row_of(found, label).cells[place]


def flips(seed: int, level: float, edits: int = 60) -> list[float]:
    return (np.random.default_rng(seed).random(edits) < level).astype(float).tolist()


def test_a_row_is_the_mean_over_samples(make_run: MakeRun) -> None:
    runs = [
        make_run(sample=1, es=[1.0, 1.0, 0.0, 0.0]),
        make_run(sample=2, es=[1.0, 1.0, 1.0, 1.0]),
    ]
    found = compared(runs)
    assert cell(found, "rome").number.value == 0.75
    assert cell(found, "rome").number.count == 8
    assert row_of(found, "rome").group.samples == [1, 2]


def test_seeds_of_one_sample_are_averaged_before_samples(make_run: MakeRun) -> None:
    runs = [
        make_run(sample=1, seed=0, es=[0.0, 0.0]),
        make_run(sample=1, seed=1, es=[0.0, 0.0]),
        make_run(sample=2, es=[1.0, 1.0]),
    ]
    assert cell(compared(runs), "rome").number.value == 0.5


def test_several_hyper_parameters_are_several_rows(make_run: MakeRun) -> None:
    runs = [
        make_run(sample=sample, changes={"editor__hparams": {"layers": [1], "v_lr": rate}})
        for sample in (1, 2)
        for rate in (0.1, 0.5)
    ]
    found = compared(runs)
    assert sorted(row.group.label for row in found.rows) == ["rome v_lr=0.1", "rome v_lr=0.5"]
    assert all(row.group.samples == [1, 2] for row in found.rows)


def test_two_runs_of_one_draw_are_not_two_samples(make_run: MakeRun) -> None:
    runs = [make_run(run="before"), make_run(run="after")]
    found = compared(runs)
    assert [row.group.label for row in found.rows] == ["rome (after.json)", "rome (before.json)"]
    assert any("same sample and seed" in note for note in found.notes)


def test_the_best_is_marked_and_what_may_be_as_good(make_run: MakeRun) -> None:
    base = flips(0, 0.9)
    nearly = [*base[:-1], 1.0 - base[-1]] if base[-1] else [0.0, *base[1:]]
    runs = [
        make_run("best", es=[1.0] * 60),
        make_run("same", es=[1.0] * 60),
        make_run("near", es=[*[1.0] * 59, 0.0]),
        make_run("bad", es=nearly[:30] + [0.0] * 30),
    ]
    found = compared(runs)
    marks = {row.group.label: row.cells[0].mark for row in found.rows}
    assert marks == {"best": "best", "same": "tied", "near": "tied", "bad": ""}
    same = cell(found, "same").to_best
    assert same is not None
    assert (same.value, same.low, same.high, same.count) == (0.0, 0.0, 0.0, 60)
    bad = cell(found, "bad").to_best
    assert bad is not None and bad.high is not None and bad.high < 0
    assert cell(found, "best").to_best is None


def test_less_is_better_where_it_is(make_run: MakeRun) -> None:
    runs = [
        make_run("quick", changes={"cost__seconds_edit": 1.0}),
        make_run("slow", changes={"cost__seconds_edit": 9.0}),
    ]
    found = compared(runs, "seconds")
    assert [row.group.label for row in found.rows] == ["quick", "slow"]
    assert cell(found, "quick", "seconds").mark == "best"
    assert cell(found, "slow", "seconds").mark == ""


def test_the_control_is_compared_with_and_wins_nothing(make_run: MakeRun) -> None:
    runs = [
        make_run("none", ns=[1.0, 1.0, 1.0, 1.0]),
        make_run("rome", ns=[1.0, 0.5, 1.0, 1.0]),
        make_run("ft", ns=[0.0, 0.5, 0.0, 0.0]),
    ]
    found = compared(runs, "ns")
    assert {row.group.label: row.cells[0].mark for row in found.rows} == {
        "none": "",
        "rome": "best",
        "ft": "",
    }
    delta = cell(found, "rome", "ns").to_control
    assert delta is not None and (delta.value, delta.count) == (-0.125, 4)
    assert cell(found, "none", "ns").to_control is None
    assert cell(compared(runs[1:], "ns"), "rome", "ns").to_control is None


def test_a_single_row_is_not_the_best_of_anything(make_run: MakeRun) -> None:
    assert cell(compared([make_run()]), "rome").mark == ""


def test_pairs_are_the_same_facts_at_the_same_place(make_run: MakeRun) -> None:
    ours = make_run("a", es=[1.0, 1.0, 0.0], case_ids=[1, 2, 3])
    same = make_run("b", es=[1.0, 0.0, 0.0], case_ids=[1, 2, 3])
    other = make_run("b", es=[1.0, 0.0, 0.0], case_ids=[1, 3, 2])
    paired = cell(compared([ours, same]), "b").to_best
    assert paired is not None and (paired.count, paired.value) == (3, pytest.approx(-1 / 3))
    apart = cell(compared([ours, other]), "b").to_best
    assert apart is not None and apart.value is None


def test_only_samples_in_common_are_paired(make_run: MakeRun) -> None:
    runs = [
        make_run("a", sample=1, es=[1.0] * 4),
        make_run("a", sample=2, es=[1.0] * 4),
        make_run("b", sample=2, es=[0.0, 1.0, 1.0, 1.0]),
        make_run("b", sample=3, es=[0.0] * 4),
    ]
    found = cell(compared(runs), "b")
    assert found.number.value == 0.375
    assert found.to_best is not None
    assert (found.to_best.value, found.to_best.count) == (-0.25, 4)


def test_pairing_makes_intervals_narrow(make_run: MakeRun) -> None:
    """The same facts fail for both editors: the difference is known better than either number."""
    ours = flips(1, 0.5)
    theirs = [*(0.0 for _ in ours[:3]), *ours[3:]]
    found = cell(compared([make_run("a", es=ours), make_run("b", es=theirs)]), "b")
    assert found.to_best is not None and found.to_best.low is not None
    assert found.number.low is not None and found.number.high is not None
    assert found.to_best.high is not None
    assert found.to_best.high - found.to_best.low < 0.5 * (found.number.high - found.number.low)


def test_s_has_an_interval_and_agrees_with_the_summary(make_run: MakeRun) -> None:
    scores = {name: flips(at, 0.8) for at, name in enumerate(("es", "ps", "ns"))}
    run = make_run(**scores)
    found = cell(compared([run], "s"), "rome", "s").number
    assert found.value == pytest.approx(run.result.summary.immediate["s"])
    assert found.low is not None and found.high is not None and found.value is not None
    assert found.low < found.value < found.high
    zsre = {name: flips(at, 0.8) for at, name in enumerate(("efficacy", "paraphrase"))}
    questions = make_run(specificity=flips(5, 0.3), **zsre)
    found = cell(compared([questions], "s"), "rome", "s").number
    assert found.value == pytest.approx(questions.result.summary.immediate["s"])


def test_s_of_two_scores_is_recognised_by_its_value(make_run: MakeRun) -> None:
    """A suite may leave a score out of S; which ones it has the results say by their numbers."""
    es, ps, ns = flips(1, 0.9), flips(2, 0.5), flips(3, 0.7)
    run = make_run(es=es, ps=ps, ns=ns)
    mean = run.result.summary.immediate
    mean["s"] = 2 / (1 / mean["es"] + 1 / mean["ns"])
    found = cell(compared([run], "s"), "rome", "s").number
    assert found.value == pytest.approx(mean["s"]) and found.low is not None
    mean["s"] = 0.123
    found = cell(compared([run], "s"), "rome", "s").number
    assert (found.value, found.low) == (0.123, None)


def test_all_successes_are_not_certainty(make_run: MakeRun) -> None:
    found = cell(compared([make_run(es=[1.0] * 20)]), "rome").number
    assert (found.low, found.high) == (share(20, 20).low, share(20, 20).high)
    none = cell(compared([make_run(es=[0.0] * 20)]), "rome").number
    assert (none.low, none.high) == (share(0, 20).low, share(0, 20).high)


def test_a_fact_counts_once(make_run: MakeRun) -> None:
    """However many seeds and samples it comes in: asked again it says nothing of other facts."""
    seeds = [make_run(seed=seed, es=[1.0] * 20) for seed in range(4)]
    found = cell(compared(seeds), "rome").number
    assert (found.count, found.low, found.high) == (20, share(20, 20).low, 1.0)
    again = make_run(sample=2, es=[1.0] * 20, case_ids=range(110, 130))
    found = cell(compared([*seeds, again]), "rome").number
    assert (found.count, found.low) == (30, share(30, 30).low)
    kept = [
        make_run(seed=0, es=[1.0, 1.0, 0.0], kept={"es": [1.0, 1.0, 1.0]}),
        make_run(seed=1, es=[0.0, 1.0, 0.0], kept={"es": [1.0, 1.0, 1.0]}),
    ]
    found = cell(compared(kept, "kept_es"), "rome", "kept_es").number
    assert (found.count, found.low) == (2, share(2, 2).low)
    both = [make_run(editor, sample=at, es=[1.0] * 3, case_ids=[at, 3, 4])
            for editor in ("a", "b") for at in (1, 2)]  # fmt: skip
    pairs = cell(compared(both), "b").to_best
    assert pairs is not None and pairs.count == 4


@pytest.mark.parametrize("facts", [46, 125], ids=["overlapping", "disjoint"])
def test_intervals_over_samples_cover_the_truth(facts: int, make_run: MakeRun) -> None:
    """Five samples of 25 facts, of 46 or of ones of their own; a fact is as hard in all of them.

    Drawn sample by sample, fewer than eight in ten would cover it where the samples overlap.
    """
    generator, truth, covered = np.random.default_rng(5), 0.6, 0
    for at in range(120):
        works = (generator.random(facts) < truth).astype(float)
        orders = [generator.permutation(46)[:25] for _ in range(5)]
        if facts == 125:
            orders = np.split(generator.permutation(facts), 5)
        runs = [
            make_run(sample=sample, es=works[order], case_ids=(order + 1000 * at).tolist())
            for sample, order in enumerate(orders, start=1)
        ]
        found = cell(compared(runs, draws=300), "rome").number
        assert found.low is not None and found.high is not None
        covered += found.low <= truth <= found.high
    assert 0.88 <= covered / 120 <= 0.99, covered


def test_kept_is_of_what_worked_at_once(make_run: MakeRun) -> None:
    run = make_run(es=[1.0, 1.0, 0.0, 1.0], kept={"es": [1.0, 0.0, 1.0, None]})
    found = cell(compared([run], "kept_es", "retained_es"), "rome", "kept_es").number
    assert (found.value, found.count) == (pytest.approx(1 / 3), 3)
    again = cell(compared([run], "retained_es"), "rome", "retained_es").number
    assert (again.value, again.count) == (0.5, 4)


def test_nothing_learned_has_no_retention(make_run: MakeRun) -> None:
    runs = [
        make_run("never", es=[0.0, 0.0], kept={"es": [0.0, 1.0]}),
        make_run("rome", es=[1.0, 1.0], kept={"es": [0.0, 1.0]}),
    ]
    found = compared(runs, "kept_es")
    assert cell(found, "never", "kept_es").number.value is None
    assert cell(found, "rome", "kept_es").number.value == 0.5
    assert [row.group.label for row in found.rows] == ["rome", "never"]


def test_numbers_of_whole_runs_have_students_interval(make_run: MakeRun) -> None:
    tasks = [0.5, 0.6, 0.8]
    runs = [
        make_run(editor, sample=at, changes={"curves__tasks__sst2_ll__metrics__weighted_f1": curve})
        for editor, less in (("rome", 0.0), ("ft", 0.1))
        for at, value in enumerate(tasks)
        for curve in ([0.8, None, value - less],)
    ]
    for run in runs:
        run.result.curves.tasks["sst2_ll"].edits = [0, 2, 4]
    found = compared(runs, "f1", "sst2_ll.weighted_f1")
    number = cell(found, "rome", "f1").number
    wanted = mean_of_runs(tasks)
    assert (number.value, number.low, number.count) == (wanted.value, wanted.low, 3)
    assert number.high == min(1.0, wanted.high or 0)
    # The difference is the same in all samples: known exactly, though the numbers are not.
    difference = cell(found, "ft", "f1").to_best
    assert difference is not None and difference.count == 3
    assert difference.value == pytest.approx(-0.1)


def test_one_sample_has_no_interval_for_numbers_of_whole_runs(make_run: MakeRun) -> None:
    found = cell(compared([make_run()], "memory"), "rome", "memory").number
    assert (found.value, found.low, found.count) == (2**30, None, 1)


def test_equal_samples_do_not_make_certain(make_run: MakeRun) -> None:
    found = cell(compared([make_run(sample=at) for at in (1, 2)], "memory"), "rome", "memory")
    assert (found.number.low, found.number.count) == (None, 2)


def test_a_bare_result_has_values_and_no_intervals(make_run: MakeRun) -> None:
    runs = [make_run("rome", bare=True), make_run("memit", es=[1.0, 1.0, 1.0, 1.0])]
    found = compared(runs)
    bare = cell(found, "rome")
    assert (bare.number.value, bare.number.low) == (0.75, None)
    assert bare.to_best is not None
    assert (bare.to_best.value, bare.to_best.low, bare.to_best.count) == (-0.25, None, 1)
    assert bare.mark == ""
    assert cell(found, "memit").number.low is not None
    assert "no intervals from single edits for rome-1-0.json: a result file has none" in found.notes


def test_at_looks_at_the_first_edits(make_run: MakeRun) -> None:
    long = make_run("a", es=[1.0, 1.0, 0.0, 0.0, 0.0, 0.0], kept={"es": [1.0] * 6})
    short = make_run("b", es=[1.0, 0.0], case_ids=[100, 101])
    found = compared([long, short], "es", "kept_es", "seconds", at=2)
    assert cell(found, "a").number.value == 1.0
    difference = cell(found, "b").to_best
    assert difference is not None and (difference.value, difference.count) == (-0.5, 2)
    assert cell(found, "a", "kept_es").number.value is None
    # The short run is whole, so its cost is known; of the long one's there is only the total.
    assert cell(found, "a", "seconds").number.value is None
    assert cell(found, "b", "seconds").number.value is not None
    assert "not known after 2 edits: kept ES" in found.notes


def test_at_takes_the_last_measurement_before(make_run: MakeRun) -> None:
    run = make_run(
        es=[1.0] * 10,
        kept={"es": [1.0] * 10},
        changes={
            "curves__retention__es": {
                "edits": [5, 10],
                "instant": [0.9, 0.1],
                "sticky": [0.8, 0.1],
                "all_edits": [0.7, 0.1],
            }
        },
    )
    for at, kept, f1, moved in ((4, None, 0.8, 0.0), (5, 0.9, None, 0.1), (9, 0.9, None, 0.1)):
        found = compared([run], "kept_es", "f1", "moved", at=at)
        values = [each.number.value for each in found.rows[0].cells]
        assert values == [kept, f1, moved], at
    whole = [each.number.value for each in compared([run], "kept_es", "f1", at=10).rows[0].cells]
    assert whole == [1.0, 0.25]


@pytest.mark.parametrize(
    ("changes", "at", "says"),
    [
        ({}, 5, "--at 5, and the run is of 4 edits"),
        ({"protocol__batch_size": 2}, 3, "a multiple of 2"),
        ({"protocol__mode": "batch-single"}, 2, "a multiple of 4"),
    ],
)
def test_at_is_refused_where_it_means_nothing(
    changes: dict[str, Any], at: int, says: str, make_run: MakeRun
) -> None:
    with pytest.raises(ResultError, match=says):
        compared([make_run(changes=changes)], at=at)


def test_runs_of_other_lengths_need_at(make_run: MakeRun) -> None:
    runs = [make_run("a", es=[1.0] * 6), make_run("b", es=[1.0] * 4)]
    with pytest.raises(ResultError, match="--at 4"):
        compared(runs)
    assert len(compared(runs, at=4).rows) == 2


def test_a_run_that_ended_early_is_compared_up_to_there(make_run: MakeRun) -> None:
    runs = [
        make_run("a", es=[1.0, 1.0, 0.0, 0.0]),
        make_run("mend", es=[1.0, 0.0], asked=4, case_ids=[100, 101]),
    ]
    found = compared(runs)
    assert cell(found, "mend").number.value == 0.5
    difference = cell(found, "mend").to_control or cell(found, "a").to_best
    assert difference is None or difference.count == 2
    assert any("ended after 2 of 4 edits" in note for note in found.notes)


def test_other_code_of_the_same_seed_is_in_the_mean_of_the_seed(make_run: MakeRun) -> None:
    """Rows of the board may have several runs of a sample and seed; none of them is left out."""
    changes = [{"cost__seconds_edit": seconds} for seconds in (4.0, 8.0, 12.0)]
    ours = [
        make_run("a", seed=at, changes=each) for at, each in zip((0, 0, 1), changes, strict=True)
    ]
    theirs = [make_run("b", seed=at, changes=changes[0]) for at in (0, 1)]
    members = [Member(run, 4) for run in (*ours, *theirs)]
    groups = group_runs(members)
    assert [len(group.members) for group in groups] == [3, 2]
    metric = catalogue([*ours, *theirs])["seconds"]
    assert (
        Estimates(groups, [metric]).difference(groups[0], groups[1], metric).value
        == (0.5 + 2.0) / 2
    )


def test_editors_of_one_name_from_two_places_have_a_row_each() -> None:
    """As on the board. A run that is no entry yet is of the only one there is, or has its own."""
    tales = [Tale("mine", sample=1), Tale("mine", sample=2, team="B")]
    there = {"code": "https://example.org/b", "licence": "MIT"}
    tales += [Tale("mine", sample=at, team="B", card=there) for at in (1, 2)]
    entries = [made_entry(tale) for tale in tales]
    runs = [Run(f"run{at}", e.result, e.series, e) for at, e in enumerate(entries)]
    bare = Run("bare", entries[0].result, entries[0].series)

    def rows(*chosen: Run) -> dict[str, list[str]]:
        groups = group_runs([Member(run, 60) for run in chosen])
        return {group.label: [each.run.name for each in group.members] for group in groups}

    assert rows(runs[2], runs[3], bare) == {"mine": ["run2", "run3", "bare"]}
    assert rows(runs[0], runs[2]) == {"mine (seqedit-bench)": ["run0"], "mine (B)": ["run2"]}
    assert set(rows(runs[1], runs[2])) == {"mine (built in)", "mine (https://example.org/b)"}
    other = made_entry(Tale("mine", sample=3, team="C", card={**there, "code": "https://c.org"}))
    third = Run("third", other.result, other.series, other)
    assert rows(bare, runs[2], third) == {
        "mine (no entry)": ["bare"], "mine (C)": ["third"], "mine (B)": ["run2"],
    }  # fmt: skip


def test_a_row_of_two_codes_says_so(make_run: MakeRun) -> None:
    runs = [
        make_run(sample=at, changes={"editor__code_sha256": code})
        for at, code in enumerate("ab", start=1)
    ]
    assert compared(runs).notes == ["rome: the editor's code is not the same in all of its runs"]
    assert compared(runs[:1]).notes == []


def test_what_a_task_of_the_harness_gives_can_be_anything(make_run: MakeRun) -> None:
    """BLEU is no share, and of TER less is better: nothing is made of what is not known."""

    def task(bleu: float, ter: float) -> dict[str, Any]:
        final = {"bleu": bleu, "ter": ter, "acc": 0.5}
        curves = {"edits": [0, 4], "metrics": {name: [1.0, each] for name, each in final.items()}}
        summary = {name: {"unedited": 1.0, "final": each} for name, each in final.items()}
        return {"curves__tasks": {"wmt": curves}, "summary__tasks": {"wmt": summary}}

    runs = [
        make_run(sample=at, changes=task(bleu, 60.0))
        for at, bleu in enumerate([23.5, 25.1, 24.0], start=1)
    ] + [make_run("memit", changes=task(20.0, 70.0))]
    found = compared(runs, "wmt.bleu", "wmt.ter", "wmt.acc")
    bleu = cell(found, "rome", "wmt.bleu").number
    assert bleu.value == pytest.approx(24.2)
    assert bleu.low is not None and bleu.high is not None
    assert bleu.low < 24.2 < bleu.high
    assert found.metrics[0].text(bleu.value) == "24.2"
    assert [metric.better for metric in found.metrics] == [0, 0, 1]
    assert [metric.unit for metric in found.metrics] == ["", "", "%"]


def test_settings_that_one_lacks_are_told_from_null(make_run: MakeRun) -> None:
    hparams = [{}, {"v_lr": None}, {"v_lr": 0.1234567}, {"v_lr": 0.12345678}]
    runs = [make_run(changes={"editor__hparams": each}) for each in hparams]
    labels = sorted(row.group.label for row in compared(runs).rows)
    assert labels == ["rome", "rome v_lr=0.1234567", "rome v_lr=0.12345678", "rome v_lr=null"]


def test_downstream_kept_is_what_is_left_above_a_constant_answer(make_run: MakeRun) -> None:
    def task(*values: float) -> dict[str, Any]:
        return {
            "edits": [0, 2, 4],
            "metrics": {"weighted_f1": list(values), "constant_f1": [0.3] * 3},
        }

    changes = {
        "curves__tasks": {"sst2_ll": task(0.8, 0.55, 0.2), "cola_ll": task(0.31, 0.1, 0.1)},
        "summary__tasks": {
            name: {"weighted_f1": {"unedited": f1}, "constant_f1": {"unedited": 0.3}}
            for name, f1 in (("sst2_ll", 0.8), ("cola_ll", 0.31))
        },
    }
    runs = [make_run(sample=at, changes=changes) for at in (1, 2)]
    runs += [make_run("nothing_to_lose", changes={"summary__tasks": {}})]
    found = compared(runs, "downstream_kept")
    assert cell(found, "rome", "downstream_kept").number.value == pytest.approx(-0.2)
    assert cell(found, "nothing_to_lose", "downstream_kept").number.value is None
    early = compared(runs, "downstream_kept", at=3)
    assert cell(early, "rome", "downstream_kept").number.value == pytest.approx(0.5)


def test_what_is_not_finite_ends_the_edits_before_collapse(make_run: MakeRun) -> None:
    runs = [
        make_run("mend", collapse=4, changes={"ending__collapsed_at": 3}),
        make_run("rome", collapse=2, changes={"ending__collapsed_at": 3}),
    ]
    found = compared(runs, "collapse")
    assert [cell(found, name, "collapse").number.value for name in ("mend", "rome")] == [2, 1]


def test_collapse_is_counted_in_edits_before_it(make_run: MakeRun) -> None:
    runs = [make_run("mend", collapse=3), make_run("rome")]
    found = compared(runs, "collapse")
    assert cell(found, "mend", "collapse").number.value == 2
    assert not cell(found, "mend", "collapse").open_ended
    assert cell(found, "rome", "collapse").number.value == 4
    assert cell(found, "rome", "collapse").open_ended
    before = compared(runs, "collapse", at=2)
    assert all(row.cells[0].open_ended and row.cells[0].number.value == 2 for row in before.rows)


def test_a_metric_that_was_not_finite_has_no_mean(make_run: MakeRun) -> None:
    """As in the summary; an edit that has no such metric is another matter."""
    assert "em" not in catalogue([make_run(es=[1.0, 1.0], em=[0.5, math.nan])])
    scores = {"es": [1.0, 1.0], "ns": [0.5, 0.5]}
    runs = [
        make_run("a", ps=[0.5, 1.0], **scores),
        make_run("absent", ps=[0.5, None], **scores),
        make_run("broken", ps=[0.5, math.nan], **scores),
    ]
    found = compared(runs, "ps", "s")
    for name, ps in (("a", 0.75), ("absent", 0.5), ("broken", None)):
        assert cell(found, name, "ps").number.value == ps
        assert (cell(found, name, "s").number.value is None) == (ps is None)
    assert cell(compared(runs, "ps", at=1), "broken", "ps").number.value == 0.5


def test_what_was_not_finite_is_a_failure_in_curves_and_kept(make_run: MakeRun) -> None:
    es = [1.0] * 5 + [math.nan] * 2 + [None] * 3
    runs = [make_run("a", es=es, kept={"es": [1.0] * 10}), make_run("b", es=[1.0] * 10)]
    found = compared(runs, "es", "kept_es")
    assert row_of(found, "a").curve == [1.0] * 5 + [0.0] * 2 + [None] * 3
    assert cell(found, "a", "kept_es").number.count == 5


def test_metrics_that_only_some_have(make_run: MakeRun) -> None:
    runs = [make_run("a", es=[1.0, 0.0]), make_run("b", ps=[1.0, 0.0])]
    found = compared(runs, "es", "ps")
    assert cell(found, "a", "ps").number.value is None
    assert cell(found, "b", "es").to_best is None
    assert cell(found, "a", "es").mark == ""


def test_rows_are_sorted_best_first_and_unknown_last(make_run: MakeRun) -> None:
    runs = [
        make_run("a", es=[0.0, 1.0]),
        make_run("b", es=[1.0, 1.0]),
        make_run("c", ps=[1.0, 1.0]),
    ]
    assert [row.group.label for row in compared(runs).rows] == ["b", "a", "c"]
    assert [row.group.label for row in compared(runs, reverse=True).rows] == ["a", "b", "c"]
    assert [row.group.label for row in compared(runs, sort="ps").rows] == ["c", "a", "b"]


def test_curves_are_means_over_stretches(make_run: MakeRun) -> None:
    runs = [make_run(sample=1, es=[1.0] * 20), make_run(sample=2, es=[0.0] * 10 + [1.0] * 10)]
    assert compared(runs).rows[0].curve == [0.5] * 5 + [1.0] * 5
    scores = {name: [1.0] * 10 + [0.5] * 10 for name in ("es", "ps", "ns")}
    assert compared([make_run(**scores)], "s").rows[0].curve == [1.0] * 5 + [0.5] * 5


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_the_order_of_runs_does_not_matter(data: st.DataObject, make_run: MakeRun) -> None:
    """Whatever is compared, the numbers and rows are the same in any order of the inputs."""
    from seqedit_bench.leaderboards.compare.records import as_json

    runs = [
        make_run(editor, sample=sample, es=flips(at, 0.7, 12), ps=flips(at + 50, 0.5, 12))
        for at, (editor, sample) in enumerate(itertools.product(("none", "a", "b"), (1, 2)))
    ]
    mixed = data.draw(st.permutations(runs))
    texts = [as_json(compared(each, "es", "ps", "memory", draws=100)) for each in (runs, mixed)]
    assert texts[0] == texts[1]


def test_a_seed_is_a_result(make_run: MakeRun) -> None:
    runs = [make_run(es=flips(1, 0.5, 30))]
    bounds = [cell(compared(runs, seed=seed), "rome").number.low for seed in (0, 0, 1, 2, 3)]
    assert bounds[0] == bounds[1]
    assert len(set(bounds)) > 1
