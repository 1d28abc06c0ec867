"""MEMIT: ROME's pieces, several layers, least squares (Meng et al. 2023, "Mass-Editing Memory").

One value is found at the last layer; every layer from the first on then takes its share of what is
still missing, as the least-squares change that spares the keys of plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from ..tasks import EditRequest
from ._architecture import Architecture, add_update
from ._base import Editor, EditReport, ModelShape
from ._contexts import memit_templates
from ._keys import SubjectRow, keys_and_layer_output, mean_key_by_kind, subject_rows
from ._locate import (
    LocateHparams,
    decode_strings,
    encode_strings,
    memit_layers,
    moments_for,
)
from ._values import optimise_values


class MEMITHparams(LocateHparams):
    clamp_norm_factor: float = Field(0.75, gt=0)
    mom2_update_weight: float = Field(15000.0, gt=0)
    """lambda, how heavily plain text weighs against the edits."""
    context_template_tokens: int = Field(10, ge=2)
    """Length of the sampled context templates, their opening word included."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        # GPT-J's 15000 at d_ff = 16384: keys grow with the width, and with them what outweighs C.
        weight = 15000 * shape.d_ff / 16384
        return {"layers": memit_layers(shape), "mom2_update_weight": round(weight)}


def least_squares_update(residuals: Tensor, keys: Tensor, cholesky: Tensor) -> Tensor:
    """Return R K^T (A + K K^T)^-1 for A = L L^T (Meng et al. 2023, eq. 14).

    By Woodbury only an n x n system is solved: A^-1 K (I + K^T A^-1 K)^-1.

    Args:
        residuals: R, (d_model, n), what each key's output still lacks.
        keys: K, (d_ff, n).
        cholesky: L, (d_ff, d_ff), of lambda C.

    Returns:
        (d_model, d_ff)
    """
    spread = torch.cholesky_solve(keys, cholesky)
    inner = torch.eye(keys.shape[1]).to(keys) + keys.T @ spread
    # solve_ex: a model that is already broken gives NaN here, which is recorded, not raised.
    return residuals @ torch.linalg.solve_ex(inner, spread.T).result


class MEMIT(Editor):
    """Mass-Editing Memory in a Transformer, any number of facts a call."""

    batched = True
    needs = frozenset({"covariance", "subject"})
    Hparams = MEMITHparams
    hparams: MEMITHparams

    def prepare(self) -> dict[str, Any]:
        hparams = self.hparams
        self._architecture = Architecture.of(self.model)
        for layer in hparams.layers:
            self._architecture.mlp_out(self.model, layer)
        self._templates = memit_templates(
            self.model, self.tokenizer, num_tokens=hparams.context_template_tokens, seed=self.seed
        )
        moments = moments_for(self, hparams, self._architecture)
        self._cholesky = {
            layer: moment.cholesky(self.model.device, scale=hparams.mom2_update_weight)
            for layer, moment in moments.items()
        }
        return {
            "context_templates": self._templates,
            "second_moments": [moment.provenance() for moment in moments.values()],
        }

    def edited_parameters(self) -> list[str]:
        return [f"{self._architecture.mlp_out_name(layer)}.weight" for layer in self.hparams.layers]

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        layers = self.hparams.layers
        values = optimise_values(
            self.model,
            self.tokenizer,
            self._architecture,
            requests,
            self._templates,
            layer=layers[-1],
            site="layer",
            settings=self.hparams.value_settings,
        )
        wanted = torch.stack([value.base + value.delta for value in values]).double()
        rows = [subject_rows(self.tokenizer, request, self._templates) for request in requests]
        norms = {}
        for index, layer in enumerate(layers):
            keys, reached = self._keys_and_reached(layer, rows)
            residuals = (wanted - reached) / (len(layers) - index)
            update = least_squares_update(residuals.T, keys.T, self._cholesky[layer])
            name = self.edited_parameters()[index]
            norms[name] = add_update(self._architecture.mlp_out(self.model, layer), update)
        return EditReport(tuple(value.report for value in values), norms)

    def _keys_and_reached(self, layer: int, rows: list[list[SubjectRow]]) -> tuple[Tensor, Tensor]:
        """Return keys at `layer`, (n, d_ff), and outputs of the last layer, (n, d_model).

        Both come from the weights as they are now, earlier layers' changes included.
        """
        keys, outputs = keys_and_layer_output(
            self.model,
            self._architecture,
            layer,
            self.hparams.layers[-1],
            [row for group in rows for row in group],
        )
        per_request = keys.double().split(len(self._templates))
        mean = torch.stack([mean_key_by_kind(group) for group in per_request])
        return mean, outputs[:: len(self._templates)].double()

    def state_dict(self) -> dict[str, Tensor]:
        return encode_strings("context_templates", self._templates)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._templates = decode_strings("context_templates", state)
