"""ENCORE: MEMIT with two regularisers for long sequences (Gupta et al. 2025, arXiv 2502.01636).

Three parts, each with a switch of its own; with all three off this is MEMIT.

- Most-probable early stopping (`most_probable_passes`, 0 is off): a value is good enough once the
  target is the likeliest continuation in every context.
- A norm penalty (`norm_weight`, 0 is off): the squared Frobenius norm of each change is added to
  what is minimised. It weighs on the change, not on how far the weights have come.
- Keys of earlier edits (`keep_keys`) are spared, as in `memit_seq`.

The released code leaves the bare prompt out of the early-stopping test; here it counts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import Field
from torch import Tensor

from ._base import ModelShape
from ._moments import SecondMoment
from ._solve import Change, PastKeys
from ._spread import LeastSquaresHparams, SpreadEditor
from ._values import ValueSettings


class ENCOREHparams(LeastSquaresHparams):
    most_probable_passes: int = Field(4, ge=0)
    """Stop after so many passes in which every target token is the likeliest; 0 does not stop."""
    norm_weight: float = Field(10.0, ge=0)
    """lambda_n, weight of the squared norm of a change."""
    keep_keys: bool = True
    """Spare the keys of earlier edits."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        values = super().derive(shape)
        # Weighs against C what it does in GPT-2 XL, 10 to 20000.
        return {**values, "norm_weight": values["mom2_update_weight"] / 2000}

    @property
    def value_settings(self) -> ValueSettings:
        return replace(super().value_settings, most_probable_passes=self.most_probable_passes)


class ENCORE(SpreadEditor[ENCOREHparams]):
    """MEMIT with early stopping, a norm penalty and a memory, any number of facts a call.

    The change is R K^T (lambda C + lambda_n I + K_p K_p^T + K K^T)^-1. The first two terms are
    factorised once; see `PastKeys` for what earlier edits cost.
    """

    Hparams = ENCOREHparams

    def _take(self, moments: dict[int, SecondMoment]) -> dict[str, Any]:
        device, weight = self.model.device, self.hparams.mom2_update_weight
        for layer, moment in moments.items():
            penalised = moment.plus_identity(self.hparams.norm_weight / weight)
            inverse = penalised.inverse(device, scale=weight)
            self._past[layer] = PastKeys(inverse.matmul, len(inverse), device)
        return {}

    def _update(
        self, layer: int, residuals: Tensor, keys: Tensor, *, remember: bool = True
    ) -> Change:
        return super()._update(layer, residuals, keys, remember=remember and self.hparams.keep_keys)
