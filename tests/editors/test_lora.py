"""LoRA folds its adapters into the model's own weights, and leaves nothing else behind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from seqedit_bench.editors import Editor, EditRequest
from seqedit_bench.editors._architecture import oriented
from seqedit_bench.editors.lora import LoRA
from seqedit_bench.tasks.errors import InputError

IDS = torch.tensor([[5, 40, 7, 300, 21, 8]])


def logits(model: PreTrainedModel) -> Tensor:
    with torch.no_grad():
        return model(input_ids=IDS, use_cache=False).logits[0]


@torch.no_grad()
def sharpen(model: PreTrainedModel) -> None:
    """Let a tiny model be sure of something: its head is random, and its hidden states short."""
    base: Any = model.base_model
    norm = base.norm if hasattr(base, "norm") else base.ln_f
    norm.weight.mul_(8)


def weights(editor: Editor) -> dict[str, Tensor]:
    return {
        name: oriented(editor.model.get_submodule(name.removesuffix(".weight"))).detach().clone()
        for name in editor.edited_parameters()
    }


def ranks(editor: Editor, before: dict[str, Tensor]) -> set[int]:
    """Numerical ranks of all changes, above the rounding of the weights."""
    after = weights(editor)
    changes = [(after[name] - before[name]).double() for name in before]
    return {int(torch.linalg.matrix_rank(change, atol=1e-5)) for change in changes}


def test_rank_stays_where_one_adapter_goes_on(
    main_model: PreTrainedModel, make_editor: Callable[..., Editor], requests: list[EditRequest]
) -> None:
    editor = make_editor("lora", main_model, r=2)
    before = weights(editor)
    for request in requests[:3]:
        editor.edit([request])
        assert ranks(editor, before) == {2}


def test_rank_grows_where_adapters_are_merged(
    main_model: PreTrainedModel, make_editor: Callable[..., Editor], requests: list[EditRequest]
) -> None:
    editor = make_editor("lora", main_model, r=2, variant="merge")
    before = weights(editor)
    for calls, request in enumerate(requests[:3], start=1):
        editor.edit([request])
        assert ranks(editor, before) == {2 * calls}
    assert set(editor.state_dict()) == {"random"}


def test_folded_weights_answer_as_the_adapter_does(
    main_model: PreTrainedModel,
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    """The stream's factors in peft's own layers, on the unedited model."""
    editor = make_editor("lora", main_model, r=3, alpha=5.0)
    for request in requests[:2]:
        editor.edit([request])
    state = editor.state_dict()
    plain = make_model(main_model.config.model_type)
    names = [name.removesuffix(".weight") for name in editor.edited_parameters()]
    config = peft.LoraConfig(
        r=3,
        lora_alpha=5.0,  # pyright: ignore[reportArgumentType]
        target_modules=names,
        fan_in_fan_out=main_model.config.model_type == "gpt2",
    )
    peft.inject_adapter_in_model(config, plain)
    for name in names:
        for side in "AB":
            factor = plain.get_parameter(f"{name}.lora_{side}.default.weight")
            factor.data.copy_(state[f"{name}.{side}"])
    assert not torch.allclose(logits(plain), logits(make_model(main_model.config.model_type)))
    torch.testing.assert_close(logits(main_model), logits(plain.eval()), rtol=1e-4, atol=1e-4)


def test_the_stream_s_adapter_is_all_that_moves_the_weights(
    main_model: PreTrainedModel, make_editor: Callable[..., Editor], requests: list[EditRequest]
) -> None:
    """W is W0 + s B A bit for bit, after any number of calls: nothing is rounded twice."""
    editor = make_editor("lora", main_model, r=2, alpha=4.0)
    before = weights(editor)
    for request in requests[:3]:
        editor.edit([request])
    state = editor.state_dict()
    for name, after in weights(editor).items():
        module = name.removesuffix(".weight")
        expected = before[name] + 2.0 * (state[f"{module}.B"] @ state[f"{module}.A"])
        torch.testing.assert_close(after, expected, rtol=0, atol=0)


def test_only_adapters_get_gradients_and_none_stays(
    main_model: PreTrainedModel,
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[set[str]] = []

    def watch(parameters: Any, facts: Any, hparams: Any) -> list[dict[str, float]]:
        facts().mean().backward()
        named = dict(main_model.named_parameters())
        seen.append({name for name, each in named.items() if each.grad is not None})
        assert {id(named[name]) for name in seen[0]} == set(map(id, parameters))
        return [{"loss": 0.0}]

    editor = make_editor("lora", main_model)
    modules = dict(main_model.named_modules())
    monkeypatch.setattr("seqedit_bench.editors.lora.descend", watch)
    editor.edit(requests[:1])
    assert len(seen[0]) == 2 * len(editor.edited_parameters())
    assert all(".lora_A." in name or ".lora_B." in name for name in seen[0])
    assert dict(main_model.named_modules()) == modules
    assert not hasattr(main_model, "peft_config")


def test_an_interrupted_edit_leaves_no_adapter(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    model = make_model("llama")
    editor = make_editor("lora", model)
    modules = dict(model.named_modules())
    monkeypatch.setattr("seqedit_bench.editors.lora.descend", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        editor.edit(requests[:1])
    assert dict(model.named_modules()) == modules


@pytest.mark.parametrize("variant", ["continue", "merge"])
def test_a_fact_is_fitted(
    main_model: PreTrainedModel,
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
    variant: str,
) -> None:
    sharpen(main_model)
    settings = {"variant": variant, "r": 8, "alpha": 16.0, "num_steps": 60, "lr": 0.02}
    editor = make_editor("lora", main_model, **settings)
    (report,) = editor.edit(requests[:1]).per_request
    assert report["loss"] < 0.01 < report["loss_first"]
    again = make_editor("lora", main_model, num_steps=1).edit(requests[:1]).per_request[0]
    assert again["loss_first"] < 0.02


def test_merging_a_share(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    """A share of 0.25 is WikiBigEdit's 0.75 W + 0.25 (W + s B A)."""
    changes = []
    for share in (1.0, 0.25):
        editor = make_editor("lora", make_model("llama"), variant="merge", merge_weight=share)
        before = weights(editor)
        editor.edit(requests[:1])
        changes.append({name: after - before[name] for name, after in weights(editor).items()})
    for name, whole in changes[0].items():
        torch.testing.assert_close(changes[1][name], 0.25 * whole, rtol=1e-3, atol=1e-6)


def test_dropout_acts_in_training_alone(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    """It changes the edit, is seeded, and leaves no trace in the model's answers."""
    answers = []
    for dropout, seed in ((0.0, 0), (0.5, 0), (0.5, 0), (0.5, 1)):
        model = make_model("llama")
        make_editor("lora", model, dropout=dropout, seed=seed).edit(requests[:1])
        answers.append(logits(model))
        torch.testing.assert_close(answers[-1], logits(model), rtol=0, atol=0)
    without, first, again, other = answers
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.allclose(first, without)
    assert not torch.allclose(first, other)


def test_targets(
    make_model: Callable[..., PreTrainedModel], make_editor: Callable[..., Editor]
) -> None:
    """Ends of names count from a dot: `proj` is no end of `q_proj`."""
    expected = {"gpt2": {"c_attn"}, "gptj": {"q_proj", "v_proj"}, "llama": {"q_proj", "v_proj"}}
    for family, ends in expected.items():
        names = make_editor("lora", make_model(family)).edited_parameters()
        assert {name.split(".")[-2] for name in names} == ends
        assert len(names) == 4 * len(ends)
    for targets in (["proj"], ["c_attn"]):
        with pytest.raises(InputError, match="no projection of this model"):
            make_editor("lora", make_model("llama"), targets=targets)
    with pytest.raises(InputError, match=r"targets=.* with names this model has"):
        make_editor("lora", make_model("phi3"))
    fused = make_editor("lora", make_model("phi3"), targets=["self_attn.qkv_proj"])
    assert len(fused.edited_parameters()) == 4


def test_missing_peft_is_named(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert LoRA.kind == "weights"  # the module itself is imported without peft
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(InputError, match=r"pip install 'seqedit-bench\[lora\]'"):
        make_editor("lora", make_model("llama"))
