"""A data set of entries: the library that others read it with loads it, without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset, load_dataset

from made_entries import entry_of, written
from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.compare import read_runs
from seqedit_bench.leaderboards.entry import Entry
from seqedit_bench.leaderboards.exports.dataset import only_entries, write_dataset


@pytest.fixture
def entries() -> list[Entry]:
    """Two editors with different metrics, one of which was asked again later."""
    return [
        entry_of("rome", es=[1.0, 0.0, 1.0], kept={"es": [1.0, 0.0]}, at=2, collapse=3),
        entry_of("mend", sample=2, es=[1.0, None, 0.0], ns=[0.5, 0.5, 1.0]),
    ]


def loaded(folder: Path, name: str, cache: Path) -> Dataset:
    found = load_dataset(str(folder), name, split="train", cache_dir=str(cache))
    assert isinstance(found, Dataset)
    return found


def test_datasets_loads_both_tables(
    entries: list[Entry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    folder = tmp_path / "set"
    write_dataset(entries, folder, "@misc{x}")
    table = loaded(folder, "entries", tmp_path / "cache")
    rows: list[dict[str, Any]] = [dict(row) for row in table]  # type: ignore[call-overload]
    by_editor = {row["editor"]: row for row in rows}
    assert set(by_editor) == {"rome", "mend"}
    rome, mend = by_editor["rome"], by_editor["mend"]
    assert (rome["collapse"], rome["collapse_edit"], mend["collapse_edit"]) == (
        "catastrophic",
        3,
        None,
    )
    assert json.loads(rome["hparams"]) == {"layers": [1], "v_lr": 0.5}
    assert (rome["immediate.ns"], mend["immediate.ns"]) == (None, pytest.approx(2 / 3))
    assert rome["needs"] == ["covariance", "subject"]
    edits = loaded(folder, "edits", tmp_path / "cache")
    found = [dict(row) for row in edits]  # type: ignore[call-overload]
    assert len(found) == 6
    of_rome = [row for row in found if row["editor"] == "rome"]
    assert [row["immediate.es"] for row in of_rome] == [1.0, 0.0, 1.0]
    assert [row["retained.es"] for row in of_rome] == [1.0, 0.0, None]
    assert [row["retained_at"] for row in of_rome] == [2, 2, None]
    assert [row["edit"] for row in of_rome] == [1, 2, 3]


def test_the_card_has_what_the_hub_reads(entries: list[Entry], tmp_path: Path) -> None:
    write_dataset(entries, tmp_path / "set", "@misc{x}")
    text = (tmp_path / "set" / "README.md").read_text("utf-8")
    _, front, body = text.split("---\n", 2)
    found = yaml.safe_load(front)
    assert found["license"] == "cc0-1.0"
    assert {"seqedit-bench", "knowledge-editing"} <= set(found["tags"])
    for config in found["configs"]:
        for file in config["data_files"]:
            assert (tmp_path / "set" / file["path"]).is_file()
    assert "2 entries, 6 edits." in body
    assert "@misc{x}" in body
    assert "| tiny@2 | tiny-gpt2 | counterfact | 2 | 2 |" in body


def test_the_card_explains_every_column(entries: list[Entry], tmp_path: Path) -> None:
    from pyarrow import parquet

    folder = tmp_path / "set"
    write_dataset(entries, folder, "")
    card = (folder / "README.md").read_text("utf-8")
    for name in ("entries", "edits"):
        section = card.split(f"## `{name}`")[1].split("## ")[0]
        for column in parquet.read_schema(folder / "data" / f"{name}.parquet").names:
            known = column if "." not in column else f"{column.split('.')[0]}.*"
            assert known in section, column


def test_hostile_names_are_only_text(tmp_path: Path) -> None:
    name = "x | [y](z) <b>\n---\nlicense: mit"
    entry = entry_of(changes={"suite__name": name, "model__name": name}, run="r")
    write_dataset([entry], tmp_path / "set", "")
    text = (tmp_path / "set" / "README.md").read_text("utf-8")
    assert text.count("\nlicense:") == 1
    assert "<b>" not in text and "[y](z)" not in text


def test_the_same_entries_are_the_same_files(entries: list[Entry], tmp_path: Path) -> None:
    for folder, given in (("a", entries), ("b", entries[::-1])):
        write_dataset(given, tmp_path / folder, "")
    for path in sorted((tmp_path / "a").rglob("*.*")):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes() == other.read_bytes()


def test_a_folder_of_something_else_is_not_touched(entries: list[Entry], tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "README.md").write_text("mine", encoding="utf-8")
    with pytest.raises(ResultError, match="no data set of ours"):
        write_dataset(entries, folder, "")
    assert (folder / "README.md").read_text("utf-8") == "mine"
    with pytest.raises(ResultError, match="a file"):
        write_dataset(entries, folder / "README.md", "")
    write_dataset(entries, tmp_path / "set", "")
    write_dataset(entries[:1], tmp_path / "set", "")
    assert "1 entries" in (tmp_path / "set" / "README.md").read_text("utf-8")


def test_a_number_too_large_is_refused(tmp_path: Path) -> None:
    entry = entry_of(es=[1.0], case_ids=[2**70])
    with pytest.raises(ResultError, match="no room for"):
        write_dataset([entry], tmp_path / "set", "")


def test_only_entries_are_exported(entries: list[Entry], tmp_path: Path) -> None:
    path = written(entries[0], tmp_path)
    assert [entry.run for entry in only_entries(read_runs([path])[0])] == ["rome-1-0"]
    bare = tmp_path / "bare.json"
    bare.write_text(entries[1].result.to_json(), encoding="utf-8")
    with pytest.raises(ResultError, match=r"bare.json: not an entry; .*submit"):
        only_entries(read_runs([bare])[0])
    twin = entry_of("ft", run="rome-1-0")
    with pytest.raises(ResultError, match="two entries named 'rome-1-0'"):
        only_entries(read_runs([path, written(twin, tmp_path)])[0])
