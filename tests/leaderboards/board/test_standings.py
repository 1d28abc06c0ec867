"""What may share a table, what a row is, and which is better."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seqedit_bench.leaderboards.board.filed import Filed, read_entries
from seqedit_bench.leaderboards.board.measures import BY_KEY, MEASURES
from seqedit_bench.leaderboards.board.rows import Row
from seqedit_bench.leaderboards.board.standings import (
    Standing,
    clearly_better,
    rank,
    standings,
)
from seqedit_bench.leaderboards.compare import catalogue, compare, read_runs
from seqedit_bench.leaderboards.compare.downstream import able_tasks, downstream_kept
from told_entries import Tale, made_entry, write_entries


def filed(*tales: Tale) -> list[Filed]:
    made = [made_entry(tale) for tale in tales]
    return [
        Filed(entry, entry.place, f"{at:064}", Path(entry.run)) for at, entry in enumerate(made)
    ]


def one(*tales: Tale) -> Standing:
    found = standings(filed(*tales))
    assert len(found) == 1
    return found[0]


def rows(*tales: Tale) -> dict[str, Row]:
    return {ranked.row.label: ranked.row for ranked in one(*tales).ranked}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suite__sha256", "other"),
        ("suite__version", 3),
        ("model__weights_sha256", "other"),
        ("model__dtype", "bfloat16"),
        ("data__files_sha256", {"counterfact.jsonl": "other"}),
        ("data__edits", "zsre"),
        ("protocol__mode", "batch-sequential"),
        ("protocol__batch_size", 2),
        ("protocol__checkpoint", {"retention": 5}),
        ("protocol__each_edit", []),
        ("protocol__start_end", ["sst2_gen"]),
        ("protocol__limits", {"sst2_ll": 10}),
    ],
)
def test_what_was_measured_otherwise_has_a_table_of_its_own(field: str, value: Any) -> None:
    found = standings(filed(Tale(), Tale("memit", changes={field: value})))
    assert [len(each.ranked) for each in found] == [1, 1]
    parts = [each.parts for each in found]
    assert any(parts[0][what] != parts[1][what] for what in parts[0])


def test_other_numbers_of_edits_have_other_tables() -> None:
    assert len(standings(filed(Tale(num_edits=60), Tale(num_edits=50)))) == 2


def test_samples_and_seeds_are_replicates() -> None:
    found = one(Tale(sample=2), Tale(sample=1), Tale(sample=1, seed=5))
    (ranked,) = found.ranked
    order = [(e.result.data.sample, e.result.seed) for e in ranked.row.entries]
    assert order == [(1, 0), (1, 5), (2, 0)]
    assert ranked.row.numbers["s"].count == 120


def test_sets_of_hyper_parameters_are_rows_named_by_what_differs() -> None:
    shared = {"layers": [5], "v_lr": 0.5}
    found = rows(Tale(hparams=shared), Tale(hparams={**shared, "v_lr": 0.1}), Tale("memit"))
    assert set(found) == {"memit", "rome v_lr=0.5", "rome v_lr=0.1"}


def test_equal_names_of_strangers_are_told_apart() -> None:
    other = Tale(team="B", card={"code": "https://example.org/b", "licence": "MIT"})
    assert set(rows(Tale(team="A"), other)) == {"rome (A)", "rome (B)"}


def test_identities_stay_when_samples_are_added() -> None:
    few, more = rows(Tale()), rows(Tale(), Tale(sample=2))
    assert few["rome"].identity == more["rome"].identity
    assert few["rome"].identity != rows(Tale("memit"))["memit"].identity


def test_numbers_are_those_of_the_entry() -> None:
    entry = made_entry(Tale())
    summary = entry.result.summary
    numbers = rows(Tale())["rome"].numbers
    for key, value in (
        *((key, summary.immediate[key]) for key in ("s", "es", "ps", "ns")),
        ("kept_exact", summary.retention["es_exact"]["instant"]),
        ("kept_es", summary.retention["es"]["instant"]),
        ("seconds", 2.0),
        ("memory", 2**30),
    ):
        assert numbers[key].value == pytest.approx(value), key
    low, high = numbers["ps"].low, numbers["ps"].high
    assert low is not None and high is not None
    assert low < summary.immediate["ps"] < high
    # One sample: there is no interval of what has one value a run.
    assert numbers["downstream"].low is None


def test_downstream_kept_by_hand() -> None:
    """(0.6 - 1/3) / (0.8 - 1/3); the task that the unedited model cannot do is left out."""
    whole = made_entry(Tale(f1=0.6)).result
    assert able_tasks(whole) == ["sst2_ll"]
    assert downstream_kept(whole)[-1] == (60, pytest.approx(4 / 7))
    broken = rows(Tale(collapse=30))["rome"].numbers["downstream"]
    assert broken.value == pytest.approx((0.31 - 1 / 3) / (0.8 - 1 / 3))


def test_downstream_without_headroom_is_no_number() -> None:
    result = made_entry(Tale()).result
    del result.summary.tasks["sst2_ll"]
    assert downstream_kept(result) == []
    result.summary.tasks.clear()
    assert downstream_kept(result) == []


@pytest.mark.parametrize(
    ("tales", "text"),
    [
        ([Tale()], ">60"),
        ([Tale(collapse=30)], "29"),
        ([Tale(collapse=30), Tale(sample=2, collapse=20)], "19 to 29"),
        ([Tale(collapse=30), Tale(sample=2)], "29 to >60"),
        ([Tale(changes={"ending__collapsed_at": 11})], "10"),
        ([Tale(collapse=5, changes={"ending__collapsed_at": 11})], "4"),
    ],
)
def test_edits_before_collapse(tales: list[Tale], text: str) -> None:
    assert one(*tales).ranked[0].row.survived_text == text


def test_a_run_that_was_stopped_says_so() -> None:
    entry = made_entry(Tale(num_edits=30))
    entry.result.protocol.num_edits = 60
    made = [Filed(entry, "a.json", "0" * 64, Path("a.json"))]
    assert standings(made)[0].ranked[0].row.edits == "30 of 60"


def test_better_is_better_beyond_chance() -> None:
    found = one(Tale("a", ps=0.95), Tale("b", ps=0.95), Tale("c", ps=0.3))
    assert [(each.text, each.row.label) for each in found.ranked] == [
        ("1=", "a"),
        ("1=", "b"),
        ("3", "c"),
    ]


def test_pairs_of_edits_tell_more_than_rows_do() -> None:
    """The two make the same edits: what is hard for one is hard for the other."""
    found = rows(Tale("a", num_edits=200, ps=0.75), Tale("b", num_edits=200, ps=0.68))
    a, b, ps = found["a"], found["b"], BY_KEY["ps"]
    paired = a.difference(b, ps)
    first, second = a.numbers["ps"], b.numbers["ps"]
    assert None not in (paired.low, paired.high, first.low, first.high, second.low, second.high)
    apart = ((first.high - first.low) ** 2 + (second.high - second.low) ** 2) ** 0.5  # type: ignore[operator]
    assert paired.high - paired.low < 0.8 * apart  # type: ignore[operator]
    assert first.value is not None and second.value is not None
    assert paired.value == pytest.approx(first.value - second.value)
    back = b.difference(a, ps)
    assert (back.low, back.high) == pytest.approx((-paired.high, -paired.low))  # type: ignore[operator]


def test_equal_editors_do_not_differ() -> None:
    entry = made_entry(Tale())
    twin = entry.model_copy(deep=True)
    twin.result.editor.name = "twin"
    made = [Filed(e, n, "0" * 64, Path(n)) for n, e in (("a", entry), ("b", twin))]
    a, b = (each.row for each in standings(made)[0].ranked)
    found = a.difference(b, BY_KEY["s"])
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)
    assert not clearly_better(a, b, BY_KEY["s"])


def test_runs_are_paired_by_sample() -> None:
    found = rows(
        *(Tale("a", sample, seconds=2.0 + sample) for sample in (1, 2, 3)),
        *(Tale("b", sample, seconds=1.0 + sample) for sample in (1, 2, 3)),
        Tale("c", 1, seconds=1.0),
    )
    exact = found["a"].difference(found["b"], BY_KEY["seconds"])
    assert (exact.value, exact.low, exact.high) == (1.0, 1.0, 1.0)
    other = found["a"].difference(found["c"], BY_KEY["seconds"])
    assert (other.value, other.low, other.count) == (2.0, None, 1)


def test_rows_without_edits_in_common_are_apart_where_their_intervals_are() -> None:
    a, b, c = (Tale("a", 1), Tale("b", 2), Tale("c", 3, ps=0.1, ns=0.3))
    found = one(a, b, c)
    assert [(each.text, each.row.label) for each in found.ranked] == [
        ("1=", "a"),
        ("1=", "b"),
        ("3", "c"),
    ]
    best, _, last = (each.row for each in found.ranked)
    assert best.difference(last, BY_KEY["s"]).value is None


def test_another_run_of_the_same_sample_and_seed_is_a_replicate() -> None:
    """Of newer code, say: the permalink stays, and both are in the mean."""
    (ranked,) = one(Tale(seconds=1.0), Tale(seconds=2.0)).ranked
    seconds = ranked.row.numbers["seconds"]
    assert (len(ranked.row.runs), seconds.value) == (2, 1.5)
    # They are one replicate: no interval comes of it.
    assert (seconds.low, seconds.high) == (None, None)
    (ranked,) = one(Tale(seconds=1.0), Tale(seconds=2.0, seed=1)).ranked
    assert ranked.row.numbers["seconds"].low is not None
    assert ranked.row.identity == rows(Tale())["rome"].identity


def test_what_the_unedited_model_has_is_the_mean_over_runs() -> None:
    baselines = [{"summary__baseline": {"ns": value}} for value in (0.8, 0.2)]
    (row,) = rows(*(Tale(sample=at, changes=each) for at, each in enumerate(baselines))).values()
    assert row.unedited(["ns"]) == 0.5
    assert row.unedited(["nothing"]) is None


def test_the_board_and_compare_have_the_same_digits(tmp_path: Path) -> None:
    """A number, its interval and a difference are the same to the last digit in both."""
    tales = [
        Tale(editor, sample, ps=ps, collapse=collapse, f1=f1 + sample / 100, seconds=ps + sample)
        for editor, ps, collapse, f1 in (("a", 0.9, None, 0.7), ("b", 0.7, 40, 0.6))
        for sample in (1, 2, 3)
    ]
    (standing,) = standings(read_entries(write_entries(tmp_path, tales)))
    board = {each.row.label: each.row for each in standing.ranked}
    runs, _ = read_runs([tmp_path])
    known = catalogue(runs)
    for measure in MEASURES:
        metric = measure.metric(known)
        assert metric is not None
        compared = {row.group.label: row for row in compare(runs, [metric], metric).rows}
        for label, row in board.items():
            assert row.numbers[measure.key] == compared[label].cells[0].number, measure.key
        best = next(label for label, row in compared.items() if row.cells[0].mark == "best")
        (other,) = set(board) - {best}
        told = board[other].difference(board[best], measure)
        assert told == compared[other].cells[0].to_best, measure.key
        assert told.value is not None


def test_ranks_by_what_is_asked() -> None:
    tales = (Tale("slow", seconds=9.0), Tale("fast", seconds=1.0, ps=0.2), Tale("mid", seconds=5.0))
    by_cost = standings(filed(*tales), "seconds")[0].ranked
    assert [(each.text, each.row.label) for each in by_cost] == [
        ("1", "fast"),
        ("2", "mid"),
        ("3", "slow"),
    ]
    by_name = standings(filed(*tales), "editor")[0].ranked
    assert [each.row.label for each in by_name] == ["fast", "mid", "slow"]
    assert {each.row.label: each.rank for each in by_name}["fast"] == 3
    by_collapse = standings(
        filed(Tale("a", collapse=20), Tale("b"), Tale("c", collapse=50)), "collapse"
    )
    assert [each.row.label for each in by_collapse[0].ranked] == ["b", "c", "a"]


def test_what_was_not_measured_comes_last_and_is_beaten() -> None:
    entry = made_entry(Tale("bare"))
    for retained in (entry.series, entry.result.summary, entry.result.curves):
        getattr(retained, "retained" if retained is entry.series else "retention").clear()
    made = [Filed(entry, "a", "0" * 64, Path("a")), *filed(Tale("rome", kept=0.2))]
    found = rank([each.row for each in standings(made)[0].ranked], BY_KEY["kept_exact"])
    assert [(each.rank, each.row.label) for each in found] == [(1, "rome"), (2, "bare")]
    assert found[1].row.numbers["kept_exact"].value is None


def test_zsre_has_other_names_for_the_same() -> None:
    entry = made_entry(Tale())
    named = {
        "es": "efficacy",
        "ps": "paraphrase",
        "ns": "specificity",
        "es_exact": "efficacy_exact",
    }
    series, summary = entry.series, entry.result.summary
    by_name: list[dict[str, Any]] = [series.immediate, summary.immediate]
    by_name += [series.retained, summary.retention, entry.result.curves.retention]
    for old, new in named.items():
        for values in by_name:
            if old in values:
                values[new] = values.pop(old)
    row = standings([Filed(entry, "a", "0" * 64, Path("a"))])[0].ranked[0].row
    assert row.numbers == rows(Tale())["rome"].numbers
