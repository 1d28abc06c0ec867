"""UltraEdit: a closed form from hidden states and gradients (Gu et al. 2025, arXiv 2505.14679).

At every answer token each projection gets a new output, one step down the gradient, and a ridge
regression over all tokens of the call finds the change of the weights that gives it. Inputs h and
gradients g are first put into units of all that has been edited so far (ĥ, ĝ), so that one step
size suits every coordinate, layer and fact. No covariance, no training, no subject.

The published normaliser begins empty, and is made for turns of 100 facts. Where one matrix is
edited and the first call holds one token, that token is its own mean, and nothing changes.
`warmup` lets it begin with texts instead: openings of plain prose, each continued with words from
another one, as surprising as a new fact. 0 is as published. With several matrices of one shape
each gives a vector for every token, and calls of one fact came out alike with and without it.

The authors' code merges variances wrongly, and never recovers from a batch of one token. Its loss
is the mean over all tokens of a pass, here over those of each fact: how a call is cut into passes
then does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ..tasks import EditRequest
from ..tasks.errors import InputError, unknown_name
from ..tasks.tokenization import Pair, encode, encode_pair
from ._architecture import Architecture, add_update, oriented
from ._base import Editor, EditReport, Hparams, Layers, ModelShape
from ._solve import update_along
from ._token_gradients import Normaliser, TokenGradients, token_gradients

MLP_OUT = "mlp_out"
"""Stands for the MLP's down-projection in `modules`, whatever the family calls it."""
WARMUP_CONTEXT, WARMUP_ANSWER = 12, 2
"""Tokens of a warm-up text: about those of a CounterFact prompt and its target."""


class UltraEditHparams(Hparams):
    modules: dict[str, Layers] = Field(min_length=1)
    """Which projections are edited in which layers: by their path inside a layer, or `mlp_out`."""
    lr: float = Field(1e-6, gt=0)
    """eta, step size of the outputs. Published for 7e9 parameters, small models need more."""
    batch_size: int = Field(10, ge=1)
    """Facts of one pass through the model; a matter of memory."""
    warmup: int = Field(0, ge=0)
    """Texts the normaliser has seen before the first edit."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        # The same depths as GPT-J's 18 to 26 of 28.
        first, last = round(0.64 * shape.depth), max(shape.depth - 2, 0)
        return {"modules": {MLP_OUT: list(range(min(first, last), last + 1))}}


class UltraEdit(Editor):
    """One backward pass and one solve for each matrix, any number of facts a call."""

    batched = True
    Hparams = UltraEditHparams
    hparams: UltraEditHparams

    def prepare(self) -> dict[str, Any]:
        self._modules = self._find_modules()
        self._normalisers: dict[tuple[int, int], Normaliser] = {}
        for module in self._modules.values():
            d_out, d_in = oriented(module).shape
            self._normalisers[d_out, d_in] = Normaliser(d_in + d_out, self.model.device)
        if not self.hparams.warmup:
            return {}
        found, nll = self._collect(self._warmup_pairs())
        self._take_in(found)
        return {"warmup_nll": nll.mean().item()}

    def _find_modules(self) -> dict[str, nn.Module]:
        architecture = Architecture.of(self.model)
        modules = {}
        for asked, layers in self.hparams.modules.items():
            path = architecture.mlp_out_path if asked == MLP_OUT else asked
            for layer in layers:
                architecture.mlp_out(self.model, layer)  # raises where there is no such layer
                inside = {
                    name: module
                    for name, module in architecture.layers(self.model)[layer].named_modules()
                    if isinstance(module, (nn.Linear, Conv1D))
                }
                if path not in inside:
                    raise unknown_name("projection of a layer", path, inside)
                modules[f"{architecture.layers_path}.{layer}.{path}"] = inside[path]
        return modules

    def _warmup_pairs(self) -> list[Pair]:
        """Cut plain prose into prompts and answers, each answer from the text before."""
        prose = files("seqedit_bench.tasks") / "data" / "prose.txt"
        length = WARMUP_CONTEXT + WARMUP_ANSWER
        rows: list[list[int]] = []
        for text in prose.read_text(encoding="utf-8").split("\n\n"):
            ids = encode(self.tokenizer, text.strip())
            if len(ids) >= length:
                rows.append(ids[:length])
            if len(rows) == self.hparams.warmup:
                break
        else:
            raise InputError(f"warmup={self.hparams.warmup}: the bundled prose has {len(rows)}")
        answers = [row[WARMUP_CONTEXT:] for row in rows[-1:] + rows[:-1]]
        return [Pair(row[:WARMUP_CONTEXT], each) for row, each in zip(rows, answers, strict=True)]

    def _collect(self, pairs: Sequence[Pair]) -> tuple[dict[str, TokenGradients], Tensor]:
        return token_gradients(self.model, self._modules, pairs, batch_size=self.hparams.batch_size)

    def _take_in(self, found: dict[str, TokenGradients]) -> None:
        for inputs, gradients in found.values():
            shape = gradients.shape[1], inputs.shape[1]
            self._normalisers[shape].add(torch.cat([inputs, gradients], 1))

    def edited_parameters(self) -> list[str]:
        return [f"{name}.weight" for name in self._modules]

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        pairs = [encode_pair(self.tokenizer, r.text, r.target_new) for r in requests]
        found, nll = self._collect(pairs)
        self._take_in(found)
        norms = {}
        for name, (inputs, gradients) in found.items():
            normaliser = self._normalisers[gradients.shape[1], inputs.shape[1]]
            scaled = normaliser(torch.cat([inputs, gradients], 1))
            update = ridge_update(step(scaled, inputs.shape[1], self.hparams.lr), inputs.double().T)
            norms[f"{name}.weight"] = add_update(self._modules[name], update)
        return EditReport(tuple({"loss": loss} for loss in nll.tolist()), norms)

    def state_dict(self) -> dict[str, Tensor]:
        return {
            f"{d_out}x{d_in}.{key}": value
            for (d_out, d_in), normaliser in self._normalisers.items()
            for key, value in normaliser.state_dict().items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for (d_out, d_in), normaliser in self._normalisers.items():
            prefix = f"{d_out}x{d_in}."
            normaliser.load_state_dict(
                {
                    key.removeprefix(prefix): value
                    for key, value in state.items()
                    if key.startswith(prefix)
                }
            )


def step(scaled: Tensor, d_in: int, lr: float) -> Tensor:
    """Return the shifts -lr |ĥ|^2 ĝ of a projection's output.

    Args:
        scaled: [ĥ; ĝ] of each token, (tokens, d_in + d_out).
        d_in: Where ĝ begins.
        lr: Step size.

    Returns:
        (d_out, tokens)
    """
    inputs, gradients = scaled[:, :d_in], scaled[:, d_in:]
    return -lr * (inputs.square().sum(1, keepdim=True) * gradients).T


def ridge_update(shifts: Tensor, inputs: Tensor) -> Tensor:
    """Return V H^T (H H^T + I)^-1, solved on the smaller side.

    Args:
        shifts: V, (d_out, tokens).
        inputs: H, (d_in, tokens).

    Returns:
        (d_out, d_in)
    """
    d_in, tokens = inputs.shape
    if tokens < d_in:
        return update_along(shifts, inputs, inputs).matrix()
    moment = inputs @ inputs.T + torch.eye(d_in).to(inputs)
    # solve_ex: NaN goes through, as everywhere.
    return torch.linalg.solve_ex(moment, inputs @ shifts.T).result.T
