"""p-ROME: ROME with one key throughout, the bare prompt's (Gupta et al. 2024, "Rebuilding ROME").

The denominator is k^T C^-1 k, as in r-ROME, so the update cannot explode; the bare prompt gets v*
exactly. Context templates serve to find v* only.
"""

from __future__ import annotations

from torch import Tensor

from ._rank_one import RankOneEditor
from ._solve import RankOne, rank_one_update


class PROME(RankOneEditor):
    """ROME with prompt keys, one fact a call."""

    def _change(self, wanted: Tensor, keys: Tensor, outputs: Tensor) -> RankOne:
        return rank_one_update(wanted - outputs[0], self._direction(keys[0]), keys[0])
