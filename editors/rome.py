"""ROME: one fact as a rank-one change of one MLP (Meng et al. 2022, "Locating and Editing ...").

This is the original, as published code runs it: the direction comes from the key averaged over
context templates, the denominator from the key of the bare prompt. Where the two are nearly
orthogonal under C^-1 the update explodes: the paper's disabling edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from ..tasks import EditRequest
from ._architecture import Architecture, add_update
from ._base import Editor, EditReport, ModelShape
from ._contexts import rome_templates
from ._keys import keys_and_outputs, subject_rows
from ._locate import LocateHparams, decode_strings, encode_strings, moments_for, rome_layer
from ._values import optimise_values


class ROMEHparams(LocateHparams):
    layers: list[int] = Field(min_length=1, max_length=1)
    clamp_norm_factor: float = Field(4.0, gt=0)
    context_template_length_params: list[tuple[int, int]] = Field([(5, 10), (10, 10)])
    """Pairs (tokens, texts) of the sampled context templates; the bare prompt comes on top."""
    mom2_adjustment: bool = True
    """Whether the direction is C^-1 k (true) or k itself."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        return {"layers": [rome_layer(shape)]}


class RankOne(NamedTuple):
    """A rank-one update and the number that tells whether it explodes."""

    update: Tensor
    """(d_model, d_ff)."""
    division_factor: float
    """k_p . u for unit u: the update grows with its inverse."""


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
        >>> rank_one_update(torch.ones(2), direction, key).update @ key
        tensor([1., 1.])
    """
    unit = direction / direction.norm()
    factor = key @ unit
    return RankOne(torch.outer(residual, unit) / factor, factor.item())


class ROME(Editor):
    """Rank-One Model Editing, one fact a call."""

    needs = frozenset({"covariance", "subject"})
    Hparams = ROMEHparams
    hparams: ROMEHparams

    def prepare(self) -> dict[str, Any]:
        hparams = self.hparams
        self._architecture = Architecture.of(self.model)
        (self._layer,) = hparams.layers
        self._module = self._architecture.mlp_out(self.model, self._layer)
        self._templates = rome_templates(
            self.model, self.tokenizer, hparams.context_template_length_params, seed=self.seed
        )
        record: dict[str, Any] = {"context_templates": self._templates}
        self._cholesky: Tensor | None = None
        if hparams.mom2_adjustment:
            moment = moments_for(self, hparams, self._architecture)[self._layer]
            self._cholesky = moment.cholesky(self.model.device)
            record["second_moments"] = [moment.provenance()]
        return record

    def edited_parameters(self) -> list[str]:
        return [f"{self._architecture.mlp_out_name(self._layer)}.weight"]

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        (request,) = requests
        (value,) = optimise_values(
            self.model,
            self.tokenizer,
            self._architecture,
            requests,
            self._templates,
            layer=self._layer,
            site="mlp",
            settings=self.hparams.value_settings,
        )
        rows = subject_rows(self.tokenizer, request, self._templates)
        keys, outputs = keys_and_outputs(self.model, self._architecture, self._layer, rows)
        wanted = value.base + value.delta
        change = rank_one_update(
            wanted.double() - outputs[0].double(),
            self._direction(keys.double().mean(0)),
            keys[0].double(),
        )
        norm = add_update(self._module, change.update)
        report = {**value.report, "division_factor": change.division_factor}
        return EditReport((report,), {self.edited_parameters()[0]: norm})

    def _direction(self, key: Tensor) -> Tensor:
        if self._cholesky is None:
            return key
        return torch.cholesky_solve(key[:, None], self._cholesky)[:, 0]

    def state_dict(self) -> dict[str, Tensor]:
        return encode_strings("context_templates", self._templates)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._templates = decode_strings("context_templates", state)
