"""MEMIT for a sequence of edits: the keys of earlier edits are spared as plain text's are.

MEMIT's normal equations know nothing of the facts of earlier calls. Here their K_p K_p^T is added
to lambda C, so that each asks for a residual of zero (Meng et al. 2023, eq. 14, with the earlier
facts among what is preserved; a baseline of Fang et al. 2025, "AlphaEdit").
"""

from __future__ import annotations

from typing import Any

from ._moments import SecondMoment
from ._solve import PastKeys
from ._spread import LeastSquaresHparams, SpreadEditor


class MEMITSeq(SpreadEditor[LeastSquaresHparams]):
    """MEMIT that remembers, any number of facts a call.

    lambda C is factorised once; see `PastKeys` for what earlier edits cost.
    """

    Hparams = LeastSquaresHparams

    def _take(self, moments: dict[int, SecondMoment]) -> dict[str, Any]:
        device = self.model.device
        for layer, moment in moments.items():
            inverse = moment.inverse(device, scale=self.hparams.mom2_update_weight)
            self._past[layer] = PastKeys(inverse.matmul, len(inverse), device)
        return {}
