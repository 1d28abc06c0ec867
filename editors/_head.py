"""The language-model head, applied to hidden states that are read at a few positions only."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from ..tasks.errors import InputError
from ._hook import only_turns_types

CHUNK = 8192
"""Tokens of the vocabulary whose part of the head is turned into float32 at a time."""


def output_logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Apply the language-model head to final hidden states (..., d_model), soft-capped if it is."""
    head = model.get_output_embeddings()
    assert head is not None, "a causal language model has a head"
    return _capped(model, head(hidden).to(hidden.device))


def _capped(model: PreTrainedModel, logits: Tensor) -> Tensor:
    cap = getattr(model.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


@torch.no_grad()
def float32_logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Return what `output_logits` does, computed in float32 whatever type the model has.

    In half precision logits lie on a grid, of 0.125 around 20 in bfloat16: the likeliest two tokens
    would often be exactly as likely, though their rows of the head tell them apart.

    Args:
        model: The live model.
        hidden: (..., d_model), final hidden states, in the model's type.

    Returns:
        (..., vocabulary), float32.
    """
    head = model.get_output_embeddings()
    if hidden.dtype == torch.float32 or not _is_product(head):
        return output_logits(model, hidden).float()
    states = hidden.to(head.weight.device, torch.float32)
    logits = states.new_empty(*states.shape[:-1], len(head.weight))
    for start in range(0, len(head.weight), CHUNK):
        part = slice(start, start + CHUNK)
        bias = None if head.bias is None else head.bias[part].float()
        logits[..., part] = functional.linear(states, head.weight[part].float(), bias)
    return _capped(model, logits.to(hidden.device))


def _is_product(head: nn.Module | None) -> TypeGuard[nn.Linear]:
    """Return whether a head is the product with its weight, and nobody has put more into it."""
    if type(head) is not nn.Linear or not head.weight.is_floating_point():
        return False
    # `accelerate`, which spreads a model over devices, has a forward of its own around it.
    own = "forward" in vars(head) and not hasattr(head, "_hf_hook")
    return not own and only_turns_types(head)


@torch.no_grad()
def check_head(model: PreTrainedModel) -> None:
    """Hold `float32_logits` against what the model itself gives for two tokens.

    Some families scale logits behind the head, each by a setting of its own.

    Raises:
        InputError: they differ; names the model's class.
    """
    ids = torch.zeros(1, 2, dtype=torch.long, device=model.device)
    whole = model(input_ids=ids, use_cache=False).logits.float()
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    ours = float32_logits(model, hidden).to(whole.device)
    near = 1e-3 if model.dtype == torch.float32 else 5e-2
    # A model that overflows has no numbers to compare: that is for others to say.
    if bool(((ours - whole).abs() > near * whole.abs().max()).any()):
        raise InputError(
            f"{type(model).__name__} changes its logits behind the head in a way that is not known "
            "here, and every likelihood would be wrong: choose a model of another family"
        )
