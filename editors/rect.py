"""RECT: of an edit, keep only the largest relative changes (Gu et al. 2024, arXiv 2401.04700).

Each entry of a change is scored |dW / W| with W the weights just before the edit; the top share is
kept, the rest is not written. Biases are exempt: they are written as the base has them.

`each_layer` masks a layer before the next is solved, so that the next knows what is still missing.
Later code (`MEMIT_rect`) solves all layers with unmasked changes and masks at the end: `after_all`.
A base that does not write layer by layer is masked after all in either case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ..tasks import EditRequest
from ._architecture import oriented
from ._base import EditReport, Hparams
from ._solve import Change
from ._steps import SolvesValues, add_change
from ._wrapper import Wrapper

EPSILON = 1e-8
"""Added to |W|: a weight of zero that changes is among the largest, not infinite."""


class RECTHparams(Hparams):
    keep: float = Field(0.4, gt=0, le=1)
    """Share of each matrix's entries that is written."""
    when: Literal["each_layer", "after_all"] = "each_layer"


def largest_relative(update: Tensor, weight: Tensor, keep: float) -> Tensor:
    """Return which entries of a change to write: exactly ceil(keep n) of n, by |dW| / |W|.

    Args:
        update: dW, float64.
        weight: W, of the same shape.
        keep: The share.

    Returns:
        Booleans, of the same shape.

    Example:
        >>> largest_relative(torch.tensor([1.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 4.0]), 0.5)
        tensor([ True,  True, False])
    """
    scores = (update.abs() / (weight.to(update).abs() + EPSILON)).flatten()
    # 0.07 * 100 is more than 7 in floating point, and one entry too many.
    count = math.ceil(Fraction(str(keep)) * len(scores))
    mask = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    mask[scores.topk(count, sorted=False).indices] = True
    return mask.view(update.shape)


class RECT(Wrapper[RECTHparams]):
    """Regularisation by relative change, around any editor of weights."""

    name = "rect"
    Settings = RECTHparams

    def _prepare(self) -> dict[str, Any]:
        self._each_layer = self.settings.when == "each_layer" and isinstance(
            self.core, SolvesValues
        )
        if self._each_layer and isinstance(self.core, SolvesValues):
            self.core.write = self._write_largest
        return {"masked": "each_layer" if self._each_layer else "after_all"}

    def _write_largest(self, module: nn.Module, change: Change) -> float:
        weight, update = oriented(module), change.matrix()
        before = weight.detach().clone()
        kept = largest_relative(update, before, self.settings.keep)
        add_change(module, change)
        with torch.no_grad():
            weight.copy_(torch.where(kept.to(weight.device), weight, before))
        return float(torch.where(kept, update, 0.0).norm())

    @torch.no_grad()
    def _keep_largest(self, live: Tensor, before: Tensor) -> float:
        """Take back, in place, all but the largest changes; return the norm of what stays."""
        if live.dim() > 1:
            update = live.double() - before.double()
            kept = largest_relative(update, before, self.settings.keep)
            live.copy_(torch.where(kept, live, before))
        return float((live.double() - before.double()).norm())

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        # A wrapper in between may write once more (PRUNE in place): that is masked too.
        if self._each_layer and self.base is self.core:
            return self.base.edit(requests)
        parameters = {name: self.model.get_parameter(name) for name in self.edited_parameters()}
        before = {name: live.detach().clone() for name, live in parameters.items()}
        report = self.base.edit(requests)
        norms = {name: self._keep_largest(live, before[name]) for name, live in parameters.items()}
        return replace(report, update_norms=norms)
