"""MEMIT: ROME's pieces, several layers, least squares (Meng et al. 2023, "Mass-Editing Memory").

One value is found at the last layer; every layer from the first on then takes its share of what is
still missing, as the least-squares change that spares the keys of plain text. Nothing spares the
keys of earlier edits: `memit_seq` does.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._moments import SecondMoment
from ._solve import Change, least_squares_update
from ._spread import LeastSquaresHparams, SpreadEditor


class MEMIT(SpreadEditor[LeastSquaresHparams]):
    """Mass-Editing Memory in a Transformer, any number of facts a call."""

    Hparams = LeastSquaresHparams

    def _take(self, moments: dict[int, SecondMoment]) -> dict[str, Any]:
        self._inverse = {
            layer: moment.inverse(self.model.device, scale=self.hparams.mom2_update_weight)
            for layer, moment in moments.items()
        }
        return {}

    def _update(
        self, layer: int, residuals: Tensor, keys: Tensor, *, remember: bool = True
    ) -> Change:
        return least_squares_update(residuals, keys, self._inverse[layer])
