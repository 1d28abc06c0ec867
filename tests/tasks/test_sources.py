"""Data sources: each reads only its own place, and says what is missing there."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.edits import load_stream
from seqedit_bench.tasks.sources import (
    OFFICIAL_URLS,
    Source,
    data_folder,
    file_sha256,
    read_records,
    recording,
)


def test_bundled_by_default(tmp_path: Path) -> None:
    assert Source.choose(None, None).name == "bundled"
    assert Source.choose("bundled", None).name == "bundled"
    assert Source.choose("hub", None).name == "hub"
    for name in (None, "folder"):
        source = Source.choose(name, tmp_path)
        assert (source.name, source.folder) == ("folder", tmp_path)


@pytest.mark.parametrize(
    ("name", "folder", "says"),
    [
        ("internet", None, r"unknown data source 'internet' \(known: bundled, folder, hub\)"),
        ("folder", None, "a folder needs --data-dir"),
        ("bundled", ".", "only a folder takes it"),
        ("hub", ".", "only a folder takes it"),
        (None, "not-there", "data folder .*not-there is not there: check --data-dir"),
    ],
)
def test_refuses_contradictions(
    name: str | None, folder: str | None, says: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says):
        Source.choose(name, tmp_path / folder if folder else None)


def test_the_environment_names_a_folder_where_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEQEDIT_DATA_DIR", raising=False)
    assert data_folder(None, None) is None
    monkeypatch.setenv("SEQEDIT_DATA_DIR", "named")
    assert data_folder(None, None) == data_folder("folder", None) == Path("named")
    assert data_folder("bundled", None) is data_folder("hub", None) is None
    assert data_folder("folder", tmp_path) == tmp_path


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(InputError, match="is not there"):
        Source.choose(None, tmp_path / "data")


@pytest.mark.parametrize("place", [".", "counterfact"])
def test_folder_holds_files_at_its_top_or_below(place: str, tmp_path: Path) -> None:
    path = tmp_path / place / "counterfact.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text("[]", encoding="utf-8")
    source = Source.choose(None, tmp_path)
    assert source.require("counterfact.json").samefile(path)
    assert source.find("other.json") is None


def test_first_name_and_top_level_win(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.jsonl", "sub/a.json", "sub/b.jsonl"):
        (tmp_path / name).touch()
    source = Source.choose(None, tmp_path)
    assert source.find("a.json", "b.jsonl") == tmp_path / "sub" / "a.json"
    assert source.find("b.jsonl") == tmp_path / "b.jsonl"


def test_missing_file_says_where_and_what(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"a.json or b.json is not in {tmp_path}: .*--data-dir"):
        Source.choose(None, tmp_path).require("a.json", "b.json")
    with pytest.raises(InputError, match=r"a.json is not in the bundled data: .*--data-dir"):
        Source.choose(None, None).require("a.json")


def test_a_folder_is_never_filled_up_from_the_bundle(tmp_path: Path) -> None:
    assert Source.choose(None, None).find("counterfact.jsonl") is not None
    assert Source.choose(None, tmp_path).find("counterfact.jsonl") is None


def test_remembers_the_digest_of_what_was_read(tmp_path: Path) -> None:
    content = b'{"case_id": 1}\n' * 100_000  # more than one piece
    (tmp_path / "a.jsonl").write_bytes(content)
    source = Source.choose(None, tmp_path)
    source.require("a.jsonl")  # before anyone asks: not recorded
    with recording() as digests:
        source.find("not-there.json")
        assert digests == {}
        source.require("a.jsonl")
    source.require("a.jsonl")
    assert digests == {"a.jsonl": hashlib.sha256(content).hexdigest()}
    assert file_sha256(tmp_path / "a.jsonl") == hashlib.sha256(content).hexdigest()


def test_recordings_nest(tmp_path: Path) -> None:
    with recording() as outer:
        Source.choose(None, None).require("counterfact.jsonl")
        with recording() as inner:
            Source.choose(None, None).require("zsre.jsonl")
    assert (set(outer), set(inner)) == ({"counterfact.jsonl", "zsre.jsonl"}, {"zsre.jsonl"})


# --- Reading records -------------------------------------------------------------------------


def test_lines_are_numbered_as_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "é"}\n\n  \n[2]\n', encoding="utf-8")
    assert list(read_records(path)) == [(f"{path}:1", {"a": "é"}), (f"{path}:4", [2])]


def test_list_entries_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1}, 2]', encoding="utf-8")
    assert list(read_records(path)) == [
        (f"{path}: record 0", {"a": 1}),
        (f"{path}: record 1", 2),
    ]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": \n', r"a.jsonl:3: not JSON"),
        ("a.jsonl", b'{"a": 1}\n\xff\n', r"a.jsonl.*: not "),
        ("a.jsonl", b"[" * 100_000, r"a.jsonl:1: not JSON"),
        ("a.jsonl", b'{"case_id": 1' + b"0" * 5000 + b"}", r"a.jsonl:1: not JSON"),
        ("a.json", b'[\n{"a": 1},\n{"a" 2}\n]', r"a.json:3: not JSON"),
        ("a.json", b'["\xff"]', r"a.json: not readable as UTF-8 text: .* at byte 2"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xff"}', r"a.jsonl: not readable .* at byte 16, in line 2"),
        ("a.json", b"[" * 100_000, r"a.json: not JSON: nested too deeply"),
        ("a.json", b'[{"case_id": 1' + b"0" * 5000 + b"}]", r"a.json: not "),
        ("a.json", b'{"a": 1}', r"a.json: expected a list of records, found dict"),
        ("a.json", b"", r"a.json:1: not JSON"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_broken_file_says_where(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        list(read_records(path))
    assert "\n" not in str(caught.value)


def test_parquet_is_read_like_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    Dataset.from_list([{"sentence": "é", "label": 1}, {"sentence": "b", "label": 0}]).to_parquet(
        path
    )
    assert list(read_records(path)) == [
        (f"{path}: record 0", {"sentence": "é", "label": 1}),
        (f"{path}: record 1", {"sentence": "b", "label": 0}),
    ]
    path.write_bytes(b"PAR1 not")
    with pytest.raises(InputError, match=r"a.parquet: not a parquet file") as caught:
        list(read_records(path))
    assert "\n" not in str(caught.value)


# --- The network -----------------------------------------------------------------------------


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep downloads inside the test, and proxies out of it."""
    import datasets.config

    folder = tmp_path / "downloads"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    monkeypatch.setattr(datasets.config, "DOWNLOADED_DATASETS_PATH", folder / "files")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


@pytest.fixture
def server(tmp_path: Path, counterfact_record: dict[str, Any]) -> Iterator[str]:
    """The address of a server that publishes a CounterFact of three records."""
    records = []
    for number in range(3):
        rewrite = {**counterfact_record["requested_rewrite"], "subject": f"Subject {number}"}
        records.append({**counterfact_record, "case_id": number, "requested_rewrite": rewrite})
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "counterfact.json").write_text(json.dumps(records), encoding="utf-8")
    handler = partial(_Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_hub_downloads_and_records_the_digest(server: str, downloads: Path, tmp_path: Path) -> None:
    source = Source("hub", urls={"counterfact.json": f"{server}/counterfact.json"})
    with recording() as digests:
        stream = load_stream(source, "counterfact", sample=0)
    assert sorted(case.case_id for case in stream.cases) == [0, 1, 2]
    published = tmp_path / "published" / "counterfact.json"
    assert digests == {"counterfact.json": file_sha256(published)}
    assert list(downloads.rglob("*.json")), "the file must be kept in the cache of downloads"


def test_hub_error_is_one_line(server: str, downloads: Path) -> None:
    source = Source("hub", urls={"counterfact.json": f"{server}/moved.json"})
    says = rf"cannot download {server}/moved.json .*--data-dir"
    with recording() as digests, pytest.raises(InputError, match=says) as no:
        source.require("counterfact.json")
    assert "\n" not in str(no.value)
    assert digests == {}


def test_hub_without_a_network(downloads: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/counterfact.json"
        with pytest.raises(InputError, match=rf"cannot download {url} .*--data-dir") as caught:
            Source("hub", urls={"counterfact.json": url}).require("counterfact.json")
    assert "\n" not in str(caught.value)


def test_hub_has_only_what_is_published() -> None:
    with pytest.raises(InputError, match=r"other.json is not in the published files: .*--data-dir"):
        Source.choose("hub", None).require("other.json")
    assert OFFICIAL_URLS["counterfact.json"].startswith("https://")
    assert Source.choose("hub", None).urls == OFFICIAL_URLS
