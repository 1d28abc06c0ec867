"""AlphaEdit: MEMIT inside the null space of plain text's keys (Fang et al. 2025).

P projects onto the eigenvectors of C with eigenvalues below a threshold, directions that plain text
hardly uses. The change is R K^T P (P (K K^T + K_p K_p^T) P + L2 I)^-1, K_p the keys of earlier
edits: what is orthogonal to the null space keeps its output exactly, whatever the edit.

The published threshold, 0.02, and L2, 10, are absolute. They fit models whose keys are as large as
those of GPT-2 XL, GPT-J and Llama-3-8B, and mean nothing elsewhere: for models without published
values both are `relative` to the spectrum of C. The run records the threshold and L2 that come out,
and the rank that is kept.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ..tasks.errors import InputError
from ._base import ModelShape
from ._moments import SecondMoment
from ._solve import PastKeys
from ._spread import SpreadEditor, SpreadHparams


class AlphaEditHparams(SpreadHparams):
    nullspace_threshold: float = Field(0.02, gt=0)
    """Eigenvectors of C below it span the null space."""
    L2: float = Field(10.0, gt=0)
    """Weight of the update's squared norm."""
    relative: bool = False
    """Whether the threshold is in units of C's mean eigenvalue, and L2 in units of its trace, the
    mean squared norm of a key."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        # Directions that plain text uses less than the average direction; a tenth of a key's
        # squared norm lets a key with half of its norm in there take most of its residual.
        scale = {"relative": True, "nullspace_threshold": 1.0, "L2": 0.1}
        return {**super().derive(shape), **scale}


def used_directions(moment: Tensor, threshold: float) -> Tensor:
    """Return eigenvectors of C that are not in its null space, (d_ff, d_ff - rank); O(d_ff^3).

    They are fewer than those of the null space, in the models that people edit.

    Args:
        moment: C, (d_ff, d_ff), float64.
        threshold: The null space is spanned by eigenvectors whose eigenvalue is below it.
    """
    values, vectors = torch.linalg.eigh(moment)
    return vectors[:, values >= threshold]


class AlphaEdit(SpreadEditor[AlphaEditHparams]):
    """Null-space constrained editing, any number of facts a call.

    C is decomposed once. S of `PastKeys` is P / L2, which takes O(d_ff (d_ff - rank)) for a key.
    """

    Hparams = AlphaEditHparams

    def _take(self, moments: dict[int, SecondMoment]) -> dict[str, Any]:
        return {"null_space": [self._project(moment) for moment in moments.values()]}

    def _project(self, moment: SecondMoment) -> dict[str, Any]:
        """Set one layer's null space up; return what to record of it."""
        matrix = moment.matrix.to(self.model.device, torch.float64)
        d_ff, threshold, weight = len(matrix), self.hparams.nullspace_threshold, self.hparams.L2
        if self.hparams.relative:
            trace = matrix.trace().item()
            threshold, weight = threshold * trace / d_ff, weight * trace
        used = used_directions(matrix, threshold)
        rank = d_ff - used.shape[1]
        if rank == 0:
            raise InputError(
                f"layer {moment.layer}: C has no eigenvalue below {threshold:.3g}, so there is no "
                "null space to edit in: raise it (--hparams nullspace_threshold=...)"
            )

        def solve(keys: Tensor) -> Tensor:
            return (keys - used @ (used.T @ keys)) / weight

        self._past[moment.layer] = PastKeys(solve, d_ff, matrix.device)
        return {
            "layer": moment.layer,
            "threshold": threshold,
            "L2": weight,
            "rank_kept": rank,
            "d_ff": d_ff,
        }
