"""Log-likelihoods of many continuations with as few tokens through the model as the requests share.

* Requests whose input is a prefix of another's ride along: one row serves a prompt's two targets,
  and every repeated prompt.
* What many rows begin with, such as a block of shots, is run once and its keys and values shared.
* Rows are sorted by length and packed to a token budget, so that little is padding.
* Logits are computed only at scored positions: vocabularies have 50,000 to 260,000 entries.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..editors import Editor
from ..editors._values import output_logits
from ..tasks.errors import InputError
from ..tasks.tokenization import Pair
from .prefix import WORTH, Prefix, refusal
from .sharing import Group, group_rows, pack, shared_rows

LOGIT_ROWS = 512
"""Positions whose logits are held at a time."""


class Score(tuple[float, bool]):
    """What lm-evaluation-harness expects of a request, and how many tokens were scored.

    Unpacks as (sum of log-probabilities in nats, whether greedy decoding gives the continuation).
    """

    num_tokens: int
    num_greedy: int
    """How many of them are the greedy choice, given those before."""

    def __new__(cls, log_likelihood: float, num_greedy: int, num_tokens: int) -> Score:
        self = super().__new__(cls, (log_likelihood, num_greedy == num_tokens))
        self.num_tokens, self.num_greedy = num_tokens, num_greedy
        return self

    def __getnewargs__(self) -> tuple[float, int, int]:
        return self[0], self.num_greedy, self.num_tokens


class Scorer:
    """Scores (context, continuation) pairs on a live model.

    Args:
        model: The model; its weights may change between calls.
        max_length: Longest input; longer ones lose tokens on the left.
        batch_tokens: Tokens run at a time, padding included.
        hooks: An editor of kind `hooks`, told in each pass where prompts end.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        max_length: int,
        batch_tokens: int = 4096,
        hooks: Editor | None = None,
    ) -> None:
        self._model, self._hooks = model, hooks
        self._max_length = max_length
        self._batch_tokens = batch_tokens
        self.tokens_scored = 0
        """Tokens run through the model so far, padding aside."""
        self.unshared: str | None = None
        """Why prefixes were not shared the last time they could have been."""
        self.hits: list[bool] = []
        """Which pairs of the last call hooks acted on; empty without hooks."""

    @torch.no_grad()
    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Score each pair; in order.

        A NaN anywhere in the logits makes that continuation's log-likelihood NaN and none of its
        tokens greedy.
        """
        inputs = [self._input(pair) for pair in pairs]
        first = [len(ids) - len(pair.continuation) for ids, pair in zip(inputs, pairs, strict=True)]
        hosts, host_of = self._rows(inputs, first)
        placed: dict[int, list[int]] = {}
        for index, host in enumerate(host_of):
            placed.setdefault(host, []).append(index)
        limits = [min(first[index] for index in placed[host]) for host in range(len(hosts))]
        lengths = [len(host) for host in hosts]
        scores: dict[int, Score] = {}
        hits: dict[int, bool] = {}
        for group in self._groups(hosts, limits):
            prefix = Prefix.of(self._model, hosts, group, self._hooks)
            self.tokens_scored += prefix.length
            for batch in pack(lengths, group, budget=self._batch_tokens):
                running = prefix.open(
                    [hosts[host] for host in batch],
                    keep=False,
                    ends=[limits[host] for host in batch],
                )
                for host, hit in zip(batch, self._hits(len(batch)), strict=True):
                    hits.update(dict.fromkeys(placed[host], hit))
                self.tokens_scored += running.tokens
                reads = [
                    (row, first[index] - prefix.length, index)
                    for row, host in enumerate(batch)
                    for index in placed[host]
                ]
                self._read(running.hidden, reads, pairs, scores)
        self.hits = [hits[index] for index in range(len(pairs))] if self._hooks else []
        return [scores[index] for index in range(len(pairs))]

    def _rows(
        self, inputs: Sequence[list[int]], ends: Sequence[int]
    ) -> tuple[list[list[int]], list[int]]:
        if self._hooks is None:
            return shared_rows(inputs)
        # Hooks read where the prompt ends: the same tokens with another end are another row.
        marked, host_of = shared_rows([[end, *ids] for end, ids in zip(ends, inputs, strict=True)])
        return [row[1:] for row in marked], host_of

    def _hits(self, rows: int) -> list[bool]:
        return (self._hooks.hit_rows() if self._hooks else []) or [False] * rows

    def _groups(self, rows: Sequence[list[int]], limits: Sequence[int]) -> list[Group]:
        if self._hooks is not None and not self._hooks.shares_prefixes:
            return [Group(0, list(range(len(rows))))]
        groups = group_rows(rows, limits, worth=WORTH)
        if any(group.prefix for group in groups):
            self.unshared = refusal(self._model, max(len(row) for row in rows))
            if self.unshared:
                return [Group(0, list(range(len(rows))))]
        return groups

    def _input(self, pair: Pair) -> list[int]:
        if len(pair.continuation) > self._max_length:
            raise InputError(
                f"a continuation of {len(pair.continuation)} tokens exceeds the model's context "
                f"window of {self._max_length}"
            )
        return (pair.context + pair.continuation)[:-1][-self._max_length :]

    def _read(
        self,
        hidden: Tensor,
        reads: Sequence[tuple[int, int, int]],
        pairs: Sequence[Pair],
        scores: dict[int, Score],
    ) -> None:
        """Read the scored positions of one batch off its final hidden states.

        Args:
            hidden: (rows, longest, d_model).
            reads: Row, column that predicts the first token, and index of each pair.
            pairs: All pairs.
            scores: Where to put their scores.
        """
        slots: dict[tuple[int, int], int] = {}
        wanted_tokens = []
        for row, column, index in reads:
            for offset, token in enumerate(pairs[index].continuation):
                slot = slots.setdefault((row, column + offset), len(slots))
                wanted_tokens.append((slot, token))
        places = torch.tensor(list(slots), device=hidden.device)
        wanted = torch.tensor(wanted_tokens, device=hidden.device)
        chosen = hidden[places[:, 0], places[:, 1]]
        log_prob = torch.empty(len(wanted), device=hidden.device)
        greedy = torch.empty(len(wanted), dtype=torch.bool, device=hidden.device)
        for start in range(0, len(slots), LOGIT_ROWS):
            logits = output_logits(self._model, chosen[start : start + LOGIT_ROWS]).float()
            inside = (wanted[:, 0] >= start) & (wanted[:, 0] < start + LOGIT_ROWS)
            at, token = wanted[inside, 0] - start, wanted[inside, 1]
            log_prob[inside] = logits[at, token] - logits.logsumexp(-1)[at]
            greedy[inside] = logits.argmax(-1)[at] == token
        values, flags = log_prob.cpu(), (greedy & ~log_prob.isnan()).cpu()
        position = 0
        for _, _, index in reads:
            count = len(pairs[index].continuation)
            span = slice(position, position + count)
            position += count
            scores[index] = Score(float(values[span].double().sum()), int(flags[span].sum()), count)
