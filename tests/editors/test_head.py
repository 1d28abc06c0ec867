"""Logits from hidden states are the model's own, or the model is refused."""

from __future__ import annotations

import pytest
from transformers import PreTrainedModel

from seqedit_bench.editors._head import check_head
from seqedit_bench.tasks import InputError


def test_every_family_has_the_logits_of_its_head(any_model: PreTrainedModel) -> None:
    check_head(any_model)


def test_a_family_that_scales_its_logits_is_refused(scaling_model: PreTrainedModel) -> None:
    with pytest.raises(InputError, match=r"GraniteForCausalLM changes its logits behind the head"):
        check_head(scaling_model)
