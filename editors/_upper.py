"""The upper part of a model: gradients token by token, and projections with a low-rank term added.

All texts are run from one layer upwards, over hidden states that are computed once: what lies below
the edited layers never changes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..tasks.tokenization import Tokenizer, encode, encode_pair
from ._architecture import Architecture
from ._head import output_logits
from ._keys import right_pad
from ._trace import Trace, by_row, record, start_at


class Text(NamedTuple):
    """Tokens, and where what follows is read."""

    ids: tuple[int, ...]
    reads: tuple[int, ...]
    """Positions whose next-token distribution counts."""
    labels: tuple[int, ...]
    """What should follow there; empty where only the distribution itself counts."""

    @classmethod
    def answer(cls, tokenizer: Tokenizer, prompt: str, target: str) -> Text:
        """Return a prompt with a target, read at every token of the target.

        Raises:
            InputError: the target has no token of its own.
        """
        context, continuation = encode_pair(tokenizer, prompt, target)
        ids = tuple(context + continuation[:-1])
        return cls(ids, tuple(range(len(context) - 1, len(ids))), tuple(continuation))

    @classmethod
    def ending(cls, tokenizer: Tokenizer, prompt: str) -> Text:
        """Return a text that is read at its end."""
        ids = tuple(encode(tokenizer, prompt))
        return cls(ids, (len(ids) - 1,), ())


class Pieces(NamedTuple):
    """The rank-one pieces of one projection's gradient: sum over positions of gradient input^T."""

    inputs: Tensor
    """(texts, positions, d_in), what the projection reads."""
    gradients: Tensor
    """(texts, positions, d_out), the loss's gradient at what it gives out."""

    @property
    def counts(self) -> Tensor:
        """Tell the tokens that take part, (texts, positions): neither side is all zero."""
        return (self.inputs != 0).any(-1) & (self.gradients != 0).any(-1)


class LowRank(NamedTuple):
    """An update of one projection for each of several facts: sum over positions of out in^T."""

    inputs: Tensor
    """(facts, positions, d_in)"""
    outputs: Tensor
    """(facts, positions, d_out), the rate included."""

    def matrix(self) -> Tensor:
        """Return the update of all facts together, (d_out, d_in)."""
        return self.outputs.flatten(0, 1).T @ self.inputs.flatten(0, 1)


class Upper:
    """A model from one layer upwards.

    Args:
        model: The live model; its parameters should be `frozen`.
        architecture: Where it keeps its layers.
        start: The lowest layer that computes.
        names: Names of the edited projections.
    """

    def __init__(
        self, model: PreTrainedModel, architecture: Architecture, start: int, names: Sequence[str]
    ) -> None:
        self.model, self.architecture, self.start = model, architecture, start
        self.modules = {name: model.get_submodule(name) for name in names}

    def below(self, texts: Sequence[Text]) -> list[Tensor]:
        """Return the states that enter the lowest layer, (positions, d_model) for each text."""
        if self.start == 0:
            return [torch.empty(len(text.ids), 0) for text in texts]
        ids, mask = right_pad([text.ids for text in texts], self.model.device)
        module = self.architecture.layers(self.model)[self.start - 1]
        states = record(self.model, {"below": module}, input_ids=ids, attention_mask=mask)["below"]
        return [row[: len(text.ids)].clone() for row, text in zip(states, texts, strict=True)]

    def reads(self, texts: Sequence[Text], below: Sequence[Tensor]) -> Tensor:
        """Return final hidden states at all positions that are read, (reads, d_model).

        Args:
            texts: The texts.
            below: What `below` gave for them.
        """
        ids, mask = right_pad([text.ids for text in texts], self.model.device)
        hidden = None
        if self.start:
            hidden = below[0].new_zeros(*ids.shape, below[0].shape[1])
            for row, states in enumerate(below):
                hidden[row, : len(states)] = states
        with start_at(self.model, self.architecture, self.start, hidden):
            states = self.model.base_model(
                input_ids=ids, attention_mask=mask, use_cache=False
            ).last_hidden_state
        rows = [row for row, text in enumerate(texts) for _ in text.reads]
        columns = [column for text in texts for column in text.reads]
        return states[rows, columns].to(self.model.device)

    def log_probs(self, hidden: Tensor) -> Tensor:
        """Return next-token log-probabilities, (reads, vocabulary)."""
        return output_logits(self.model, hidden).float().log_softmax(-1)

    def pieces(
        self, texts: Sequence[Text], below: Sequence[Tensor]
    ) -> tuple[dict[str, Pieces], Tensor]:
        """Return the pieces of each text's mean NLL per label, by projection, and those NLLs.

        Texts do not see each other: each has the pieces that it has alone.
        """
        probes: dict[str, Tensor] = {}

        def probe(name: str, output: Tensor) -> Tensor:
            # A zero added to the output: its gradient is the output's.
            probes[name] = torch.zeros_like(output, requires_grad=True)
            return output + probes[name]

        with torch.enable_grad(), Trace(self.modules, keep="input", edit=probe) as trace:
            losses = mean_nll(texts, self.log_probs(self.reads(texts, below)))
            gradients = torch.autograd.grad(losses.sum(), list(probes.values()))
        # A model may be spread over devices: all pieces go where the first one is.
        rows, device = len(texts), self.model.device
        found = {
            name: Pieces(
                by_row(trace.kept[name].detach().to(device), rows),
                by_row(gradient.to(device), rows),
            )
            for name, gradient in zip(probes, gradients, strict=True)
        }
        return found, losses.detach()

    @contextlib.contextmanager
    def edited(self, updates: Mapping[str, LowRank], owner: Tensor) -> Iterator[None]:
        """Let each row of the batch see the update of its own fact: y + sum_t out_t (in_t x).

        Args:
            updates: By projection.
            owner: (rows,), the fact of each row.
        """

        def add(name: str, output: Tensor) -> Tensor:
            update = updates[name]
            read = seen.kept[name].to(update.inputs.device)
            scores = by_row(read, len(owner)) @ update.inputs[owner].mT
            return output + (scores @ update.outputs[owner]).view_as(output).to(output)

        # The first trace's hooks run before the second's: what goes in is known when it is needed.
        with Trace(self.modules, keep="input") as seen, Trace(self.modules, edit=add):
            yield


def mean_nll(texts: Sequence[Text], log_probs: Tensor) -> Tensor:
    """Return each text's mean negative log-likelihood per label, (texts,).

    Args:
        texts: Texts with labels.
        log_probs: (reads, vocabulary), of all texts in turn.
    """
    labels = torch.tensor([label for text in texts for label in text.labels]).to(log_probs.device)
    nll = -log_probs.gather(1, labels[:, None])[:, 0]
    return torch.stack([part.mean() for part in nll.split([len(text.labels) for text in texts])])
