"""ROME: one fact as a rank-one change of one MLP (Meng et al. 2022, "Locating and Editing ...").

This is the original, as published code runs it: the direction comes from the key averaged over
context templates, the denominator from the key of the bare prompt. Where the two are nearly
orthogonal under C^-1 the update explodes: the paper's disabling edits.
"""

from __future__ import annotations

from torch import Tensor

from ._rank_one import RankOneEditor
from ._solve import RankOne, rank_one_update


class ROME(RankOneEditor):
    """Rank-One Model Editing, one fact a call."""

    def _change(self, wanted: Tensor, keys: Tensor, outputs: Tensor) -> RankOne:
        return rank_one_update(wanted - outputs[0], self._direction(keys.mean(0)), keys[0])
