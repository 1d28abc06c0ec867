"""Logits from hidden states are the model's own, or the model is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate.hooks import AlignDevicesHook, add_hook_to_module
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PreTrainedModel

from seqedit_bench.benchmark.model import keep_in_float32
from seqedit_bench.benchmark.scoring import Scorer
from seqedit_bench.benchmark.tiny_models import VOCABULARY
from seqedit_bench.editors import _head
from seqedit_bench.editors._head import check_head, float32_logits, output_logits
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.tokenization import Pair

PROMPTS = [[2 + index % 400, 5, 9 + index % 300, 3] for index in range(800)]


def test_every_family_has_the_logits_of_its_head(any_model: PreTrainedModel) -> None:
    check_head(any_model)


def test_a_family_that_scales_its_logits_is_refused(scaling_model: PreTrainedModel) -> None:
    with pytest.raises(InputError, match=r"GraniteForCausalLM changes its logits behind the head"):
        check_head(scaling_model)


@torch.no_grad()
def opinionated(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """Give a tiny model logits as large as a real one's, and a type."""
    head: Any = model.get_output_embeddings()
    head.weight = nn.Parameter(6 * head.weight)  # no longer that of the embeddings
    nn.Module.to(model, dtype)
    return model


@torch.no_grad()
def last_states(model: PreTrainedModel) -> torch.Tensor:
    return model.base_model(torch.tensor(PROMPTS), use_cache=False).last_hidden_state[:, -1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gptj", "opt", "gemma2"])
def test_a_half_precision_model_has_the_logits_of_a_float32_head(
    family: str,
    dtype: torch.dtype,
    make_model: Callable[..., PreTrainedModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the same hidden states; with a bias (GPT-J), a narrower head (OPT) and a cap (Gemma 2)."""
    monkeypatch.setattr(_head, "CHUNK", 96)
    model = opinionated(make_model(family), dtype)
    hidden = last_states(model)
    whole = copy.deepcopy(model)
    nn.Module.to(whole, torch.float32)
    found = float32_logits(model, hidden)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, output_logits(whole, hidden.float()), rtol=1e-5, atol=1e-5)
    check_head(model)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_the_likeliest_two_tokens_do_not_tie_in_half_precision(
    family: str, make_model: Callable[..., PreTrainedModel]
) -> None:
    """A tie of two answers is scored as no answer at all."""
    model = opinionated(make_model(family), torch.bfloat16)
    best = float32_logits(model, last_states(model)).topk(2).indices.tolist()
    pairs = [Pair(ids, [token]) for ids, two in zip(PROMPTS, best, strict=True) for token in two]
    scores = Scorer(model, max_length=256).score(pairs)
    assert all(one[0] != two[0] for one, two in zip(scores[::2], scores[1::2], strict=True))
    coarse = output_logits(model, last_states(model)).topk(2).values
    assert bool((coarse[:, 0] == coarse[:, 1]).any()), "though the head itself lets some tie"


def test_float32_logits_are_the_head_s_own_bit_for_bit(main_model: PreTrainedModel) -> None:
    hidden = last_states(main_model)
    assert torch.equal(float32_logits(main_model, hidden), output_logits(main_model, hidden))


class Largest(TorchDispatchMode):
    """Notes the most rows of the head that are there in float32 at once."""

    rows = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(result, "dtype", None) == torch.float32 and result.shape[-1] == 32:
            self.rows = max(self.rows, len(result))
        return result


def test_the_head_is_never_copied_whole(
    make_model: Callable[..., PreTrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_head, "CHUNK", 96)
    model = opinionated(make_model("llama"), torch.bfloat16)
    hidden = last_states(model)[:3]
    with Largest() as largest:
        assert float32_logits(model, hidden).shape == (3, VOCABULARY)
    assert largest.rows == 96


@torch.no_grad()
def test_what_is_done_to_a_head_counts_in_half_precision_too(
    make_model: Callable[..., PreTrainedModel],
) -> None:
    """An editor may hook it, or edit it: it is then kept in float32."""
    model = opinionated(make_model("llama"), torch.bfloat16)
    hidden = last_states(model)
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    before = float32_logits(model, hidden)

    def add(_: nn.Module, __: Any, output: Any) -> Any:
        return output + 8

    handle = head.register_forward_hook(add)
    assert (float32_logits(model, hidden) - before).mean().item() == pytest.approx(8, abs=0.1)
    handle.remove()
    handle = head.register_forward_pre_hook(lambda _, inputs: (2 * inputs[0],))
    doubled = float32_logits(model, hidden)
    torch.testing.assert_close(doubled, 2 * before, rtol=2e-2, atol=0.1)
    handle.remove()
    head.forward = lambda input: nn.functional.linear(input, head.weight) + 8
    assert (float32_logits(model, hidden) - before).mean().item() == pytest.approx(8, abs=0.1)
    del head.forward
    keep_in_float32(model, ["lm_head.weight"])
    head.weight.mul_(1 + 2**-12)
    found = float32_logits(model, hidden)
    assert not torch.equal(found, found.to(torch.bfloat16).float())
    torch.testing.assert_close(found, before * (1 + 2**-12), rtol=1e-6, atol=1e-5)
    head.register_forward_hook(add)
    assert (float32_logits(model, hidden) - found).mean().item() == pytest.approx(8, abs=0.1)


@torch.no_grad()
def test_a_head_of_a_spread_model_is_a_float32_head_too(
    make_model: Callable[..., PreTrainedModel],
) -> None:
    """With `--device auto`, accelerate puts a forward of its own around every module."""
    model = opinionated(make_model("llama"), torch.bfloat16)
    hidden = last_states(model)
    before = float32_logits(model, hidden)
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear)
    add_hook_to_module(head, AlignDevicesHook(torch.device("cpu")))
    assert "forward" in vars(head)
    assert torch.equal(float32_logits(model, hidden), before)


class Louder(nn.Linear):
    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + 8


def test_a_head_of_another_class_is_asked_itself(
    make_model: Callable[..., PreTrainedModel],
) -> None:
    model: Any = opinionated(make_model("llama"), torch.bfloat16)
    hidden = last_states(model)
    before = float32_logits(model, hidden)
    model.lm_head.__class__ = Louder
    assert (float32_logits(model, hidden) - before).mean().item() == pytest.approx(8, abs=0.1)
