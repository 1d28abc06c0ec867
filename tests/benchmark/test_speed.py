"""The benchmark of speed measures what it says: the plain ways agree with the engine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seqedit_bench.benchmark.config import RunConfig
from seqedit_bench.benchmark.scoring import Scorer
from seqedit_bench.benchmark.speed import __main__ as bench
from seqedit_bench.benchmark.speed import editing_rows
from seqedit_bench.benchmark.speed.measure import Goal, Measurement, interleaved, table_of
from seqedit_bench.benchmark.speed.setting import Setting

ROWS = ["likelihoods", "generations", "record", "retention", "tokens", "rome", "memit"]


@pytest.fixture(scope="module")
def tiny_llama(
    tmp_path_factory: pytest.TempPathFactory,
    make_model: Callable[..., Any],
    tokenizers: dict[str, Any],
) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    model = make_model("llama")
    model.config.max_position_embeddings = 2048
    model.save_pretrained(folder)
    tokenizers["gpt2"].save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def setting(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    cache = tmp_path_factory.mktemp("cache")
    config = RunConfig.model_validate(
        {"editor": "none", "model": str(tiny_llama), "cache_dir": cache}
    )
    return Setting.load(config, repeats=5, quick=True)


@pytest.mark.parametrize("name", ROWS)
def test_both_ways_agree(name: str, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """In five repetitions, which go through all five parts of what is asked."""
    monkeypatch.setattr(editing_rows, "OVERRIDES", ("mom2_n_tokens=500",))
    row = bench.ROWS[name](setting)
    assert row.agrees, row.to_json()
    assert len(row.ratios) == len(row.plain) == len(row.ours) == 5
    if name != "tokens":
        assert row.difference is not None
    assert json.loads(json.dumps(row.to_json()))["ratio"] == row.ratio


def test_a_wrong_answer_is_seen(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    score = Scorer.score

    def wrong(scorer: Scorer, pairs: Any) -> Any:
        found = score(scorer, pairs)
        return [type(each)(each[0] - 0.01, each.num_greedy, each.num_tokens) for each in found]

    monkeypatch.setattr(Scorer, "score", wrong)
    assert not bench.ROWS["record"](setting).agrees
    assert not bench.ROWS["retention"](setting).agrees


def test_repetitions_change_turns_and_the_first_round_does_not_count() -> None:
    calls: list[str] = []
    rounds = list(
        interleaved(
            lambda n: calls.append(f"plain {n}") or n, lambda n: calls.append(f"ours {n}") or -n, 3
        )
    )
    assert calls == [
        *("plain 0", "ours 0"),
        *("ours 0", "plain 0", "plain 1", "ours 1", "ours 2", "plain 2"),
    ]
    assert [(slow, fast) for _, slow, _, fast in rounds] == [(0, 0), (1, -1), (2, -2)]


def test_the_table_says_what_misses_its_goal() -> None:
    rows = [
        Measurement("a", "fast", "plain", Goal(2), [3.0, 4.0, 2.5], [0.3], [0.1]),
        Measurement("b", "slow", "plain", Goal(2), [1.0], [0.3], [0.01], agrees=False),
        Measurement("c", "small", "plain", Goal(1.3, at_least=False), [1.2], [2.0], [2.4], "GB"),
    ]
    assert [row.passed for row in rows] == [True, False, True]
    console = Console(width=160, record=True)
    console.print(table_of(rows))
    text = console.export_text()
    for part in ("2.5 to 4", "≥ 2", "≤ 1.3", "10 ms", "2.4 GB"):
        assert part in text


def test_a_command_of_one_row(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def main(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["speed", *arguments])
        try:
            bench.main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0

    output = tmp_path / "bench.json"
    options = ("--model", str(tiny_llama), "--quick", "--repeats", "3", "--output", str(output))
    assert main(*options, "--rows", "memit") == 0
    written = json.loads(output.read_text())
    assert written["rows"]["memit"]["passed"] in (True, False)
    assert written["environment"]["versions"]["torch"]
    assert main(*options, "--rows", "memmit") == 2
    assert "did you mean" in capsys.readouterr().err
