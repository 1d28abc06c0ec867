"""Files that long work adds to."""

from __future__ import annotations

from pathlib import Path

import pytest

from seqedit_bench.benchmark.ledger import Ledger
from seqedit_bench.tasks import InputError


def test_lines_stay(tmp_path: Path) -> None:
    Ledger(tmp_path / "a.jsonl").append({"a": float("nan")})
    again = Ledger(tmp_path / "a.jsonl")
    again.append({"b": 2})
    assert again.lines == [{"a": None}, {"b": 2}]
    assert (tmp_path / "a.jsonl").read_text() == '{"a":null}\n{"b":2}\n'


def test_a_torn_line_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a":1}\n{"b":', encoding="utf-8")
    ledger = Ledger(path)
    assert ledger.lines == [{"a": 1}]
    ledger.append({"b": 2})
    assert path.read_text() == '{"a":1}\n{"b":2}\n'


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a":\n{"b":1}\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 1 is not JSON"):
        Ledger(path)
    with pytest.raises(InputError, match="cannot be written"):
        Ledger(tmp_path / "absent" / "a.jsonl")
