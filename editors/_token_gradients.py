"""What projections read, and how the loss pulls at what they give out, at every answer token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from ..tasks.tokenization import Pair
from ._head import output_logits
from ._keys import right_pad
from ._trace import Trace, by_row, frozen


class TokenGradients(NamedTuple):
    """One projection at the T positions that predict answer tokens, fact by fact."""

    inputs: Tensor
    """(T, d_in)"""
    gradients: Tensor
    """(T, d_out), of a fact's mean NLL per answer token with respect to the projection's output."""


def token_gradients(
    model: PreTrainedModel,
    modules: Mapping[str, nn.Module],
    pairs: Sequence[Pair],
    *,
    batch_size: int,
) -> tuple[dict[str, TokenGradients], Tensor]:
    """Collect inputs and output gradients of some projections.

    NLLs are averaged over the tokens of a fact and summed over facts: what a fact gives does not
    depend on how many others are in its batch.

    Args:
        model: The model; left as it is, without gradients.
        modules: The projections, by a name of your choice.
        pairs: Prompts and answers.
        batch_size: Facts of one pass through the model.

    Returns:
        Both by the modules' names, and the mean NLL per answer token of each fact, (facts,); all
        on the model's first device, wherever the modules are.
    """
    parts: dict[str, list[TokenGradients]] = {name: [] for name in modules}
    losses: list[Tensor] = []
    with frozen(model), torch.enable_grad():
        for start in range(0, len(pairs), batch_size):
            found, nll = _one_batch(model, modules, pairs[start : start + batch_size])
            losses.append(nll)
            for name in modules:
                parts[name].append(found[name])
    whole = {
        name: TokenGradients(*(torch.cat(each) for each in zip(*part, strict=True)))
        for name, part in parts.items()
    }
    return whole, torch.cat(losses)


def _one_batch(
    model: PreTrainedModel, modules: Mapping[str, nn.Module], pairs: Sequence[Pair]
) -> tuple[dict[str, TokenGradients], Tensor]:
    device = model.device
    rows = [pair.context + pair.continuation[:-1] for pair in pairs]
    ids, mask = right_pad(rows, device)
    where = [
        (row, len(pair.context) - 1 + index)
        for row, pair in enumerate(pairs)
        for index in range(len(pair.continuation))
    ]
    row, column = torch.tensor(where, device=device).T
    labels = torch.tensor([token for pair in pairs for token in pair.continuation], device=device)
    outputs: dict[str, Tensor] = {}

    def watch(name: str, output: Tensor) -> Tensor:
        # Parameters are frozen: the lowest projection's output is where gradients begin.
        outputs[name] = output if output.requires_grad else output.detach().requires_grad_()
        return outputs[name]

    with Trace(modules, keep="input", edit=watch) as trace:
        hidden = model.base_model(
            input_ids=ids, attention_mask=mask, use_cache=False
        ).last_hidden_state.to(device)
    logits = output_logits(model, hidden[row, column]).float()
    nll = functional.cross_entropy(logits, labels, reduction="none")
    per_fact = torch.stack(
        [part.mean() for part in nll.split([len(pair.continuation) for pair in pairs])]
    )
    gradients = torch.autograd.grad(per_fact.sum(), [outputs[name] for name in modules])
    count = len(pairs)
    found = {
        name: TokenGradients(
            by_row(trace.kept[name].detach().to(device), count)[row, column],
            by_row(gradient.to(device), count)[row, column],
        )
        for name, gradient in zip(modules, gradients, strict=True)
    }
    return found, per_fact.detach()


class Normaliser:
    """Running mean and variance of vectors, and what they look like in these units.

    Batches are merged by the rule of Chan et al. (1979), so that it does not matter how vectors
    were cut into batches, and one vector alone is a batch like any other.

    Args:
        size: Length of a vector.
        device: Where the vectors are.

    Example:
        >>> seen = Normaliser(1, torch.device("cpu"))
        >>> seen.add(torch.tensor([[1.0], [3.0]]))
        >>> seen(torch.tensor([[2.0]])), float(seen.variance)
        (tensor([[0.]], dtype=torch.float64), 2.0)
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.count = 0
        self.mean = torch.zeros(size, dtype=torch.float64, device=device)
        self.squares = torch.zeros_like(self.mean)
        """Sums of squared distances from the mean, (size,)."""

    @property
    def variance(self) -> Tensor:
        """The unbiased variance of each coordinate, (size,); 0 before there are two vectors."""
        return self.squares / max(self.count - 1, 1)

    def add(self, vectors: Tensor) -> None:
        """Take in vectors, (vectors, size)."""
        vectors = vectors.double()
        new = len(vectors)
        total = self.count + new
        mean = vectors.mean(0)
        apart = mean - self.mean
        self.mean = self.mean + apart * (new / total)
        self.squares = (
            self.squares
            + (vectors - mean).square().sum(0)
            + apart.square() * (self.count * new / total)
        )
        self.count = total

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return vectors (vectors, size) in units of the standard deviation, float64.

        A coordinate that has never varied becomes 0.
        """
        deviation = self.variance.sqrt()
        scaled = (vectors.double() - self.mean) / deviation
        return torch.where(deviation == 0, 0.0, scaled)

    def state_dict(self) -> dict[str, Tensor]:
        return {
            "count": torch.tensor(self.count),
            "mean": self.mean.clone(),
            "squares": self.squares.clone(),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.count = int(state["count"])
        self.mean = state["mean"].to(self.mean.device, copy=True)
        self.squares = state["squares"].to(self.mean.device, copy=True)
