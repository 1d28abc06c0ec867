"""Logits from hidden states are the model's own, or the model is refused."""

from __future__ import annotations

import pytest
from transformers import AutoModelForCausalLM, GraniteConfig, PreTrainedModel

from seqedit_bench.editors._head import check_head
from seqedit_bench.tasks import InputError


def test_every_family_has_the_logits_of_its_head(any_model: PreTrainedModel) -> None:
    check_head(any_model)


def test_a_family_that_scales_its_logits_is_refused() -> None:
    config = GraniteConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        logits_scaling=8.0,
    )
    with pytest.raises(InputError, match=r"GraniteForCausalLM changes its logits behind the head"):
        check_head(AutoModelForCausalLM.from_config(config).eval())
