"""Closed forms: the change of a projection that gives some keys new outputs.

All are written with directions S k, where S is the inverse of what weighs against a change (C for
ROME, lambda C for MEMIT). S is made once, in `prepare`, and applied to keys: an edit inverts
nothing of its size. A change has the rank of its facts, and stays in factors until it is added.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Change(NamedTuple):
    """A change of a projection in n facts, as the product of two factors."""

    left: Tensor
    """(d_model, n)."""
    right: Tensor
    """(n, d_ff)."""

    def matrix(self) -> Tensor:
        """Return left right, (d_model, d_ff)."""
        return self.left @ self.right

    def norm(self) -> float:
        """Return the Frobenius norm, in O((d_model + d_ff) n^2)."""
        squared = ((self.left.T @ self.left) * (self.right @ self.right.T)).sum()
        return float(squared.clamp(min=0).sqrt())


class RankOne(NamedTuple):
    """A rank-one change and the number that tells whether it explodes."""

    change: Change
    division_factor: float
    """key . u for unit u: the change grows with its inverse."""


def rank_one_update(residual: Tensor, direction: Tensor, key: Tensor) -> RankOne:
    """Return the change that adds `residual` to the output for `key` (Meng et al. 2022, eq. 2).

    Args:
        residual: (d_model,), value wanted minus value there.
        direction: (d_ff,), C^-1 k up to scale.
        key: (d_ff,), the key that must get the residual exactly.

    Returns:
        residual direction^T / (key . direction)

    Example:
        >>> direction, key = torch.tensor([1.0, 0.0]), torch.tensor([2.0, 5.0])
        >>> rank_one_update(torch.ones(2), direction, key).change.matrix() @ key
        tensor([1., 1.])
    """
    unit = direction / direction.norm()
    factor = key @ unit
    return RankOne(Change(residual[:, None] / factor, unit[None]), factor.item())


def update_along(
    residuals: Tensor, keys: Tensor, directions: Tensor, *, slack: float = 1.0
) -> Change:
    """Return R (slack I + K^T S K)^-1 (S K)^T, the change that adds about R to the outputs of K.

    By Woodbury, slack 1 is the least-squares R K^T (S^-1 + K K^T)^-1 of MEMIT, and slack 0 the
    equality constraint of ROME, for several keys: the change U of least tr(U S^-1 U^T) with
    U K = R. Only an n x n system is solved.

    Args:
        residuals: R, (d_model, n), what each key's output still lacks.
        keys: K, (d_ff, n).
        directions: S K, (d_ff, n).
        slack: How far the residuals may be missed, at least 0.
    """
    inner = slack * torch.eye(keys.shape[1]).to(keys) + keys.T @ directions
    # solve_ex: a model that is already broken gives NaN here, which is recorded, not raised.
    return Change(residuals, torch.linalg.solve_ex(inner, directions.T).result)


def least_squares_update(residuals: Tensor, keys: Tensor, inverse: Tensor) -> Change:
    """Return R K^T (A + K K^T)^-1 (Meng et al. 2023, eq. 14).

    Takes O(d_ff^2 n) operations.

    Args:
        residuals: R, (d_model, n), what each key's output still lacks.
        keys: K, (d_ff, n).
        inverse: S = A^-1, (d_ff, d_ff), of lambda C.
    """
    return update_along(residuals, keys, inverse @ keys)


class PastKeys:
    """Least squares that also spares the keys K_p of earlier edits, n of them.

    With S = A^-1 it keeps G, of n columns, such that (A + K_p K_p^T)^-1 = S - G G^T: recursive
    least squares with the inverse in two parts. An edit of b facts costs what S costs and
    O(d_ff n b). Nothing of size d_ff x d_ff is factorised for an edit, where solving with
    A + K_p K_p^T takes O(d_ff^3).

    G rather than the product K_p K_p^T is the state: it is as small as the keys themselves (the
    product of a GPT-J layer takes 2.1 GB after one edit, G 0.1 MB), and it is just what the next
    edit reads, so a resumed run goes on bit for bit. Beyond 2 d_ff columns a QR decomposition,
    O(d_ff^3) once in d_ff keys, brings it back to d_ff: it stays below two such products.

    Args:
        solve: Applies S, symmetric and positive semi-definite, to keys (d_ff, b).
        d_ff: Length of a key.
        device: Where the keys are.
    """

    def __init__(self, solve: Callable[[Tensor], Tensor], d_ff: int, device: torch.device) -> None:
        self._solve = solve
        self.factor = torch.zeros(d_ff, 0, dtype=torch.float64, device=device)
        """G, (d_ff, columns)."""

    def update(self, residuals: Tensor, keys: Tensor, *, remember: bool = True) -> Change:
        """Return R K^T (A + K_p K_p^T + K K^T)^-1.

        Args:
            residuals: R, (d_model, b).
            keys: K, (d_ff, b).
            remember: Count K among the earlier keys from now on.
        """
        directions = self._solve(keys) - self.factor @ (self.factor.T @ keys)
        if remember:
            self._add(keys, directions)
        return update_along(residuals, keys, directions)

    def _add(self, keys: Tensor, directions: Tensor) -> None:
        inner = torch.eye(keys.shape[1]).to(keys) + keys.T @ directions
        cholesky, failed = torch.linalg.cholesky_ex(inner)
        # A factor that was given up half-way looks like one: NaN goes through, as everywhere.
        cholesky = torch.where(failed == 0, cholesky, torch.nan)
        new = torch.linalg.solve_triangular(cholesky, directions.T, upper=False).T
        self.factor = torch.cat([self.factor, new], 1)
        if self.factor.shape[1] > 2 * len(self.factor):
            self.factor = torch.linalg.qr(self.factor.T, mode="r").R.T.contiguous()
