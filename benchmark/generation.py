"""Free generation: greedy or sampled, in batches, with shared prefixes and full-length masks."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..editors import Editor
from ..editors._head import float32_logits
from ..editors._memory import Budget
from ..tasks.errors import InputError
from ..tasks.tokenization import Tokenizer
from .packs import Packs
from .prefix import Prefix
from .rows import Rows
from .sharing import Group

ROWS = 32
"""Texts that grow side by side: each sees the keys of all, masked, and has its own logits."""
TAIL = 8
"""Tokens of the prompt that a continuation is decoded with."""
_Row = tuple[tuple[int, ...], int]
"""A prompt's tokens, and how often the same prompt came before."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a text is continued."""

    max_new_tokens: int
    """Longest continuation."""
    stop: tuple[str, ...] = ()
    """The text ends before the first of these; an end-of-sequence token always ends it."""
    sample: bool = False
    """Draw from the distribution instead of taking the likeliest token."""
    top_k: int | None = None
    """Draw among this many likeliest tokens, renormalised; None for all."""
    temperature: float = 1.0
    """Divides the logits before drawing."""


class Generator:
    """Continues texts on a live model.

    A prompt's random numbers are its own, made from the seed, its tokens and how often it was
    there before: what it draws does not depend on what else is in the batch, and only new weights
    give a new text.

    Args:
        model: The model; its weights may change between calls.
        tokenizer: Its tokenizer.
        max_length: Longest input and continuation together; prompts lose tokens on the left.
        batch_tokens: Prompt tokens run at a time; None takes what suits the model and its device.
        seed: Seed of sampling.
        hooks: An editor of kind `hooks`, told in each pass where prompts end.
        relief: Called when memory has run out; see `Budget`.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        *,
        max_length: int,
        batch_tokens: int | None = None,
        seed: int = 0,
        hooks: Editor | None = None,
        relief: Callable[[], bool] = lambda: False,
    ) -> None:
        self._model, self._tokenizer, self._hooks = model, tokenizer, hooks
        self._max_length = max_length
        self._packs = Packs(model, hooks)
        self.budget = Budget(batch_tokens or self._packs.tokens, "prompt", relief)
        self._seed = seed
        self._ends = _end_tokens(model, tokenizer)
        self.tokens_run = 0
        """Tokens run through the model so far, padding aside."""
        self.hits: list[bool] = []
        """Which prompts of the last call hooks acted on; empty without hooks."""

    @torch.no_grad()
    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[str]:
        """Continue each prompt; in order.

        Args:
            prompts: Token ids, at least one each.
            decoding: How.

        Returns:
            The new text alone, cut before the first stop string.

        Raises:
            InputError: the continuation leaves no room for a prompt, or memory holds not even one.
        """
        room = self._max_length - decoding.max_new_tokens
        if room < 1:
            raise InputError(
                f"{decoding.max_new_tokens} new tokens do not fit the model's context window of "
                f"{self._max_length}"
            )
        wanted = [tuple(prompt[-room:]) for prompt in prompts]
        rows = _numbered(wanted) if decoding.sample else [(row, 0) for row in wanted]
        distinct = sorted(set(rows))
        ids = [row for row, _ in distinct]
        texts: dict[_Row, str] = {}
        hits: dict[_Row, bool] = {}

        def run(prefix: Prefix, batch: Sequence[int]) -> None:
            opened = [ids[index] for index in batch]
            ends = [len(row) - 1 for row in opened]
            running = prefix.open(opened, new=decoding.max_new_tokens, ends=ends)
            asked = [distinct[index] for index in batch]
            if self._hooks is not None:
                acted = self._hooks.hit_rows() or [False] * len(asked)
                hits.update(zip(asked, acted, strict=True))
            texts.update(zip(asked, self._continue(running, asked, decoding), strict=True))
            self.tokens_run += running.tokens

        for group in self._groups(ids, decoding):
            prefix = self.budget.once(partial(self._packs.prefix, ids, group))
            self.tokens_run += prefix.length
            take = partial(self._take, ids, group.prefix)
            self.budget.run(group.rows, take, partial(run, prefix))
        self.hits = [hits[row] for row in rows] if self._hooks else []
        return [texts[row] for row in rows]

    def _take(
        self, ids: Sequence[Sequence[int]], prefix: int, left: Sequence[int], budget: int
    ) -> list[int]:
        return self._packs.take(ids, prefix, left, budget)[:ROWS]

    def _groups(self, rows: Sequence[Sequence[int]], decoding: Decoding) -> list[Group]:
        longest = max(map(len, rows)) + decoding.max_new_tokens
        if not self._packs.packed and self._packs.attention.not_behind_prefix(longest):
            # Without padding nothing can be miscounted: one length at a time.
            return [
                Group(0, [index for index, row in enumerate(rows) if len(row) == length])
                for length in sorted({len(row) for row in rows})
            ]
        return self._packs.groups(rows, [len(row) - 1 for row in rows])

    def _continue(self, running: Rows, rows: Sequence[_Row], decoding: Decoding) -> list[str]:
        chosen: list[list[int]] = [[] for _ in rows]
        texts = [""] * len(rows)
        going = [True] * len(rows)
        draws = [self._random(row) for row in rows] if decoding.sample else None
        last = [running.place(row, -1) for row in range(len(rows))]
        hidden = running.hidden[last]
        for step in range(decoding.max_new_tokens):
            tokens = self._choose(float32_logits(self._model, hidden), decoding, draws)
            for index, token in enumerate(tokens.tolist()):
                if not going[index]:
                    continue
                if token in self._ends:
                    going[index] = False
                    continue
                chosen[index].append(token)
                if decoding.stop:
                    texts[index] = self._text(rows[index], chosen[index])
                    going[index] = not any(stop in texts[index] for stop in decoding.stop)
            if not any(going) or step + 1 == decoding.max_new_tokens:
                break
            hidden = running.append(tokens)
        return [
            _cut(self._text(row, tokens), decoding.stop)
            for row, tokens in zip(rows, chosen, strict=True)
        ]

    def _text(self, row: _Row, tokens: list[int]) -> str:
        # On its own, a first token's leading space is lost by SentencePiece tokenizers.
        tail = list(row[0][-TAIL:])
        before, whole = (
            self._tokenizer.decode(ids, skip_special_tokens=True) for ids in (tail, tail + tokens)
        )
        return whole[len(before) :]

    def _random(self, row: _Row) -> torch.Generator:
        # A CPU generator uses 32 bits of its seed: all that matters goes into those.
        text = " ".join(map(str, (self._seed, row[1], *row[0])))
        return torch.Generator().manual_seed(zlib.crc32(text.encode()))

    def _choose(
        self, logits: Tensor, decoding: Decoding, draws: Sequence[torch.Generator] | None
    ) -> Tensor:
        """Return the next token of each row, (rows,); NaN logits give token 0."""
        logits = logits.nan_to_num(nan=-torch.inf)
        if draws is None:
            return logits.argmax(-1)
        count = logits.shape[-1] if decoding.top_k is None else decoding.top_k
        best, tokens = logits.topk(min(count, logits.shape[-1]), dim=-1)
        cumulative = (best / decoding.temperature).softmax(-1).nan_to_num().cumsum(-1)
        uniform = torch.cat([torch.rand(1, generator=each) for each in draws]).to(logits.device)
        # Drawn by inversion: one number a token, whatever the batch.
        place = (cumulative < uniform[:, None]).sum(-1).clamp(max=best.shape[-1] - 1)
        return tokens.gather(1, place[:, None])[:, 0]


def _numbered(rows: Sequence[tuple[int, ...]]) -> list[_Row]:
    seen: Counter[tuple[int, ...]] = Counter()
    numbered = []
    for row in rows:
        numbered.append((row, seen[row]))
        seen[row] += 1
    return numbered


def _end_tokens(model: PreTrainedModel, tokenizer: Tokenizer) -> set[int]:
    ends = getattr(model.generation_config, "eos_token_id", None)
    listed = ends if isinstance(ends, list) else [ends]
    return {end for end in (*listed, tokenizer.eos_token_id) if end is not None}


def _cut(text: str, stops: Sequence[str]) -> str:
    return text[: min((text.index(stop) for stop in stops if stop in text), default=len(text))]
