"""Result files: the schema is the model's, and what does not fit it is refused by field."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench.leaderboards import SCHEMA_VERSION, Result, ResultError, read_result
from seqedit_bench.leaderboards import results as results_module
from seqedit_bench.leaderboards.results import json_schema

Raw = dict[str, Any]


def save(folder: Path, data: Any, name: str = "leaderboard.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_schema_file_is_the_models() -> None:
    path = files("seqedit_bench.leaderboards") / "result.schema.json"
    assert json.loads(path.read_text(encoding="utf-8")) == json_schema()


def test_schema_describes_every_field_that_needs_it() -> None:
    schema = json_schema()
    definitions = schema["$defs"]
    assert definitions["RetentionRecord"]["properties"]["sticky"]["description"]
    assert definitions["Summary"]["additionalProperties"] is False
    assert schema["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def test_round_trip(raw_result: Raw, tmp_path: Path) -> None:
    result = read_result(save(tmp_path, raw_result))
    assert json.loads(result.to_json()) == raw_result
    (tmp_path / "again.json").write_text(result.to_json(), encoding="utf-8")
    assert read_result(tmp_path / "again.json") == result


def test_a_run_directory_is_its_result(raw_result: Raw, tmp_path: Path) -> None:
    path = save(tmp_path, raw_result)
    assert read_result(tmp_path) == read_result(path)


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_refuses_another_schema_version(version: Any, raw_result: Raw, tmp_path: Path) -> None:
    raw_result["schema_version"] = version
    with pytest.raises(ResultError, match=r"schema_version .*, this program reads 1"):
        read_result(save(tmp_path, raw_result))


def test_refuses_a_file_without_schema_version(raw_result: Raw, tmp_path: Path) -> None:
    del raw_result["schema_version"]
    with pytest.raises(ResultError, match="schema_version None"):
        read_result(save(tmp_path, raw_result))


def _paths(data: Raw, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Return the path of every field of the example down to two levels."""
    found = []
    for key, value in data.items():
        found.append((*prefix, key))
        if isinstance(value, dict) and not prefix and key != "provenance":
            found += _paths(value, (key,))
    return found


REQUIRED = [
    path
    for path in _paths(
        json.loads(Path(__file__).with_name("result.json").read_text(encoding="utf-8"))
    )
    if path[0] not in ("schema_version",) and path[0] != "journal_sha256"
]


@pytest.mark.parametrize("path", REQUIRED, ids=".".join)
def test_a_missing_field_is_named(path: tuple[str, ...], raw_result: Raw, tmp_path: Path) -> None:
    data = copy.deepcopy(raw_result)
    place = data
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    with pytest.raises(ResultError, match=rf"field {'.'.join(path)}: ") as caught:
        read_result(save(tmp_path, data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"editor": {"kind": "magic"}}, "editor.kind"),
        ({"data": {"source": "friend"}}, "data.source"),
        ({"seed": "zero"}, "seed"),
        ({"extra": 1}, "extra"),
        ({"suite": {"extra": 1}}, "suite.extra"),
        ({"journal_sha256": {}}, "journal_sha256"),
        ({"protocol": {"num_edits": 0}}, "protocol.num_edits"),
        ({"summary": {"immediate": {"es": "high"}}}, "summary.immediate.es"),
        ({"protocol": {"checkpoint": {"retention": 0}}}, "protocol.checkpoint.retention"),
    ],
)
def test_a_wrong_value_is_named(changes: Raw, field: str, raw_result: Raw, tmp_path: Path) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and value:
            raw_result[key].update(value)
        else:
            raw_result[key] = value
    with pytest.raises(ResultError, match=rf"field {field}: "):
        read_result(save(tmp_path, raw_result))


@pytest.mark.parametrize("text", ["NaN", "inf", "-Infinity", "1", "0.5", True])
def test_a_text_is_no_number(text: Any, raw_result: Raw, tmp_path: Path) -> None:
    raw_result["summary"]["immediate"]["es"] = text
    with pytest.raises(ResultError, match=r"field summary.immediate.es: Input should be a valid"):
        read_result(save(tmp_path, raw_result))


def test_nested_without_end(raw_result: Raw, tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(20):
        deep = {"a": deep}
    raw_result["editor"]["hparams"] = {"x": deep}
    assert read_result(save(tmp_path, raw_result)).editor.hparams == {"x": deep}
    raw_result["editor"]["hparams"] = {"x": [[[deep]]]}
    with pytest.raises(ResultError, match=r"leaderboard.json: nested too deeply, not a result"):
        read_result(save(tmp_path, raw_result))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b'{"schema_version": 1',
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"schema_version": 1, "seed": 1' + b"0" * 5000 + b"}",
    ],
    ids=["empty", "words", "cut", "binary", "deep", "digits"],
)
def test_not_json(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(ResultError, match=r"bad.json: not JSON") as caught:
        read_result(tmp_path / "bad.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [[], [1], "text", 3, None])
def test_not_an_object(data: Any, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="field top level: "):
        read_result(save(tmp_path, data))


@pytest.mark.parametrize("name", ["missing.json", "folder"])
def test_no_such_result(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ResultError, match="no such result"):
        read_result(tmp_path / name)


def test_too_large_is_not_read(
    raw_result: Raw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, raw_result)
    monkeypatch.setattr(results_module, "MAX_BYTES", path.stat().st_size)
    assert read_result(path).seed == 0
    monkeypatch.setattr(results_module, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(ResultError, match=r"leaderboard.json: larger than"):
        read_result(path)


def test_json_of_a_result_is_strict(make_result: Callable[..., Result]) -> None:
    """A reader in another language must not meet NaN or Infinity."""
    result = make_result(summary__immediate={"es": float("nan"), "ps": float("inf")})

    def refuse(word: str) -> None:
        raise AssertionError(word)

    read = json.loads(result.to_json(), parse_constant=refuse)
    assert read["summary"]["immediate"] == {"es": None, "ps": None}
