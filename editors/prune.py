"""PRUNE: restrain the singular values of the accumulated change (Ma et al. 2024, arXiv 2405.16821).

With W0 the unedited weights, s the largest singular value of W0, and dW = W - W0 the sum of all
edits so far: the singular values of dW above s are brought near it by a slowly growing F, the
others and all singular vectors stay. Biases are exempt.

As published it acts on what is measured, and edits go on from the raw weights (`at_checkpoint`);
`in_place` replaces the weights after each edit.

- F(x) = log_a(x) - log_a(s) + s, or (x + s) / 2. The slope of the first just above s is
  1 / (s ln a): where s ln a < 1 it makes singular values slightly above s *larger*. Real matrices
  have s well above 1, tiny ones may not. The run records s, and whether F expands.
- `lineage_double_add` is what `MEMIT_prune` of later code does: it adds F(dW) to weights that hold
  dW already. Published tables under PRUNE's name were made with it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor

from ..tasks import EditRequest
from ._base import EditReport, Hparams
from ._wrapper import Wrapper

BASES = {"log": math.e, "log2": 2.0, "log1_5": 1.5, "log1_2": 1.2}
"""The base a of the logarithm, by the name of F."""
EXPLODED = 1e6
"""Where an update's largest singular value is so many thresholds, its Gram matrix blurs those near
the threshold: it squares them, and float64 has 16 digits."""


class PRUNEHparams(Hparams):
    function: Literal["log", "log2", "log1_5", "log1_2", "linear"] = "log"
    """F."""
    mode: Literal["at_checkpoint", "in_place"] = "at_checkpoint"
    lineage_double_add: bool = False
    """Measure W + F(dW) in place of W0 + F(dW)."""


def restraint(function: str, sigma: float) -> Callable[[Tensor], Tensor]:
    """Return F for singular values above `sigma`.

    Example:
        >>> restraint("log2", 4.0)(torch.tensor([4.0, 8.0, 16.0]))
        tensor([4., 5., 6.])
    """
    if function == "linear":
        return lambda values: (values + sigma) / 2
    scale = math.log(BASES[function])
    return lambda values: (values / sigma).log() / scale + sigma


def largest_singular_value(weight: Tensor) -> float:
    """Return the spectral norm, from the smaller Gram matrix in float64: O(m^2 n) for m <= n."""
    gram = _gram(_wide(weight.double()))
    return float(torch.linalg.eigvalsh(gram)[-1].clamp(min=0).sqrt())


def restrain(update: Tensor, sigma: float, function: str) -> Tensor:
    """Return U F(S) V^T of an update U S V^T, where F leaves singular values up to `sigma` alone.

    V never appears: v_i = dW^T u_i / s_i, so it is dW + U (F(S) / S - 1) U^T dW over the singular
    values above `sigma`. Their left vectors come from the smaller Gram matrix, or, where the update
    is EXPLODED, from its SVD, which takes longer. Where the Frobenius norm, which bounds them all,
    is not above `sigma`, nothing is decomposed. What is not finite is returned as it is.

    Args:
        update: dW, (rows, columns), float64.
        sigma: The threshold.
        function: Name of F.
    """
    norm = float(update.norm())
    if not sigma < norm < math.inf:
        return update
    wide = _wide(update)
    squares, vectors = torch.linalg.eigh(_gram(wide))
    values = squares.clamp(min=0).sqrt()
    if float(values[-1]) > EXPLODED * sigma:
        vectors, values, _ = torch.linalg.svd(wide, full_matrices=False)
    above = values > sigma
    values, vectors = values[above], vectors[:, above]
    factors = restraint(function, sigma)(values) / values - 1
    wide = wide + (vectors * factors) @ (vectors.T @ wide)
    return wide if wide.shape == update.shape else wide.T


def _wide(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T


def _gram(wide: Tensor) -> Tensor:
    return wide @ wide.T


class PRUNE(Wrapper[PRUNEHparams]):
    """Perturbation restraint on the upper bound, around any editor of weights."""

    name = "prune"
    Settings = PRUNEHparams

    def _prepare(self) -> dict[str, Any]:
        matrices = {name: self.model.get_parameter(name) for name in self.edited_parameters()}
        self._originals = {
            name: live.detach().clone() for name, live in matrices.items() if live.dim() == 2
        }
        self._sigma = {
            name: largest_singular_value(weight) for name, weight in self._originals.items()
        }
        slope = math.log(BASES.get(self.settings.function, math.e))
        return {
            "matrices": [
                {
                    "parameter": name,
                    "sigma": sigma,
                    "expands": self.settings.function != "linear" and sigma * slope < 1,
                }
                for name, sigma in self._sigma.items()
            ]
        }

    def _restrained(self) -> dict[str, Tensor]:
        """Return the weights with the accumulated change restrained, where that changes them."""
        found = {}
        for name, original in self._originals.items():
            live = self.model.get_parameter(name).detach()
            update = live.double() - original.double()
            kept = restrain(update, self._sigma[name], self.settings.function)
            if self.settings.lineage_double_add:
                found[name] = live.double() + kept
            elif kept is not update:
                found[name] = original.double() + kept
        return found

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Copy weights into the live model; return those that were there."""
        before = {}
        for name, weight in weights.items():
            live = self.model.get_parameter(name)
            before[name] = live.detach().clone()
            live.copy_(weight)
        return before

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        with self.base.measured():
            raw: dict[str, Tensor] = {}
            if self.settings.mode == "at_checkpoint":
                raw = self._put(self._restrained())
            try:
                yield
            finally:
                self._put(raw)

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        if self.settings.mode == "at_checkpoint":
            return self.base.edit(requests)
        parameters = {name: self.model.get_parameter(name) for name in self.edited_parameters()}
        before = {name: live.detach().clone() for name, live in parameters.items()}
        report = self.base.edit(requests)
        self._put(self._restrained())
        norms = {
            name: float((live.detach().double() - before[name].double()).norm())
            for name, live in parameters.items()
        }
        return replace(report, update_norms=norms)
