"""Files that long work adds to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from seqedit_bench.benchmark.ledger import Ledger
from seqedit_bench.benchmark.storage import StorageError
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


def test_half_a_character_is_written_escaped(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    Ledger(path).append({"a": "Pelé \ud800"})
    assert Ledger(path).lines == [{"a": "Pelé \ud800"}]


def test_a_line_that_does_not_fit_the_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    ledger = Ledger(path)
    ledger.append({"a": 1})
    write = os.write

    def full(descriptor: int, data: bytes) -> int:
        if len(data) < 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, data[:4])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StorageError, match=r"cannot write .*a\.jsonl: No space left"):
            ledger.append({"a": 12})
    assert path.read_text() == '{"a":1}\n'
    assert ledger.append({"b": 2}) == {"b": 2}
    assert Ledger(path).lines == ledger.lines == [{"a": 1}, {"b": 2}]
