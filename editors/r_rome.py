"""r-ROME: ROME with one key throughout, averaged over contexts (Gupta et al. 2024, "Rebuilding").

ROME takes its direction from the averaged key and divides by the bare prompt's. With the averaged
key in both places the denominator is k^T C^-1 k, which is positive, and the update cannot explode.
The residual is what the averaged key lacks, so the average gets v* exactly, the bare prompt not.
"""

from __future__ import annotations

from torch import Tensor

from ._rank_one import RankOneEditor
from ._solve import RankOne, rank_one_update


class RROME(RankOneEditor):
    """Rebuilt ROME, one fact a call."""

    def _change(self, wanted: Tensor, keys: Tensor, outputs: Tensor) -> RankOne:
        key = keys.mean(0)
        return rank_one_update(wanted - outputs.mean(0), self._direction(key), key)
