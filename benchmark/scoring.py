"""Log-likelihoods of many continuations with as few tokens through the model as the requests share.

* Requests whose input is a prefix of another's ride along: one row serves a prompt's two targets,
  and every repeated prompt.
* Rows are sorted by length and packed to a token budget, so that little is padding.
* Logits are computed only at scored positions: vocabularies have 50,000 to 260,000 entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..editors._keys import right_pad
from ..editors._values import output_logits
from ..tasks.errors import InputError
from ..tasks.tokenization import Pair

LOGIT_ROWS = 512
"""Positions whose logits are held at a time."""


class Score(tuple[float, bool]):
    """What lm-evaluation-harness expects of a request, and how many tokens were scored.

    Unpacks as (sum of log-probabilities in nats, whether greedy decoding gives the continuation).
    """

    num_tokens: int

    def __new__(cls, log_likelihood: float, is_greedy: bool, num_tokens: int) -> Score:
        self = super().__new__(cls, (log_likelihood, is_greedy))
        self.num_tokens = num_tokens
        return self

    def __getnewargs__(self) -> tuple[float, bool, int]:
        return self[0], self[1], self.num_tokens


class Scorer:
    """Scores (context, continuation) pairs on a live model.

    Args:
        model: The model; its weights may change between calls.
        max_length: Longest input; longer ones lose tokens on the left.
        batch_tokens: Tokens run at a time, padding included.
    """

    def __init__(
        self, model: PreTrainedModel, *, max_length: int, batch_tokens: int = 4096
    ) -> None:
        self._model = model
        self._max_length = max_length
        self._batch_tokens = batch_tokens
        self.tokens_scored = 0
        """Tokens run through the model so far, padding aside."""

    @torch.no_grad()
    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Score each pair; in order.

        A NaN anywhere in the logits makes that continuation's log-likelihood NaN and its greedy
        flag False.
        """
        inputs = [self._input(pair) for pair in pairs]
        hosts, host_of = shared_rows(inputs)
        placed: dict[int, list[int]] = {}
        for index, host in enumerate(host_of):
            placed.setdefault(host, []).append(index)
        scores: dict[int, Score] = {}
        for batch in self._batches(hosts):
            rows = [(row, index) for row, host in enumerate(batch) for index in placed[host]]
            hidden = self._hidden([hosts[host] for host in batch])
            self._read(hidden, rows, inputs, pairs, scores)
        return [scores[index] for index in range(len(pairs))]

    def _input(self, pair: Pair) -> list[int]:
        if len(pair.continuation) > self._max_length:
            raise InputError(
                f"a continuation of {len(pair.continuation)} tokens exceeds the model's context "
                f"window of {self._max_length}"
            )
        return (pair.context + pair.continuation)[:-1][-self._max_length :]

    def _batches(self, rows: Sequence[list[int]]) -> Iterator[list[int]]:
        batch: list[int] = []
        # Longest first: if memory is short it shows at once.
        for index in sorted(range(len(rows)), key=lambda i: -len(rows[i])):
            if batch and (len(batch) + 1) * len(rows[batch[0]]) > self._batch_tokens:
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _hidden(self, rows: Sequence[list[int]]) -> Tensor:
        ids, mask = right_pad(rows, self._model.device)
        self.tokens_scored += int(mask.sum())
        return self._model.base_model(
            input_ids=ids, attention_mask=mask, use_cache=False
        ).last_hidden_state

    def _read(
        self,
        hidden: Tensor,
        rows: Sequence[tuple[int, int]],
        inputs: Sequence[list[int]],
        pairs: Sequence[Pair],
        scores: dict[int, Score],
    ) -> None:
        """Read the scored positions of one batch off its final hidden states."""
        slots: dict[tuple[int, int], int] = {}
        reads = []
        for row, index in rows:
            tokens = pairs[index].continuation
            first = len(inputs[index]) - len(tokens)
            for offset, token in enumerate(tokens):
                slot = slots.setdefault((row, first + offset), len(slots))
                reads.append((slot, token))
        places = torch.tensor(list(slots), device=hidden.device)
        wanted = torch.tensor(reads, device=hidden.device)
        chosen = hidden[places[:, 0], places[:, 1]]
        log_prob = torch.empty(len(reads), device=hidden.device)
        greedy = torch.empty(len(reads), dtype=torch.bool, device=hidden.device)
        for start in range(0, len(slots), LOGIT_ROWS):
            logits = output_logits(self._model, chosen[start : start + LOGIT_ROWS]).float()
            inside = (wanted[:, 0] >= start) & (wanted[:, 0] < start + LOGIT_ROWS)
            at, token = wanted[inside, 0] - start, wanted[inside, 1]
            log_prob[inside] = logits[at, token] - logits.logsumexp(-1)[at]
            greedy[inside] = logits.argmax(-1)[at] == token
        values, flags = log_prob.cpu(), greedy.cpu()
        position = 0
        for _, index in rows:
            count = len(pairs[index].continuation)
            span = slice(position, position + count)
            position += count
            total = float(values[span].double().sum())
            scores[index] = Score(total, bool(flags[span].all()) and total == total, count)


def shared_rows(inputs: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[int]]:
    """Find the rows that must be run: those that are a prefix of no other.

    A causal model's states at a position depend on nothing behind it, so a row serves all its
    prefixes. In lexicographic order a row is a prefix of some row only if it is one of the next.

    Args:
        inputs: Token ids.

    Returns:
        The rows to run, and for each input the index of the row that serves it.

    Example:
        >>> shared_rows([[1, 2], [1], [3], [1, 2]])
        ([[3], [1, 2]], [1, 1, 0, 1])
    """
    order = sorted(range(len(inputs)), key=lambda index: list(inputs[index]))
    rows: list[list[int]] = []
    host_of = [0] * len(inputs)
    for index in reversed(order):
        row = list(inputs[index])
        if not rows or rows[-1][: len(row)] != row:
            rows.append(row)
        host_of[index] = len(rows) - 1
    return rows, host_of
