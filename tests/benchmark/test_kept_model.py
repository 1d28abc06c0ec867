"""The edited model on the disk: what was measured last, and nothing but it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from interrupted import KillAt
from seqedit_bench.benchmark import RunConfig
from seqedit_bench.benchmark.journal import Journal
from seqedit_bench.benchmark.loop import Loop
from seqedit_bench.benchmark.runner import resume_run, run
from seqedit_bench.benchmark.storage import StorageError
from seqedit_bench.tasks import InputError

ROME = (
    "layers=[1]",
    "v_num_grad_steps=2",
    "mom2_n_tokens=600",
    "context_template_length_params=[[4, 2]]",
)
SINGLE = "single_edit: {edits: zsre, num_edits: 2, tasks: [zsre_efficacy]}\nscore"


@pytest.fixture
def request_of(tiny_folder: Path, other_suite: Any, tmp_path: Path) -> dict[str, Any]:
    return {
        "editor": "ft_c",
        "hparams": ("layers=[1]", "norm_constraint=0.01"),
        "model": str(tiny_folder),
        "suite": str(other_suite("score", SINGLE)),
        "num_edits": 3,
        "save_every": 1,
        "output": tmp_path / "run",
        "keep_model": True,
    }


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """What the last measurement of the sequence saw, by parameter name."""
    weights: dict[str, torch.Tensor] = {}
    measure = Loop._checkpoint

    def checkpoint(loop: Loop, names: Any) -> None:
        measure(loop, names)
        with loop.editor.measured():
            weights.update({n: p.detach().clone() for n, p in loop.loaded.model.named_parameters()})

    monkeypatch.setattr(Loop, "_checkpoint", checkpoint)
    return weights


def kept(run: Path) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(run / "model", dtype=torch.float32)
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    ("editor", "hparams"),
    [
        ("ft_c", ("layers=[1]", "norm_constraint=0.01")),
        ("prune+rome", ROME),
        ("lora", ("num_steps=2",)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_the_model_that_was_measured(
    editor: str, hparams: Any, dtype: str, request_of: dict[str, Any], seen: dict[str, Any]
) -> None:
    """Though the single edits that come after the sequence restore it."""
    request = {**request_of, "editor": editor, "hparams": hparams, "dtype": dtype}
    done = run(RunConfig.model_validate(request))
    assert done.result.summary.distance
    found = kept(request_of["output"])
    assert found.keys() == seen.keys()
    for name, value in seen.items():
        assert torch.equal(found[name], value.float()), name
    tokenizer = AutoTokenizer.from_pretrained(request_of["output"] / "model")
    assert tokenizer("The capital of France is").input_ids


def test_a_run_that_was_stopped_keeps_the_same(
    request_of: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(RunConfig.model_validate(request_of))
    other = tmp_path / "stopped"
    append = Journal.append_single

    def stop(journal: Journal, line: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Journal, "append_single", stop)
    with pytest.raises(KeyboardInterrupt):
        run(RunConfig.model_validate({**request_of, "output": other}))
    monkeypatch.setattr(Journal, "append_single", append)
    resume_run(other, KillAt())
    first, second = kept(request_of["output"]), kept(other)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_it_is_asked_for_too_late(
    request_of: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the sequence the unedited weights are back: nothing is kept, and nothing is lost."""
    without = {**request_of, "keep_model": False}
    monkeypatch.setattr(Loop, "_save_if", stop_after_a_single_edit(Loop._save_if))
    with pytest.raises(KeyboardInterrupt):
        run(RunConfig.model_validate(without))
    monkeypatch.undo()
    late = RunConfig.model_validate(request_of)
    with pytest.raises(InputError, match=r"--keep-model comes too late: .* Leave it out"):
        resume_run(request_of["output"], config=late)
    resume_run(request_of["output"], config=RunConfig.model_validate(without))
    with pytest.raises(InputError, match="--keep-model comes too late"):
        resume_run(request_of["output"], config=late)
    kept_in_time = RunConfig.model_validate({**request_of, "output": tmp_path / "kept"})
    run(kept_in_time)
    assert resume_run(tmp_path / "kept", config=kept_in_time).result


def test_a_model_that_was_taken_elsewhere_is_not_missed(
    request_of: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`resume` asks for nothing: a run that kept its model goes on without it."""
    monkeypatch.setattr(Loop, "_save_if", stop_after_a_single_edit(Loop._save_if))
    with pytest.raises(KeyboardInterrupt):
        run(RunConfig.model_validate(request_of))
    monkeypatch.undo()
    shutil.rmtree(request_of["output"] / "model")
    assert resume_run(request_of["output"]).result.ending.edits_done == 3


def stop_after_a_single_edit(save_if: Any) -> Any:
    def stop(loop: Loop, due: bool) -> None:
        save_if(loop, due)
        if loop.single_edits:
            raise KeyboardInterrupt

    return stop


def test_a_disk_that_is_full(request_of: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there stays, and the run can go on."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(StorageError, match=r"cannot write model/ in .*No space left .*resume"):
        run(RunConfig.model_validate(request_of))
    assert not (request_of["output"] / "model").exists()
    monkeypatch.undo()
    resume_run(request_of["output"])
    assert kept(request_of["output"])


@pytest.mark.parametrize("editor", ["grace", "in_context"])
def test_edits_beside_the_weights_are_not_in_them(editor: str, request_of: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"--keep-model: .* beside the weights"):
        run(RunConfig.model_validate({**request_of, "editor": editor, "hparams": ()}))
    assert not request_of["output"].exists()
