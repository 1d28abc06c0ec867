"""Entries as files: their place, their reader, their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from made_run import QUICK, made_entry
from records import put
from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards import entry as entries
from seqedit_bench.leaderboards.entry import Entry, json_schema, model_slug, read_entry, slug


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    return made_entry(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def raw(entry: Entry) -> dict[str, Any]:
    return json.loads(entry.to_json())


def test_schema_is_that_of_the_record() -> None:
    path = Path(entries.__file__).with_name("entry.schema.json")
    assert json.loads(path.read_text(encoding="utf-8")) == json_schema(), "run: make schema"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("EleutherAI/gpt-j-6b", "EleutherAI__gpt-j-6b"),
        ("rect+memit", "rect+memit"),
        ("../../etc", "__..__etc"),
        ("a b\n\u202e<x>", "a-b---x-"),
        ("...", "-"),
        ("", "-"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_name_as_a_folder(name: str, folder: str) -> None:
    assert slug(name) == folder


def test_place(entry: Entry, raw: dict[str, Any]) -> None:
    digest = entry.result.model.weights_sha256[:12]
    run = f"sample1-seed0-{entry.result.journal_sha256['edits.jsonl'][:10]}"
    assert entry.run == run
    assert entry.place == f"{QUICK}/smollm2-135m@{digest}/rome/{run}.json"
    put(raw, "result.model.revision", "0123456789abcdef")
    assert model_slug(Entry.model_validate(raw).result) == "smollm2-135m@0123456789ab"


def test_read_back_it_is_the_same(entry: Entry, tmp_path: Path) -> None:
    path = tmp_path / "entry.json"
    path.write_text(entry.to_json(), encoding="utf-8")
    assert read_entry(path) == entry
    assert read_entry(path).to_json() == entry.to_json()


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("entry_version", 2, "entry_version 2, this program reads 1"),
        ("run", "", "field run: String should have at least 1 character"),
        ("submission.team", "x" * 301, "field submission.team"),
        ("submission.paper", "javascript:alert(1)", "field submission.paper"),
        ("submission.paper", "https://a b", "field submission.paper"),
        ("submission.card.kind", "magic", "field submission.card.kind"),
        ("collapse.type", "maybe", "field collapse.type"),
        ("result.seed", "many", "field result.seed"),
        ("series.retained.es.at", -1, "field series.retained.es.at"),
        ("surprise", 1, "field surprise: Extra inputs are not permitted"),
    ],
)
def test_what_is_no_entry_is_refused(
    field: str, value: Any, says: str, raw: dict[str, Any], tmp_path: Path
) -> None:
    put(raw, field, value)
    path = tmp_path / "entry.json"
    path.write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(ResultError) as caught:
        read_entry(path)
    assert says in str(caught.value)


def test_a_file_too_large(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "entry.json"
    path.write_text(entry.to_json(), encoding="utf-8")
    monkeypatch.setattr(entries, "MAX_BYTES", 100)
    with pytest.raises(ResultError, match="larger than 0 MiB, not an entry"):
        read_entry(path)
