"""What MEMIT and its successors share: ROME's pieces, several layers, many facts at once.

One value is found at the last layer; every layer from the first on then takes its share of what is
still missing (Meng et al. 2023, sec. 4.3). The editors differ in how a layer's change is solved.

Layers can share only what adds up. Where a norm follows the down-projection (Gemma-2/3), what is
written there is not what the layer gives: one layer is edited then, and its value is found at the
MLP's output, as ROME's is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from ..tasks import EditRequest
from ..tasks.errors import InputError
from ._architecture import Architecture
from ._base import EditReport, ModelShape
from ._contexts import memit_templates
from ._keys import (
    SubjectRow,
    keys_and_layer_output,
    keys_and_outputs,
    mean_key_by_kind,
    subject_rows,
)
from ._locate import LocateHparams, decode_strings, encode_strings, memit_layers, moments_for
from ._moments import SecondMoment
from ._solve import Change, PastKeys
from ._steps import SolvesValues


class SpreadHparams(LocateHparams):
    clamp_norm_factor: float = Field(0.75, gt=0)
    context_template_tokens: int = Field(10, ge=2)
    """Length of the sampled context templates, their opening word included."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        return {"layers": memit_layers(shape)}


class LeastSquaresHparams(SpreadHparams):
    mom2_update_weight: float = Field(15000.0, gt=0)
    """lambda, how heavily plain text weighs against the edits."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        # GPT-J's 15000 at d_ff = 16384: keys grow with the width, and with them what outweighs C.
        weight = 15000 * shape.d_ff / 16384
        return {**super().derive(shape), "mom2_update_weight": round(weight)}


_H = TypeVar("_H", bound=SpreadHparams)


class SpreadEditor(SolvesValues[_H]):
    """Any number of facts a call, spread over several MLPs; its editors differ in `_update`."""

    batched = True
    needs = frozenset({"covariance", "subject"})
    site = "layer"
    _past: dict[int, PastKeys]
    """Keys of earlier edits by layer; left empty by editors that forget them."""

    @abstractmethod
    def _take(self, moments: dict[int, SecondMoment]) -> dict[str, Any]:
        """Make of each layer's second moment what `_update` needs; return what to record of it."""

    def _update(
        self, layer: int, residuals: Tensor, keys: Tensor, *, remember: bool = True
    ) -> Change:
        """Return the change of one layer, which spares the keys of earlier edits.

        Args:
            layer: Which layer.
            residuals: R, (d_model, n), the layer's share of what is missing.
            keys: K, (d_ff, n). Earlier layers have changed and later ones do not matter, so they
                are the keys that the edited model will have too.
            remember: Spare these keys from now on.
        """
        return self._past[layer].update(residuals, keys, remember=remember)

    def prepare(self) -> dict[str, Any]:
        hparams = self.hparams
        self._architecture = Architecture.of(self.model)
        for layer in hparams.layers:
            self._architecture.mlp_out(self.model, layer)
        if self._architecture.normed:
            self._edit_one_layer()
        self._templates = memit_templates(
            self.model, self.tokenizer, num_tokens=hparams.context_template_tokens, seed=self.seed
        )
        self._past = {}
        moments = moments_for(self, hparams, self._architecture)
        return {
            "context_templates": self._templates,
            "second_moments": [moment.provenance() for moment in moments.values()],
            **self._take(moments),
        }

    def _edit_one_layer(self) -> None:
        if len(self.hparams.layers) > 1:
            raise InputError(
                f"{self._architecture.model_type}: a norm follows the MLP, so that layers cannot "
                f"share an edit; name one (--hparams layers=[{self.value_layer}])"
            )
        self.site = "mlp"

    def edited_parameters(self) -> list[str]:
        return [f"{self._architecture.mlp_out_name(layer)}.weight" for layer in self.hparams.layers]

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        layers = self.hparams.layers
        values = self.value_transform(requests, self.solve_values(requests, self._templates))
        wanted = torch.stack([value.base + value.delta for value in values]).double()
        rows = [subject_rows(self.tokenizer, request, self._templates) for request in requests]
        norms = {}
        for index, layer in enumerate(layers):
            keys, reached = self._keys_and_reached(layer, rows)
            residuals = (wanted - reached) / (len(layers) - index)
            update = self._update(layer, residuals.T, keys.T)
            name = self.edited_parameters()[index]
            norms[name] = self.write(self._architecture.mlp_out(self.model, layer), update)
        return EditReport(tuple(value.report for value in values), norms)

    def _keys_and_reached(self, layer: int, rows: list[list[SubjectRow]]) -> tuple[Tensor, Tensor]:
        """Return keys at `layer`, (n, d_ff), and what is there where values stand, (n, d_model).

        Both come from the weights as they are now, earlier layers' changes included.
        """
        found: dict[int, tuple[Tensor, Tensor]] = {}

        def read(batch: Sequence[int]) -> None:
            texts = [row for index in batch for row in rows[index]]
            where = self.model, self._architecture, layer
            if self.site == "mlp":
                keys, outputs = keys_and_outputs(*where, texts)
            else:
                keys, outputs = keys_and_layer_output(*where, self.value_layer, texts)
            means = map(mean_key_by_kind, keys.double().split(len(self._templates)))
            bare = outputs[:: len(self._templates)].double()
            found.update(zip(batch, zip(means, bare, strict=True), strict=True))

        self._facts_together.run(range(len(rows)), lambda left, many: left[:many], read)
        keys, reached = zip(*(found[index] for index in range(len(rows))), strict=True)
        return torch.stack(keys), torch.stack(reached)

    def direction(self, keys: Tensor) -> Tensor:
        key = mean_key_by_kind(keys)[:, None]
        return self._update(self.value_layer, key.new_zeros(1, 1), key, remember=False).right[0]

    def state_dict(self) -> dict[str, Tensor]:
        past = {f"past_keys.{layer}": past.factor for layer, past in self._past.items()}
        return {**encode_strings("context_templates", self._templates), **past}

    def state_bytes(self, num_edits: int) -> int:
        factors = [past.factor for past in self._past.values()]
        grown = sum(len(each) * min(num_edits, 2 * len(each)) for each in factors)
        return super().state_bytes(0) + grown * torch.float64.itemsize

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._templates = decode_strings("context_templates", state)
        for layer, past in self._past.items():
            past.factor = state[f"past_keys.{layer}"].to(past.factor)
