"""FT-C: fine-tuning of one MLP projection inside a box (Zhu et al. 2020, run by Meng et al. 2022).

The constraint is an L-infinity box around the weights *at the start of each edit*: n edits may
drift n boxes far. The published code scores all target tokens from the last prompt position
(`prompt_last`); `target_new` is the proper teacher-forced loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from ..tasks import EditRequest
from ..tasks.tokenization import Pair, encode_pair
from ._architecture import Architecture
from ._base import Editor, EditReport, Hparams, ModelShape
from ._keys import right_pad
from ._locate import rome_layer
from ._trace import frozen, record, start_at
from ._values import output_logits


class FTCHparams(Hparams):
    layers: list[int] = Field(min_length=1)
    num_steps: int = Field(25, ge=1)
    lr: float = Field(5e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    norm_constraint: float = Field(5e-4, gt=0)
    """Half-width of the box, per weight and edit."""
    objective: Literal["prompt_last", "target_new"] = "prompt_last"
    include_bias: bool = True
    """Train the projection's bias too, as the published code does."""
    loss_threshold: float = Field(1e-2, ge=0)
    """Stop below this mean loss."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        return {"layers": [rome_layer(shape)]}


class FTC(Editor):
    """Constrained fine-tuning; several facts of a call are one batch."""

    batched = True
    Hparams = FTCHparams
    hparams: FTCHparams

    def prepare(self) -> dict[str, Any]:
        self._architecture = Architecture.of(self.model)
        self._names = []
        for layer in self.hparams.layers:
            module = self._architecture.mlp_out(self.model, layer)
            prefix = self._architecture.mlp_out_name(layer)
            self._names.append(f"{prefix}.weight")
            if self.hparams.include_bias and getattr(module, "bias", None) is not None:
                self._names.append(f"{prefix}.bias")
        return {}

    def edited_parameters(self) -> list[str]:
        return list(self._names)

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        hparams = self.hparams
        pairs = [encode_pair(self.tokenizer, r.text, r.target_new) for r in requests]
        parameters = [self.model.get_parameter(name) for name in self._names]
        starts = [parameter.detach().clone() for parameter in parameters]
        first = last = float("nan")
        steps = 0
        with frozen(self.model):
            for parameter in parameters:
                parameter.requires_grad_(True)
            forward = _FromLayer(self.model, self._architecture, min(hparams.layers), pairs)
            # Adam starts afresh with every edit, as published.
            optimiser = torch.optim.Adam(
                parameters, lr=hparams.lr, weight_decay=hparams.weight_decay
            )
            for step in range(hparams.num_steps):
                loss = forward.loss(hparams.objective)
                last = loss.item()
                first = last if step == 0 else first
                if last < hparams.loss_threshold:
                    break
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                steps += 1
                with torch.no_grad():
                    for parameter, start in zip(parameters, starts, strict=True):
                        radius = hparams.norm_constraint
                        parameter.copy_(parameter.clamp(start - radius, start + radius))
            optimiser.zero_grad()
        norms = {
            name: (parameter.detach() - start).norm().item()
            for name, parameter, start in zip(self._names, parameters, starts, strict=True)
        }
        report = {"loss_first": first, "loss": last, "steps": steps}
        return EditReport(tuple(report for _ in requests), norms)


class _FromLayer:
    """The loss of some prompts and targets, run from the first trained layer upwards."""

    def __init__(
        self, model: Any, architecture: Architecture, layer: int, pairs: Sequence[Pair]
    ) -> None:
        self._model, self._architecture, self._layer = model, architecture, layer
        rows = [pair.context + pair.continuation[:-1] for pair in pairs]
        self._ids, self._mask = right_pad(rows, model.device)
        self._pairs = pairs
        self._below: Tensor | None = None
        if layer > 0:
            module = architecture.layers(model)[layer - 1]
            self._below = record(
                model, {"below": module}, input_ids=self._ids, attention_mask=self._mask
            )["below"]

    def loss(self, objective: Literal["prompt_last", "target_new"]) -> Tensor:
        """Return the mean over facts of the mean NLL per target token."""
        with start_at(self._model, self._architecture, self._layer, self._below):
            hidden = self._model.base_model(
                input_ids=self._ids, attention_mask=self._mask, use_cache=False
            ).last_hidden_state
        losses = []
        for row, (context, continuation) in enumerate(self._pairs):
            last = len(context) - 1
            reads = [
                last + (0 if objective == "prompt_last" else j) for j in range(len(continuation))
            ]
            logits = output_logits(self._model, hidden[row, reads]).float()
            labels = torch.tensor(continuation, device=logits.device)
            losses.append(functional.cross_entropy(logits, labels))
        return torch.stack(losses).mean()
