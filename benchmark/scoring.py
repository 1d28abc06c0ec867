"""Log-likelihoods of many continuations with as few tokens through the model as the requests share.

* Requests whose input is a prefix of another's ride along: one row serves a prompt's two targets,
  and every repeated prompt.
* What many rows begin with, such as a block of shots, is run once and its keys and values shared.
* Rows are packed into one sequence without padding, in which what neighbors begin with stands once.
* Logits are computed only at scored positions: vocabularies have 50,000 to 260,000 entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..editors import Editor
from ..editors._head import float32_logits
from ..editors._memory import Budget
from ..tasks.errors import InputError
from ..tasks.tokenization import Pair
from .lower import LowerStates
from .packs import Packs
from .prefix import Prefix
from .sharing import shared_rows

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
        batch_tokens: Tokens run at a time; None takes what suits the model and its device.
        hooks: An editor of kind `hooks`, told in each pass where prompts end.
        lower: Hidden states under the edited layers, where they are kept.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        max_length: int,
        batch_tokens: int | None = None,
        hooks: Editor | None = None,
        lower: LowerStates | None = None,
    ) -> None:
        self._model, self._hooks, self._lower = model, hooks, lower
        self._max_length = max_length
        self._packs = Packs(model, hooks)
        self.budget = Budget(
            batch_tokens or self._packs.tokens,
            "row of tokens",
            relief=lower.clear if lower is not None else lambda: False,
        )
        self.tokens_scored = 0
        """Tokens run through the model so far, padding aside."""
        self.hits: list[bool] = []
        """Which pairs of the last call hooks acted on; empty without hooks."""

    @property
    def not_shared(self) -> str | None:
        """Why prefixes were not shared the last time they could have been."""
        return self._packs.not_shared

    @torch.no_grad()
    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Score each pair; in order.

        A NaN anywhere in the logits makes that continuation's log-likelihood NaN and none of its
        tokens greedy.

        Raises:
            InputError: memory does not hold a single row, or a continuation exceeds the window.
        """
        inputs = [self._input(pair) for pair in pairs]
        first = [len(ids) - len(pair.continuation) for ids, pair in zip(inputs, pairs, strict=True)]
        rows, row_of = self._rows(inputs, first)
        placed: dict[int, list[int]] = {}
        for index, row in enumerate(row_of):
            placed.setdefault(row, []).append(index)
        limits = [min(first[index] for index in placed[row]) for row in range(len(rows))]
        scores: dict[int, Score] = {}
        hits: dict[int, bool] = {}

        def run(prefix: Prefix, batch: Sequence[int]) -> None:
            ends = [limits[row] for row in batch]
            running = prefix.open([rows[row] for row in batch], ends=ends)
            for row, hit in zip(batch, self._hits(len(batch)), strict=True):
                hits.update(dict.fromkeys(placed[row], hit))
            reads = [
                (running.place(at, first[index] - prefix.length + offset), index, token)
                for at, row in enumerate(batch)
                for index in placed[row]
                for offset, token in enumerate(pairs[index].continuation)
            ]
            scores.update(self._read(running.hidden, reads))
            self.tokens_scored += running.tokens

        for group in self._packs.groups(rows, limits):
            prefix = self.budget.once(partial(self._packs.prefix, rows, group, self._lower))
            self.tokens_scored += prefix.length
            take = partial(self._packs.take, rows, group.prefix)
            self.budget.run(group.rows, take, partial(run, prefix))
        self.hits = [hits[index] for index in range(len(pairs))] if self._hooks else []
        return [scores[index] for index in range(len(pairs))]

    def _rows(
        self, inputs: Sequence[list[int]], ends: Sequence[int]
    ) -> tuple[list[list[int]], list[int]]:
        if self._hooks is None:
            return shared_rows(inputs)
        # Hooks read where the prompt ends: the same tokens with another end are another row.
        marked, row_of = shared_rows([[end, *ids] for end, ids in zip(ends, inputs, strict=True)])
        return [row[1:] for row in marked], row_of

    def _hits(self, rows: int) -> list[bool]:
        return (self._hooks.hit_rows() if self._hooks else []) or [False] * rows

    def _input(self, pair: Pair) -> list[int]:
        if len(pair.continuation) > self._max_length:
            raise InputError(
                f"a continuation of {len(pair.continuation)} tokens exceeds the model's context "
                f"window of {self._max_length}"
            )
        return (pair.context + pair.continuation)[:-1][-self._max_length :]

    def _read(self, hidden: Tensor, reads: Sequence[tuple[int, int, int]]) -> dict[int, Score]:
        """Read the scored positions of one batch off its final hidden states.

        Args:
            hidden: (places, d_model).
            reads: Place, index of the pair, and token that is scored there; a pair's in turn.

        Returns:
            Scores by index of the pair.
        """
        slots: dict[int, int] = {}
        wanted = torch.tensor([(slots.setdefault(at, len(slots)), token) for at, _, token in reads])
        wanted = wanted.to(hidden.device)
        chosen = hidden[torch.tensor(list(slots), device=hidden.device)]
        log_prob = torch.empty(len(wanted), device=hidden.device)
        greedy = torch.empty(len(wanted), dtype=torch.bool, device=hidden.device)
        for start in range(0, len(slots), LOGIT_ROWS):
            logits = float32_logits(self._model, chosen[start : start + LOGIT_ROWS])
            inside = (wanted[:, 0] >= start) & (wanted[:, 0] < start + LOGIT_ROWS)
            at, token = wanted[inside, 0] - start, wanted[inside, 1]
            log_prob[inside] = logits[at, token] - logits.logsumexp(-1)[at]
            greedy[inside] = logits.argmax(-1)[at] == token
        # Apple's GPUs have no float64.
        values, flags = log_prob.cpu().double().tolist(), (greedy & ~log_prob.isnan()).tolist()
        by_pair: dict[int, list[tuple[float, bool]]] = {}
        for (_, index, _), value, flag in zip(reads, values, flags, strict=True):
            by_pair.setdefault(index, []).append((value, flag))
        return {
            index: Score(sum(v for v, _ in each), sum(flag for _, flag in each), len(each))
            for index, each in by_pair.items()
        }
