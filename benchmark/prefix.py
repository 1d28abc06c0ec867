"""Tokens that rows share, run once: their keys and values, and what opens rows behind them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from ..editors import Editor
from ..editors._trace import cache_argument
from .attention import Attention
from .lower import LowerStates
from .rows import PackedRows, PaddedRows, Rows, SingleRows

WORTH = 512
"""Tokens that sharing a prefix must save: about what its own forward calls cost."""


class Prefix:
    """The keys and values of tokens that rows begin with; possibly none.

    Args:
        model: The live model. A prefix is worthless once its weights change.
        ids: The tokens.
        attention: What the model lets rows share.
        lower: Hidden states under the edited layers of packed rows, where they are kept.
        packed: Whether rows behind it are packed into one sequence; else they are padded.
        hooks: An editor of kind `hooks`, told of each pass; its rows are padded.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        ids: Sequence[int],
        *,
        attention: Attention,
        packed: bool,
        lower: LowerStates | None = None,
        hooks: Editor | None = None,
    ) -> None:
        self._model, self._attention, self._hooks = model, attention, hooks
        self._ids, self._packed, self._lower = tuple(ids), packed, lower
        self.length = len(ids)
        # Our own masks know windows: every layer of a packed cache keeps all keys.
        self._cache = DynamicCache() if packed else DynamicCache(config=model.config)
        self._finite = True
        if ids and packed:
            self._finite = PackedRows(model, attention, self._cache, (), [self._ids]).finite
        elif ids:
            self._run()

    def _run(self) -> None:
        if self._hooks is not None:
            self._hooks.next_rows(torch.tensor([-1], device=self._model.device))
        self._model.base_model(
            input_ids=torch.tensor([self._ids], device=self._model.device),
            use_cache=True,
            **cache_argument(self._model, self._cache),
        )

    def open(
        self, rows: Sequence[Sequence[int]], *, new: int = 0, ends: Sequence[int] = ()
    ) -> Rows:
        """Run what rows have behind the prefix.

        Args:
            rows: Whole rows, prefix included.
            new: Most tokens that will follow each (generation).
            ends: Index of each row's last prompt token, behind the prefix; read by hooks alone.
        """
        suffixes = [row[self.length :] for row in rows]
        keep = new > 0
        cache = self._copy() if self.length or keep else None
        if self._packed:
            # What is appended would miss keys and values of layers that were not run.
            lower = None if keep else self._lower
            packed = PackedRows(self._model, self._attention, cache, self._ids, suffixes, lower)
            if packed.finite or not self._finite:
                return packed
            # NaN in one row reaches the others: a masked weight of zero times NaN is NaN. In a
            # batch rows are apart, and where it cannot be padded each is run alone.
            if self._attention.not_behind_prefix(max(map(len, rows)) + new):
                return SingleRows(self._model, rows, self.length, keep=keep)
            cache = self._copy() if self.length or keep else None
        if cache is not None and self.length:
            for layer in cache.layers:
                assert isinstance(layer, DynamicLayer), "`not_packed` says so of any other kind"
                assert layer.keys is not None and layer.values is not None
                layer.keys = layer.keys.expand(len(rows), -1, -1, -1)
                layer.values = layer.values.expand(len(rows), -1, -1, -1)
        if self._hooks is not None:
            columns = [end - self.length for end in ends]
            self._hooks.next_rows(torch.tensor(columns, device=self._model.device))
        return PaddedRows(self._model, cache, self.length, suffixes, self._hooks)

    def _copy(self) -> DynamicCache:
        # A layer grows by making new tensors, so the prefix's own can be handed out.
        cache = copy.copy(self._cache)
        cache.layers = [copy.copy(layer) for layer in self._cache.layers]
        return cache
