"""Rows in the model, behind a prefix they share: read where needed, continued token by token.

Packed rows are one sequence without padding, in which whatever rows have in common stands once and
an attention mask keeps them apart. Padded rows are a batch, for what must see each row on its own.
Single rows are run one by one, where neither can be had.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from ..editors import Editor
from ..editors._keys import right_pad
from ..editors._trace import cache_argument
from .attention import Attention
from .lower import LowerStates
from .sharing import grow


class Rows(ABC):
    """Rows that have been run, and can be continued."""

    tokens: int
    """Tokens run so far, padding and prefix aside."""
    hidden: Tensor
    """(places, d_model), final hidden states of what was run at first."""

    @property
    def finite(self) -> bool:
        """Whether no hidden state holds NaN or infinity."""
        return bool(self.hidden.isfinite().all())

    @abstractmethod
    def place(self, row: int, column: int) -> int:
        """Return where in `hidden` a row's token stands; column 0 is the first behind the prefix.

        Negative columns count from the row's end.
        """

    @abstractmethod
    def append(self, tokens: Tensor) -> Tensor:
        """Append a token to each row, (rows,); return its final hidden state, (rows, d_model)."""


class PackedRows(Rows):
    """Rows as one sequence, told apart by the attention mask.

    Args:
        model: The live model.
        attention: What it lets rows share.
        cache: Keys and values of the prefix; None where there is none and nothing is appended.
        prefix: The tokens of the prefix.
        suffixes: What rows have behind it, neighbors sorted as `grow` wants them.
        lower: Hidden states under the edited layers, where they are kept.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        attention: Attention,
        cache: DynamicCache | None,
        prefix: Sequence[int],
        suffixes: Sequence[Sequence[int]],
        lower: LowerStates | None = None,
    ) -> None:
        self._model, self._attention, self._cache = model, attention, cache
        tree = grow(suffixes)
        self._paths = tree.paths
        self.tokens = many = len(tree.tokens)
        device = model.device
        places = torch.arange(many, device=device)
        ends = torch.tensor(tree.ends, device=device)
        depths = torch.tensor(tree.depths, device=device) + len(prefix)
        before = torch.arange(len(prefix), device=device)
        self._positions = torch.cat([before, depths])
        inside = (places[:, None] >= places) & (places[:, None] < ends)
        seen = torch.cat([inside.new_ones(many, len(prefix)), inside], 1)
        ids = torch.tensor(tree.tokens, device=device)
        key = (tuple(prefix), tuple(tree.tokens), tuple(tree.ends))
        run = lower.run if lower is not None else lambda _, forward: forward()
        self.hidden = run(key, lambda: self._run(ids, depths, seen))
        self._lengths = torch.tensor([len(prefix) + len(path) for path in tree.paths]).to(device)
        self._seen: Tensor | None = None

    def place(self, row: int, column: int) -> int:
        return self._paths[row][column]

    def append(self, tokens: Tensor) -> Tensor:
        many, tokens = len(tokens), tokens.to(self._positions.device)
        if self._seen is None:
            prefix = len(self._positions) - len(self.hidden)
            self._seen = torch.zeros(many, len(self._positions), dtype=torch.bool).to(tokens.device)
            self._seen[:, :prefix] = True
            for row, path in enumerate(self._paths):
                self._seen[row, [prefix + place for place in path]] = True
        own = torch.eye(many, dtype=torch.bool, device=tokens.device)
        self._seen = torch.cat([self._seen, own], 1)
        self._positions = torch.cat([self._positions, self._lengths])
        hidden = self._run(tokens, self._lengths, self._seen)
        self._lengths = self._lengths + 1
        self.tokens += many
        return hidden

    def _run(self, ids: Tensor, positions: Tensor, seen: Tensor) -> Tensor:
        """Run tokens that each see what `seen` says, (tokens, keys)."""
        masks = {kind: self._mask(kind, positions, seen) for kind in self._attention.kinds}
        return self._model.base_model(
            input_ids=ids[None],
            attention_mask=masks if len(masks) > 1 else next(iter(masks.values())),
            position_ids=positions[None],
            use_cache=self._cache is not None,
            **cache_argument(self._model, self._cache),
        ).last_hidden_state[0]

    def _mask(self, kind: str, positions: Tensor, seen: Tensor) -> Tensor:
        """Return what is added to attention scores, (1, 1, tokens, keys)."""
        if kind == "sliding_attention":
            assert self._attention.window is not None, "that is what slides"
            seen = seen & (positions[:, None] - self._positions < self._attention.window)
        dtype = self._model.dtype
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        return mask.masked_fill_(~seen, torch.finfo(dtype).min)[None, None]


class PaddedRows(Rows):
    """Rows as a right-padded batch.

    Args:
        model: The live model.
        cache: Keys and values of the prefix, a copy for each row; None where nothing is kept.
        prefix: Length of the prefix.
        suffixes: What rows have behind it.
        hooks: An editor of kind `hooks`, told of each pass.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        cache: DynamicCache | None,
        prefix: int,
        suffixes: Sequence[Sequence[int]],
        hooks: Editor | None = None,
    ) -> None:
        self._model, self._cache, self._hooks = model, cache, hooks
        ids, mask = right_pad(suffixes, model.device)
        self._suffixes = [len(suffix) for suffix in suffixes]
        self.tokens = sum(self._suffixes)
        self._width = ids.shape[1]
        self._mask = torch.cat([mask.new_ones(len(mask), prefix), mask], 1)
        columns = torch.arange(self._width, device=ids.device)
        self._lengths = self._mask.sum(1)
        self.hidden = self._run(ids, (prefix + columns)[None].expand_as(ids)).flatten(0, 1)

    def place(self, row: int, column: int) -> int:
        return row * self._width + column % self._suffixes[row]

    def append(self, tokens: Tensor) -> Tensor:
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], 1)
        if self._hooks is not None:
            self._hooks.next_rows(None)
        hidden = self._run(tokens[:, None], self._lengths[:, None])[:, -1]
        self._lengths = self._lengths + 1
        self.tokens += len(tokens)
        return hidden

    def _run(self, ids: Tensor, positions: Tensor) -> Tensor:
        return self._model.base_model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            use_cache=self._cache is not None,
            **cache_argument(self._model, self._cache),
        ).last_hidden_state


class SingleRows(Rows):
    """Rows that are run one by one, whole.

    Args:
        model: The live model.
        rows: Whole rows, prefix included.
        prefix: Length of what they share.
        keep: Whether more tokens will follow.
    """

    def __init__(
        self, model: PreTrainedModel, rows: Sequence[Sequence[int]], prefix: int, *, keep: bool
    ) -> None:
        self._prefix = prefix
        self._rows = [
            PaddedRows(model, DynamicCache(config=model.config) if keep else None, 0, [row])
            for row in rows
        ]
        self._starts = [0, *accumulate(map(len, rows))]
        self.tokens = self._starts[-1]
        self.hidden = torch.cat([row.hidden for row in self._rows])

    def place(self, row: int, column: int) -> int:
        inside = column if column < 0 else self._prefix + column
        return self._starts[row] + self._rows[row].place(0, inside)

    def append(self, tokens: Tensor) -> Tensor:
        self.tokens += len(tokens)
        parts = tokens.split(1)
        return torch.cat([row.append(each) for row, each in zip(self._rows, parts, strict=True)])
