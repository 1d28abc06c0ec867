"""The language-model head, applied to hidden states that are read at a few positions only."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..tasks.errors import InputError


def output_logits(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Apply the language-model head to final hidden states (..., d_model), soft-capped if it is."""
    head = model.get_output_embeddings()
    assert head is not None, "a causal language model has a head"
    logits = head(hidden).to(hidden.device)
    cap = getattr(model.config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


@torch.no_grad()
def check_head(model: PreTrainedModel) -> None:
    """Hold `output_logits` against what the model itself gives for two tokens.

    Some families scale logits behind the head, each by a setting of its own.

    Raises:
        InputError: they differ; names the model's class.
    """
    ids = torch.zeros(1, 2, dtype=torch.long, device=model.device)
    whole = model(input_ids=ids, use_cache=False).logits.float()
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    ours = output_logits(model, hidden).float().to(whole.device)
    near = 1e-3 if model.dtype == torch.float32 else 5e-2
    # A model that overflows has no numbers to compare: that is for others to say.
    if bool(((ours - whole).abs() > near * whole.abs().max()).any()):
        raise InputError(
            f"{type(model).__name__} changes its logits behind the head in a way that is not known "
            "here, and every likelihood would be wrong: choose a model of another family"
        )
