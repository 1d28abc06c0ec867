"""What the editors that train on a fact share: the loss of its target, and a loop of Adam steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from ..tasks import EditRequest
from ..tasks.tokenization import Tokenizer, encode_pair
from ._architecture import Architecture
from ._base import EditReport, Hparams, Layers
from ._head import output_logits
from ._keys import right_pad
from ._trace import frozen, record, start_at

Objective = Literal["prompt_last", "target_new"]


class TrainingHparams(Hparams):
    """Hyper-parameters of the loop."""

    num_steps: int = Field(25, ge=1)
    lr: float = Field(5e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    loss_threshold: float = Field(1e-2, ge=0)
    """Stop below this mean loss; 0 never stops."""


class FineTuningHparams(TrainingHparams):
    """Hyper-parameters of fine-tuning weights themselves, as run by Meng et al. 2022."""

    layers: Layers
    objective: Objective = "prompt_last"
    """Whether target tokens are all scored from the prompt's last position, as the published code
    does, or each behind those before it, as is right."""
    include_bias: bool = True
    """Train the projection's bias too, as the published code does."""


class FactLoss:
    """The loss of some facts, run from one layer upwards.

    Args:
        model: The model; below `layer` it must not change while this is in use.
        tokenizer: Its tokenizer.
        architecture: Where it keeps its layers.
        requests: The facts.
        layer: First layer that is trained.
        objective: Where target tokens are read from, see `FineTuningHparams`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        architecture: Architecture,
        requests: Sequence[EditRequest],
        *,
        layer: int = 0,
        objective: Objective = "target_new",
    ) -> None:
        self._model, self._architecture, self._layer = model, architecture, layer
        self._objective: Objective = objective
        self._pairs = [encode_pair(tokenizer, r.text, r.target_new) for r in requests]
        rows = [pair.context + pair.continuation[:-1] for pair in self._pairs]
        self._ids, self._mask = right_pad(rows, model.device)
        self._below: Tensor | None = None
        if layer > 0:
            module = architecture.layers(model)[layer - 1]
            self._below = record(
                model, {"below": module}, input_ids=self._ids, attention_mask=self._mask
            )["below"]

    def __call__(self) -> Tensor:
        """Return the mean NLL per target token of each fact, (facts,)."""
        with start_at(self._model, self._architecture, self._layer, self._below):
            hidden = self._model.base_model(
                input_ids=self._ids, attention_mask=self._mask, use_cache=False
            ).last_hidden_state
        losses = []
        for row, (context, continuation) in enumerate(self._pairs):
            last = len(context) - 1
            behind = int(self._objective == "target_new")
            reads = [last + behind * index for index in range(len(continuation))]
            logits = output_logits(self._model, hidden[row, reads]).float()
            labels = torch.tensor(continuation, device=logits.device)
            losses.append(functional.cross_entropy(logits, labels))
        return torch.stack(losses)


def descend(
    parameters: Sequence[Tensor],
    facts: Callable[[], Tensor],
    hparams: TrainingHparams,
    *,
    radius: float | None = None,
) -> list[dict[str, float]]:
    """Train parameters until the facts' mean loss is low, or the steps are used up.

    Adam starts afresh with every call, as published. Leaves no gradients behind.

    Args:
        parameters: What to train, in place; they must require gradients.
        facts: Gives the loss of each fact, (facts,).
        hparams: Steps, learning rate and threshold.
        radius: Half-width of an L-infinity box around each parameter's start; None is no box.

    Returns:
        For each fact its first and last loss (the one before the last step) and the steps taken.
    """
    starts = [parameter.detach().clone() for parameter in parameters if radius is not None]
    optimiser = torch.optim.Adam(parameters, lr=hparams.lr, weight_decay=hparams.weight_decay)
    first: list[float] = []
    last: list[float] = []
    steps = 0
    for _ in range(hparams.num_steps):
        losses = facts()
        mean = losses.mean()
        last = losses.tolist()
        first = first or last
        if mean.item() < hparams.loss_threshold:
            break
        optimiser.zero_grad()
        mean.backward()
        optimiser.step()
        steps += 1
        if radius is not None:
            with torch.no_grad():
                for parameter, start in zip(parameters, starts, strict=True):
                    parameter.copy_(parameter.clamp(start - radius, start + radius))
    optimiser.zero_grad()
    return [
        {"loss_first": before, "loss": after, "steps": steps}
        for before, after in zip(first, last, strict=True)
    ]


def fine_tune(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    architecture: Architecture,
    names: Sequence[str],
    requests: Sequence[EditRequest],
    hparams: FineTuningHparams,
    *,
    radius: float | None = None,
) -> EditReport:
    """Train parameters of the live model on some facts, as one batch.

    Args:
        model: The model; changed in place.
        tokenizer: Its tokenizer.
        architecture: Where it keeps its layers.
        names: Parameters to train, in `hparams.layers`.
        requests: The facts.
        hparams: The loop, the objective and the layers.
        radius: See `descend`.
    """
    parameters = [model.get_parameter(name) for name in names]
    starts = [parameter.detach().clone() for parameter in parameters]
    with frozen(model):
        for parameter in parameters:
            parameter.requires_grad_(True)
        layer = min(hparams.layers)
        facts = FactLoss(
            model, tokenizer, architecture, requests, layer=layer, objective=hparams.objective
        )
        reports = descend(parameters, facts, hparams, radius=radius)
    norms = {
        name: (parameter.detach() - start).norm().item()
        for name, parameter, start in zip(names, parameters, starts, strict=True)
    }
    return EditReport(tuple(reports), norms)


def projection_names(
    model: PreTrainedModel, architecture: Architecture, hparams: FineTuningHparams
) -> list[str]:
    """Return the names of the down-projections' weights, and of their biases where they count."""
    names = []
    for layer in hparams.layers:
        module: Any = architecture.mlp_out(model, layer)
        prefix = architecture.mlp_out_name(layer)
        names.append(f"{prefix}.weight")
        if hparams.include_bias and getattr(module, "bias", None) is not None:
            names.append(f"{prefix}.bias")
    return names
