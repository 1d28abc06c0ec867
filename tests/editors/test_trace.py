"""Reaching into a forward pass changes what is asked, and nothing afterwards."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from seqedit_bench.editors._architecture import Architecture
from seqedit_bench.editors._trace import Trace, frozen, record, start_at

IDS = torch.arange(2, 14).view(2, 6)


def test_keep_input_and_output(any_model: PreTrainedModel) -> None:
    module = Architecture.of(any_model).mlp_out(any_model, 1)
    with torch.no_grad():
        with Trace({"m": module}, keep="input") as inputs, Trace({"m": module}) as outputs:
            any_model(IDS)
        torch.testing.assert_close(module(inputs.kept["m"]), outputs.kept["m"])


@torch.no_grad()
def test_stop_ends_the_pass(main_model: PreTrainedModel) -> None:
    layers = Architecture.of(main_model).layers(main_model)
    with Trace({"high": layers[3]}) as high:
        low = record(main_model, {"low": layers[0]}, input_ids=IDS)
    assert set(low) == {"low"} and not high.kept
    assert not layers[0]._forward_hooks


def test_errors_inside_pass_through(main_model: PreTrainedModel) -> None:
    layers = Architecture.of(main_model).layers(main_model)
    with pytest.raises(ZeroDivisionError), Trace({"low": layers[0]}):
        raise ZeroDivisionError
    assert not layers[0]._forward_hooks


@torch.no_grad()
@pytest.mark.parametrize("start", [1, 2, 4])
def test_start_at_continues_where_a_full_pass_was(any_model: PreTrainedModel, start: int) -> None:
    architecture = Architecture.of(any_model)
    layers = architecture.layers(any_model)
    with Trace({"below": layers[start - 1]}) as trace:
        full = any_model(IDS).logits
    with start_at(any_model, architecture, start, trace.kept["below"]):
        # Other ids: if any layer below still ran, the result would differ.
        resumed = any_model(IDS.flip(1)).logits
    torch.testing.assert_close(resumed, full)
    torch.testing.assert_close(any_model(IDS).logits, full)


def test_frozen_restores_flags(main_model: PreTrainedModel) -> None:
    parameters = list(main_model.parameters())
    parameters[0].requires_grad_(False)
    with frozen(main_model):
        assert not any(parameter.requires_grad for parameter in parameters)
    assert [parameter.requires_grad for parameter in parameters[:2]] == [False, True]
