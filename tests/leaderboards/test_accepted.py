"""What the referee takes every output can show: one entry must not take the others with it."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command import seqedit
from judged import add, problems
from made_run import KNOWN, made_entry
from records import put, sha
from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.entry import Entry, read_entry
from seqedit_bench.leaderboards.referee.folder import entry_problems, run_name

Raw = dict[str, Any]


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else {"deep": 10**29}


TEXTS: list[Any] = ["\0\x1b[31m\u202e|`$&\n=1+1</script>{{x}}\\end{table}", "x" * 5000, "", None]
NUMBERS: list[Any] = [10**29, 1e300, 5e-324, 0, -1, None]
ANY = [*TEXTS, *NUMBERS, True, [], {"": None}, *({"a": nested(levels)} for levels in (10, 22, 300))]
FREE = ("hparams", "prepared", "provenance", "versions")
FOLLOW = (("result", "summary"), ("result", "curves"), ("series", "immediate"))
"""Parts whose numbers follow from each other."""
OUTPUTS = {
    "leaderboard": ["--entries", "FOLDER"],
    "leaderboard --json": ["--entries", "FOLDER"],
    "leaderboard --html OUT": ["--entries", "FOLDER"],
    "compare --columns all": ["FOLDER"],
    **{f"compare --format {name}": ["FOLDER"] for name in ("markdown", "latex", "csv", "json")},
    "export hf --output OUT": ["FOLDER"],
    "export lm-eval --output OUT": ["FOLDER"],
    "cite": ["FOLDER"],
}


def places(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield where a value can be put, and what is there: of a list the last alone."""
    if path in FOLLOW:
        return
    if path[-1:] and path[-1] in FREE:
        yield "/".join(path), {}
    if isinstance(value, (dict, list)) and value:
        inner = value.items() if isinstance(value, dict) else [(len(value) - 1, value[-1])]
        for key, each in inner:
            yield from places(each, (*path, str(key)))
    else:
        yield "/".join(path), value


def odd(there: Any) -> list[Any]:
    """Return values to put where one is: of its kind, and any where it can be anything."""
    if isinstance(there, (int, float)):
        return NUMBERS
    return TEXTS if isinstance(there, str) else ANY


def is_taken(raw: Raw, scratch: Path) -> bool:
    """Return whether an entry of this content would be accepted."""
    try:
        scratch.write_text(Entry.model_validate(raw, strict=True).to_json(), encoding="utf-8")
        return not entry_problems(read_entry(scratch), KNOWN)
    except (ResultError, ValueError):
        return False


def with_perplexity(raw: Raw, value: float) -> Raw:
    made = copy.deepcopy(raw)
    put(made, "result/summary/tasks/heldout_perplexity/word_perplexity/final", value)
    put(made, "result/curves/tasks/heldout_perplexity/metrics/word_perplexity/2", value)
    return made


@pytest.fixture(scope="module")
def odd_entries(tmp_path_factory: pytest.TempPathFactory) -> list[Raw]:
    """Entries of another's editor: in each of them everything is odd that may be."""
    scratch = tmp_path_factory.mktemp("odd")
    raw = json.loads(made_entry(scratch / "run").to_json())
    raw["result"]["editor"] |= {"name": "mine", "hparams": {"a": "b"}}
    raw["submission"]["card"] |= {"name": "mine", "code": "https://e.org/x", "licence": "MIT"}
    large = (with_perplexity(raw, value) for value in (1.7e308, 1e300))
    raw = next(each for each in large if is_taken(each, scratch / "entry.json"))
    found: dict[str, list[Any]] = {}
    for path, there in places(raw):
        for value in odd(there):
            tried = copy.deepcopy(raw)
            put(tried, path, value)
            if is_taken(tried, scratch / "entry.json"):
                found.setdefault(path, []).append(value)
    assert {"result/editor/hparams", "result/data/order", "result/cost/tokens_scored"} <= set(found)
    return [odd_in_all(raw, found, turn) for turn in range(max(map(len, found.values())))]


def odd_in_all(raw: Raw, found: dict[str, list[Any]], turn: int) -> Raw:
    made = copy.deepcopy(raw)
    for path, values in found.items():
        inside = [other for other in found if path.startswith(f"{other}/")]
        if not inside or turn % 2:  # a whole in one turn, what is in it in the next
            try:
                put(made, path, copy.deepcopy(values[turn % len(values)]))
            except (KeyError, IndexError, TypeError, ValueError):  # the whole is gone
                continue
    return made


def test_every_output_shows_what_was_accepted(odd_entries: list[Raw], tmp_path: Path) -> None:
    board = add(tmp_path / "board", made_entry(tmp_path / "run", sample=2))
    for number, raw in enumerate(odd_entries):
        raw["result"]["seed"] = number
        raw["result"]["journal_sha256"]["edits.jsonl"] = sha(str(number))
        raw["run"] = run_name(Entry.model_validate(raw).result)
        add(board, Entry.model_validate(raw))
    assert problems(board) == []
    given = {"FOLDER": board / "entries", "OUT": tmp_path / "out"}
    for name, options in OUTPUTS.items():
        done = seqedit(*(given.get(each, each) for each in [*name.split(), *options]))
        assert (done.code, done.err) == (0, ""), name
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
