"""Vectors to edit with, and the weights that an editor may change."""

from __future__ import annotations

import torch
from torch import Tensor

from seqedit_bench.editors import Editor


def vectors(*shape: int, seed: int = 1) -> Tensor:
    """Normal random numbers in float64."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def weights(editor: Editor) -> dict[str, Tensor]:
    """Copies of everything the editor may change."""
    return {
        name: editor.model.get_parameter(name).detach().clone()
        for name in editor.edited_parameters()
    }


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether both are equal bit for bit."""
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())
