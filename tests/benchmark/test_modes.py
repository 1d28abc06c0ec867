"""How facts reach the editor, and models in half precision."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from seqedit_bench.benchmark.model import OriginalWeights, keep_in_float32
from seqedit_bench.benchmark.tiny_models import MAIN_FAMILIES, build_model
from seqedit_bench.benchmark.trial import FACTS, Trial
from seqedit_bench.editors import get_editor
from seqedit_bench.editors._architecture import Architecture, oriented
from seqedit_bench.leaderboards import read_result

Run = Callable[..., Any]


@pytest.fixture
def run(seqedit: Run, tiny_folder: Path, suite_file: Path, tmp_path: Path) -> Run:
    def call(*options: object) -> Any:
        return seqedit(
            *("--model", tiny_folder, "--suite", suite_file, "--output", tmp_path / "run"),
            *("--editor", "ft_c", "--hparams", "layers=[1]", "--hparams", "num_steps=2"),
            *options,
        )

    return call


@pytest.mark.parametrize(
    ("options", "mode", "batch_size", "calls"),
    [
        ([], "instance-sequential", 1, [1, 1, 1, 1]),
        (["--mode", "instance-sequential"], "instance-sequential", 1, [1, 1, 1, 1]),
        (["--batch-size", 3], "batch-sequential", 3, [3, 1]),
        (["--mode", "batch-sequential", "--batch-size", 2], "batch-sequential", 2, [2, 2]),
        (["--mode", "batch-single"], "batch-single", 4, [4]),
        (["--batch-size", 9], "batch-single", 4, [4]),
    ],
)
def test_modes(
    options: list[object], mode: str, batch_size: int, calls: list[int], run: Run, tmp_path: Path
) -> None:
    done = run(*options)
    assert done.code == 0, done.err
    protocol = read_result(tmp_path / "run").protocol
    assert (protocol.mode, protocol.batch_size) == (mode, batch_size)
    assert (f"{mode}, {batch_size} a call" in done.out) == (batch_size > 1)
    lines = [json.loads(line) for line in (tmp_path / "run" / "edits.jsonl").open()]
    # The facts of one call share its report.
    norms = [tuple(line["update_norm"].values()) for line in lines]
    assert [norms.count(norm) for norm in dict.fromkeys(norms)] == calls


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--mode", "at-once"], "--mode 'at-once'"),
        (["--mode", "batch-sequential"], "--mode batch-sequential does not go with --batch-size 1"),
        (["--mode", "instance-sequential", "--batch-size", 2], "does not go with --batch-size 2"),
        (["--mode", "batch-single", "--batch-size", 2], "--batch-size 2 and 4 edits"),
        (["--mode", "batch-single", "--editor", "rome"], "one fact at a time"),
    ],
)
def test_contradictions_are_refused(
    options: list[object], says: str, run: Run, tmp_path: Path
) -> None:
    done = run(*options)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert says in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", MAIN_FAMILIES)
def test_edited_matrices_hold_what_half_precision_drops(family: str, dtype: torch.dtype) -> None:
    model = build_model(family)
    nn.Module.to(model, dtype)
    architecture = Architecture.of(model)
    module, other = architecture.mlp_out(model, 1), architecture.mlp_out(model, 0)
    name = f"{architecture.mlp_out_name(1)}.weight"
    before = oriented(module).clone()
    keep_in_float32(model, [name])
    originals = OriginalWeights(model, [name])
    small = before.detach().float().abs() * 2**-14  # far below half a unit in the last place
    with torch.no_grad():
        oriented(module).add_(small)
    assert torch.equal(oriented(module).to(dtype), before), "invisible in half precision"
    assert originals.distances()[name].l2 == pytest.approx(float(small.norm()), rel=1e-3)
    assert other.get_parameter("weight").dtype is dtype
    key = torch.randn(1, 1, oriented(module).shape[1]).to(dtype)
    wanted = key.float() @ oriented(module).T
    if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
        wanted = wanted + bias
    assert torch.equal(module(key), wanted.to(dtype)), "computed in float32, handed on as found"


@pytest.mark.parametrize(
    "name", ["ft_c", "rome", "memit", "alphaedit", "lora", "ultraedit", "mend"]
)
def test_edits_in_half_precision_come_near_those_in_full(name: str, cache_dir: Path) -> None:
    moved = []
    for dtype in (torch.float32, torch.bfloat16):
        trial = Trial(name, get_editor(name), "gpt2", cache_dir=cache_dir / str(dtype))
        model = build_model("gpt2")
        nn.Module.to(model, dtype)
        editor = trial.editor_class(
            model, trial.tokenizer, trial.hparams, seed=0, cache_dir=trial.cache_dir
        )
        editor.prepare()
        keep_in_float32(model, editor.edited_parameters())
        originals = OriginalWeights(model, editor.edited_parameters())
        for fact in FACTS[:2]:
            editor.edit([fact])
        moved.append({name: value.l2 for name, value in originals.distances().items()})
    assert moved[1] == pytest.approx(moved[0], rel=0.1)


def test_a_run_in_half_precision(run: Run, tmp_path: Path) -> None:
    done = run("--dtype", "bfloat16", "--num-edits", 2)
    assert done.code == 0, done.err
    result = read_result(tmp_path / "run")
    assert result.model.dtype == "bfloat16"
    assert math.isfinite(result.summary.immediate["es"])
