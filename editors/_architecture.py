"""Where a model keeps its layers and MLP projections, and which way their weights lie."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import torch
import yaml
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ..tasks.errors import InputError
from ._base import ModelShape


@dataclass(frozen=True, slots=True)
class Architecture:
    """The names of the modules that editors touch, in one model.

    Maths in this package uses column vectors: the down-projection is W of shape (d_model, d_ff),
    a key is its input (d_ff,), a value its output (d_model,).
    """

    model_type: str
    layers_path: str
    mlp_out_path: str
    mlp_in_path: str
    normed: bool
    """Whether what the down-projection gives is normed before the layer gives it on."""

    @classmethod
    def of(cls, model: PreTrainedModel) -> Architecture:
        """Look a model's family up in `architectures.yaml`.

        Raises:
            InputError: the family is not there; names the block to add.
        """
        path = files("seqedit_bench.editors") / "architectures.yaml"
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
        model_type = str(model.config.model_type)
        if model_type not in table:
            raise InputError(
                f"model type {model_type!r} has no block in editors/architectures.yaml: "
                f"add '{model_type}:' with 'layers', 'mlp_out' and 'mlp_in' "
                f"(known: {', '.join(table)})"
            )
        block = table[model_type]
        return cls(
            model_type,
            block["layers"],
            block["mlp_out"],
            block["mlp_in"],
            # OPT-350M alone of its family norms behind each sum.
            block.get("normed", not getattr(model.config, "do_layer_norm_before", True)),
        )

    def layers(self, model: PreTrainedModel) -> nn.ModuleList:
        """Return the decoder layers."""
        layers = model.get_submodule(self.layers_path)
        assert isinstance(layers, nn.ModuleList)
        return layers

    def mlp_out(self, model: PreTrainedModel, layer: int) -> nn.Module:
        """Return the down-projection of one layer.

        Raises:
            InputError: the model has no such layer.
        """
        depth = len(self.layers(model))
        if not 0 <= layer < depth:
            raise InputError(f"layer {layer}: the model has layers 0 to {depth - 1}")
        return self.layers(model)[layer].get_submodule(self.mlp_out_path)

    def mlp_out_name(self, layer: int) -> str:
        """Return the down-projection's module name, e.g. `transformer.h.5.mlp.fc_out`."""
        return f"{self.layers_path}.{layer}.{self.mlp_out_path}"

    def mlp_in_name(self, layer: int) -> str:
        """Return the module name of the projection before it, e.g. `transformer.h.5.mlp.fc_in`."""
        return f"{self.layers_path}.{layer}.{self.mlp_in_path}"

    def shape(self, model: PreTrainedModel) -> ModelShape:
        """Return depth and widths, read from the modules themselves."""
        d_model, d_ff = oriented(self.mlp_out(model, 0)).shape
        return ModelShape(len(self.layers(model)), d_model, d_ff)


def oriented(module: nn.Module) -> Tensor:
    """Return a projection's weight as (d_out, d_in), a view on the same memory.

    The module's type decides, never the shape: GPT-2's `Conv1D` stores (d_in, d_out), and a square
    matrix would not tell.
    """
    weight = module.get_parameter("weight")
    if isinstance(module, Conv1D):
        return weight.T
    if isinstance(module, nn.Linear):
        return weight
    raise InputError(f"{type(module).__name__} is not a projection this package can edit")


@torch.no_grad()
def add_update(module: nn.Module, update: Tensor) -> float:
    """Add `update` (d_out, d_in) to a projection's weight, in place.

    Returns:
        The Frobenius norm of the update.
    """
    weight = oriented(module)
    weight += update.to(weight)
    return float(update.norm())
