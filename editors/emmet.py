"""EMMET: equality-constrained mass editing (Gupta et al. 2024, "A Unified Framework ...").

ROME's objective for many facts: of all changes that give every averaged key its value, the one that
disturbs plain text least, R (K^T C^-1 K)^-1 K^T C^-1. For one fact the weight of C cancels. Keys of
a batch can be nearly parallel, so a batch is relaxed: lambda_E I is added to K^T C^-1 K. With
lambda_E = 1 the formula is MEMIT's.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor

from ._base import ModelShape
from ._locate import rome_layer
from ._moments import SecondMoment
from ._solve import Change, update_along
from ._spread import SpreadEditor, SpreadHparams


class EMMETHparams(SpreadHparams):
    mom2_update_weight: float = Field(1000.0, gt=0)
    """Weight of C; matters only beside lambda_E, in a batch."""
    emmet_lambda: float = Field(0.1, ge=0)
    """lambda_E, used where a call brings more than one fact."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        # GPT-2 XL's 1000 at d_ff = 6400, scaled as MEMIT's weight is.
        weight = 1000 * shape.d_ff / 6400
        return {"layers": [rome_layer(shape)], "mom2_update_weight": round(weight)}


class EMMET(SpreadEditor[EMMETHparams]):
    """Equality-constrained Mass Model Editing, any number of facts a call.

    C is factorised once; an edit of n facts takes O(d_ff^2 n) operations a layer.
    """

    Hparams = EMMETHparams

    def _take(self, moments: dict[int, SecondMoment]) -> dict[str, Any]:
        self._inverse = {
            layer: moment.inverse(self.model.device, scale=self.hparams.mom2_update_weight)
            for layer, moment in moments.items()
        }
        return {}

    def _update(
        self, layer: int, residuals: Tensor, keys: Tensor, *, remember: bool = True
    ) -> Change:
        directions = self._inverse[layer] @ keys
        slack = self.hparams.emmet_lambda if keys.shape[1] > 1 else 0.0
        return update_along(residuals, keys, directions, slack=slack)
