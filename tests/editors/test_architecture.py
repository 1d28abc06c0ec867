"""Every family's block in architectures.yaml, on a tiny model of that family."""

from __future__ import annotations

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from seqedit_bench.editors._architecture import Architecture, add_update, oriented
from seqedit_bench.editors._trace import Trace, record
from seqedit_bench.tasks.errors import InputError


def test_names_and_shapes(any_model: PreTrainedModel) -> None:
    architecture = Architecture.of(any_model)
    shape = architecture.shape(any_model)
    assert (shape.depth, shape.d_model, shape.d_ff) == (4, 32, 48)
    name = architecture.mlp_out_name(2)
    assert any_model.get_submodule(name) is architecture.mlp_out(any_model, 2)


def test_update_adds_to_the_output(any_model: PreTrainedModel) -> None:
    """W + U gives U k more for a key k, whichever way the weight lies in memory."""
    module = Architecture.of(any_model).mlp_out(any_model, 1)
    update, key = torch.randn(32, 48), torch.randn(1, 48)
    with torch.no_grad():
        before = module(key)
        norm = add_update(module, update)
        after = module(key)
    torch.testing.assert_close(after - before, key @ update.T, rtol=1e-4, atol=1e-4)
    assert norm == pytest.approx(float(update.norm()))


def comes_out_as_added(model: PreTrainedModel) -> bool:
    """Return whether a vector added to the down-projection's output comes out of the layer."""
    architecture, outputs = Architecture.of(model), []
    layer, added = architecture.layers(model)[1], torch.randn(32)
    ids = torch.tensor([[5, 6, 7]])
    for vector in (torch.zeros(32), added):
        watched = {"mlp": architecture.mlp_out(model, 1)}
        with Trace(watched, edit=lambda _, output, v=vector: output + v):
            outputs.append(record(model, {"layer": layer}, input_ids=ids)["layer"])
    return torch.allclose(outputs[1] - outputs[0], added.expand(1, 3, 32), rtol=1e-3, atol=1e-4)


def test_a_norm_behind_the_mlp_is_declared(any_model: PreTrainedModel) -> None:
    """MEMIT and its kin write there what the layer's output lacks."""
    assert Architecture.of(any_model).normed is not comes_out_as_added(any_model)


def test_opt_says_itself_where_it_norms(opt_350m: PreTrainedModel) -> None:
    assert Architecture.of(opt_350m).normed
    assert not comes_out_as_added(opt_350m)


def test_orientation_follows_the_type_even_when_square() -> None:
    module = Conv1D(8, 8)
    assert torch.equal(oriented(module), module.weight.T)
    linear = torch.nn.Linear(8, 8)
    assert torch.equal(oriented(linear), linear.weight)


def test_unknown_family_names_the_block_to_add() -> None:
    config = BloomConfig(hidden_size=16, n_layer=1, n_head=2, vocab_size=50)
    with pytest.raises(InputError, match=r"'bloom'.*architectures\.yaml.*add 'bloom:'"):
        Architecture.of(BloomForCausalLM(config))


@pytest.mark.parametrize("layer", [-1, 4])
def test_layer_out_of_range(main_model: PreTrainedModel, layer: int) -> None:
    with pytest.raises(InputError, match="layers 0 to 3"):
        Architecture.of(main_model).mlp_out(main_model, layer)
