"""What may stand side by side, and what a refusal says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from seqedit_bench.leaderboards import Result, ResultError
from seqedit_bench.leaderboards.comparable import ensure_comparable, protocol_key

Make = Callable[..., Result]

UNLIKE = [
    ({"suite__name": "other"}, "suite", "suite.name", "--suite"),
    ({"suite__version": 3}, "suite", "suite.version", "version"),
    ({"suite__sha256": "0dd"}, "suite", "suite.sha256", "suite file"),
    ({"model__weights_sha256": "0dd"}, "model", "model.weights_sha256", "--model"),
    ({"model__dtype": "bfloat16"}, "model", "model.dtype", "--dtype"),
    ({"data__edits": "counterfact-edits"}, "data", "data.edits", "--edits"),
    ({"data__files_sha256": {"counterfact.jsonl": "0dd"}}, "data", '"counterfact.jsonl"', "files"),
    ({"data__files_sha256": {"other.jsonl": "da7a"}}, "data", "not there", "files"),
]
UNLIKE_PROTOCOLS = [
    ({"protocol__mode": "batch-sequential"}, "protocol.mode", "--mode"),
    ({"protocol__batch_size": 7}, "protocol.batch_size", "--batch-size"),
    ({"protocol__each_edit": []}, '"counterfact_es"', "--skip"),
    ({"protocol__checkpoint": {"retention": 5, "sst2_ll": 10}}, '"sst2_ll"', "--downstream-every"),
    ({"protocol__start_end": ["mmlu"]}, '"mmlu"', "--skip"),
    ({"protocol__limits": {"sst2_ll": 5}}, "not there", "--downstream-limit"),
]


@pytest.mark.parametrize(("changes", "what", "field", "advice"), UNLIKE)
@pytest.mark.parametrize("first", [True, False])
def test_unlike_runs_are_refused_by_field_and_file(
    changes: dict[str, Any], what: str, field: str, advice: str, first: bool, make_result: Make
) -> None:
    other = make_result(editor__name="memit", **changes)
    results = [other, make_result(), make_result()] if first else [make_result(), other]
    names = [f"file{at}" for at in range(len(results))]
    with pytest.raises(ResultError, match=f"different {what} cannot share a table") as caught:
        ensure_comparable(results, names)
    text = str(caught.value)
    assert field in text and advice in text
    assert "file0" in text and "file1" in text and "file2" not in text
    assert "\n" not in text and "(" not in text


@pytest.mark.parametrize(("changes", "field", "advice"), UNLIKE_PROTOCOLS)
def test_unlike_protocols_share_a_figure_but_no_table(
    changes: dict[str, Any], field: str, advice: str, make_result: Make
) -> None:
    results = [make_result(), make_result(**changes)]
    ensure_comparable(results)
    with pytest.raises(ResultError, match="different protocol") as caught:
        ensure_comparable(results, protocol=True)
    assert field in str(caught.value) and advice in str(caught.value)


def test_lengths_may_differ_where_only_the_beginning_is_compared(make_result: Make) -> None:
    results = [make_result(protocol__num_edits=20), make_result()]
    ensure_comparable(results, protocol=True)
    with pytest.raises(ResultError, match=r"num_edits is 20 in rome and 10 .* --at 10"):
        ensure_comparable(results, protocol=True, edits=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"editor__name": "memit"},
        {"data__sample": 2},
        {"seed": 5},
        {"model__name": "a/copy"},
        {"data__source": "folder"},
        {"protocol__not_measured": {"x": "no data"}},
    ],
)
def test_replicates_and_editors_share_a_table(changes: dict[str, Any], make_result: Make) -> None:
    results = [make_result(), make_result(**changes)]
    ensure_comparable(results, protocol=True, edits=True)
    assert protocol_key(results[0]) == protocol_key(results[1]), "one table of the board too"


def test_long_values_are_cut(make_result: Make) -> None:
    results = [make_result(), make_result(suite__name="x" * 5000)]
    with pytest.raises(ResultError) as caught:
        ensure_comparable(results)
    assert len(str(caught.value)) < 400
