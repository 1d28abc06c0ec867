"""Readers under random spoiling: a value, or one printable line that says which file is bad."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from robustness.broken import RECORD, SUITE
from robustness.broken_archives import npz, saved
from robustness.broken_data import ZSRE, parquet_file
from robustness.broken_settings import RESULT

from seqedit_bench.benchmark.suite import load_suite
from seqedit_bench.editors import ModelShape, get_editor, resolve_hparams
from seqedit_bench.editors._mend_checkpoint import convert_pt, load_checkpoint
from seqedit_bench.editors._moment_files import load_moment, load_partial, read_npz
from seqedit_bench.leaderboards import ResultError, read_result
from seqedit_bench.leaderboards.compare import catalogue, compare, read_runs
from seqedit_bench.leaderboards.compare.grid import overview
from seqedit_bench.leaderboards.compare.metrics import default_metrics
from seqedit_bench.leaderboards.show import result_tables
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.edits import load_stream
from seqedit_bench.tasks.generation.snippets import Snippets
from seqedit_bench.tasks.glue_fewshot.glue import read_split
from seqedit_bench.tasks.sources import Source

FUZZ = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

GLUE = {"sentence": "He sings.", "label": 1, "idx": 0}
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -(2**63), 1e308, "", " ", "{}", "{} {}", "\0", "\ud800", "é"]),
    st.text(max_size=8),
    st.builds(list),
    st.builds(dict),
    st.builds(lambda: [[[["deep"]]]]),
)
"""What may stand where something else should."""


@st.composite
def spoilt(draw: st.DrawFn, record: Any) -> Any:
    """Change, remove or add one or two things anywhere in a record."""
    record = copy.deepcopy(record)
    for _ in range(draw(st.integers(1, 2))):
        place = record
        while isinstance(place, (dict, list)) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, (dict, list)) and inner and draw(st.booleans()):
                place = inner
                continue
            action = draw(st.sampled_from(["set", "remove", "wrap"]))
            if action == "remove":
                del place[key]
            else:
                place[key] = [inner] if action == "wrap" else draw(ODD)
            break
    return record


@st.composite
def mangled(draw: st.DrawFn, content: bytes) -> bytes:
    """Cut, flip, repeat or insert bytes anywhere."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        action = draw(st.sampled_from(["cut", "flip", "repeat", "insert"]))
        if action == "cut":
            del data[at:]
        elif action == "flip" and data:
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif action == "repeat":
            data[at:at] = data[at : at + draw(st.integers(1, 40))]
        else:
            data[at:at] = draw(st.binary(min_size=1, max_size=6))
    return bytes(data)


class Outcome(NamedTuple):
    """What a reader made of a file; one of the two is None."""

    value: Any
    refusal: str | None
    """The message of an error of ours; any other error ends the test."""


def outcome(reader: Callable[[], Any]) -> Outcome:
    try:
        return Outcome(reader(), None)
    except (InputError, ResultError) as error:
        return Outcome(None, str(error))


def one_line(refusal: str) -> bool:
    """Return whether a message can be shown as it is."""
    return refusal.isprintable() and len(refusal) < 1000


def stream(folder: Path, name: str) -> Callable[[], Any]:
    return lambda: load_stream(Source("folder", folder), name, sample=1)


Reader = tuple[str, bytes, Callable[[Path], Any]]
RECORDS: dict[str, tuple[str, Any, Callable[[Path], Any]]] = {
    "counterfact": (
        "counterfact.json",
        [RECORD, {**RECORD, "case_id": 1}],
        lambda path: stream(path.parent, "counterfact")(),
    ),
    "zsre": ("zsre_mend_eval.json", [ZSRE, ZSRE], lambda path: stream(path.parent, "zsre")()),
    "edits": (
        "counterfact_all_edits.jsonl",
        {
            "case_id": 3,
            "prompt": "{} is",
            "subject": "A",
            "target_new": "b",
            "target_true": "c",
            "neighborhood_prompt": "B is",
        },
        lambda path: stream(path.parent, "counterfact-edits")(),
    ),
    "glue": ("cola_train.jsonl", GLUE, lambda path: read_split(path, "cola")),
    "snippets": (
        "attribute_snippets.json",
        [{"relation_id": "P1", "target_id": "Q1", "samples": [{"text": "some words here"}]}],
        Snippets,
    ),
    "result": (
        "leaderboard.json",
        json.loads(RESULT.read_text(encoding="utf-8")),
        lambda path: shown(path),
    ),
}
FILES: dict[str, Reader] = {
    **{
        name: (file, json.dumps(record).encode(), reader)
        for name, (file, record, reader) in RECORDS.items()
    },
    "suite": ("my.yaml", SUITE.encode(), lambda path: load_suite(str(path))),
    "parquet": (
        "cola_train.parquet",
        parquet_file({"sentence": ["a", "b"], "label": [0, 1]}),
        lambda path: read_split(path, "cola"),
    ),
    "npz": (
        "a.npz",
        npz(mom2__mom2=torch.eye(3).numpy(), mom2__count=9),
        lambda path: read_npz(path, 3, 0),
    ),
    "moment": (
        "a.safetensors",
        saved({"moment": torch.eye(3), "eigenvalues": torch.ones(2)}, {}),
        lambda path: (load_moment(path, 3), load_partial(path, ["1"])),
    ),
    "network": (
        "m.safetensors",
        saved(
            {"a": torch.zeros(2)},
            {"mend": json.dumps({"weights_sha256": None, "matrices": ["a"], "rank": 1})},
        ),
        load_checkpoint,
    ),
    "published": (
        "m.pt",
        saved({"model": {"edit_lrs": torch.zeros(1)}}),
        lambda path: convert_pt(path, []),
    ),
}


def shown(path: Path) -> Any:
    """Read a result and show it, as a run and as `compare` do."""
    runs, _ = read_runs([path])
    metrics = default_metrics(catalogue(runs))
    return result_tables(read_result(path)), overview(compare(runs, metrics, metrics[0]))


@pytest.mark.parametrize("name", RECORDS)
@FUZZ
@given(data=st.data())
def test_records_with_something_else_in_them(name: str, data: Any, tmp_path: Path) -> None:
    file, record, reader = RECORDS[name]
    path = tmp_path / file
    path.write_text(json.dumps(data.draw(spoilt(record))), encoding="utf-8")
    value, refusal = outcome(lambda: reader(path))
    if refusal is None:
        assert value is not None
    else:
        assert one_line(refusal)
        assert file in refusal


@pytest.mark.parametrize("name", FILES)
@FUZZ
@given(data=st.data())
def test_files_with_spoilt_bytes(name: str, data: Any, tmp_path: Path) -> None:
    file, content, reader = FILES[name]
    path = tmp_path / file
    path.write_bytes(data.draw(mangled(content)))
    value, refusal = outcome(lambda: reader(path))
    if refusal is None:
        assert value is not None
    else:
        assert one_line(refusal)
        assert file in refusal


@pytest.mark.parametrize("name", FILES)
def test_unspoilt_files_are_read(name: str, tmp_path: Path) -> None:
    """The fuzzing would pass on readers that refuse everything."""
    file, content, reader = FILES[name]
    (tmp_path / file).write_bytes(content)
    value, refusal = outcome(lambda: reader(tmp_path / file))
    if name == "published":  # what it is converted for does not fit any model
        assert value is None and refusal is not None
    else:
        assert value is not None and refusal is None


@FUZZ
@given(
    key=st.sampled_from(["layers", "v_lr", "mom2_dtype", "context_template_length_params"]),
    value=st.one_of(
        st.text(max_size=20),
        ODD.map(str),
        st.sampled_from(["[[1, 2]]", "{a: b}", "!!set {a}", "&a [*a]", "? [a]", "<<: 1", "1:2"]),
    ),
)
def test_hparams_of_all_kinds(key: str, value: str) -> None:
    rome = get_editor("rome")
    resolved, refusal = outcome(
        lambda: resolve_hparams(
            "rome", rome, model_name="x", shape=ModelShape(4, 32, 48), overrides=[f"{key}={value}"]
        )
    )
    if refusal is None:
        assert resolved.source.endswith(f"set by hand: {key}")
    else:
        assert one_line(refusal)
        assert key in refusal
