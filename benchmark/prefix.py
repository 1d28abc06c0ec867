"""Rows that share a prefix, run behind one copy of its keys and values."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from ..editors import Editor
from ..editors._keys import right_pad
from .sharing import Group

WORTH = 512
"""Tokens that sharing a prefix must save: about what its own forward calls cost."""


def sliding_window(model: PreTrainedModel) -> int | None:
    """Return how far the model's attention looks back, where that is limited."""
    config = model.config.get_text_config()
    layers = getattr(config, "layer_types", None)
    if layers is not None and "sliding_attention" not in layers:
        return None
    return getattr(config, "sliding_window", None)


def refusal(model: PreTrainedModel, longest: int) -> str | None:
    """Return why keys and values cannot be shared between rows of up to `longest` tokens.

    None where they can. Behind a padded prefix a sliding window would count the pads, and caches
    that are not plain keys and values (recurrent layers) cannot be handed from row to row.
    """
    window = sliding_window(model)
    if window is not None and longest >= window:
        return f"rows of {longest} tokens exceed the sliding window of {window}"
    layers = DynamicCache(config=model.config).layers
    strange = {type(layer).__name__ for layer in layers if not _is_plain(layer)}
    if strange:
        return f"the cache has layers of its own kind: {', '.join(sorted(strange))}"
    return None


def _is_plain(layer: object) -> bool:
    return type(layer) in (DynamicLayer, DynamicSlidingWindowLayer)


class Prefix:
    """The keys and values of tokens that rows begin with; possibly none.

    Args:
        model: The live model. A prefix is worthless once its weights change.
        ids: The tokens.
        hooks: An editor of kind `hooks`, told of each pass.
    """

    def __init__(
        self, model: PreTrainedModel, ids: Sequence[int], hooks: Editor | None = None
    ) -> None:
        self._model, self._hooks = model, hooks
        self.length = len(ids)
        self._cache = DynamicCache(config=model.config)
        if ids:
            if hooks is not None:
                hooks.next_rows(torch.tensor([-1], device=model.device))
            model.base_model(
                input_ids=torch.tensor([list(ids)], device=model.device),
                past_key_values=self._cache,
                use_cache=True,
            )

    @classmethod
    def of(
        cls,
        model: PreTrainedModel,
        rows: Sequence[Sequence[int]],
        group: Group,
        hooks: Editor | None = None,
    ) -> Prefix:
        """Run the prefix that a group's rows share."""
        return cls(model, rows[group.rows[0]][: group.prefix], hooks)

    def open(
        self, rows: Sequence[Sequence[int]], *, keep: bool, ends: Sequence[int] = ()
    ) -> Running:
        """Run what rows have behind the prefix.

        Args:
            rows: Whole rows, prefix included.
            keep: Whether more tokens will follow (generation).
            ends: Index of each row's last prompt token, behind the prefix; read by hooks alone.
        """
        cache = None
        if self.length:
            # A layer grows by making new tensors, so views of the prefix's can be handed out.
            cache = copy.copy(self._cache)
            cache.layers = [copy.copy(layer) for layer in self._cache.layers]
            for layer in cache.layers:
                assert isinstance(layer, DynamicLayer), "`refusal` lets no other kind through"
                assert layer.keys is not None and layer.values is not None
                layer.keys = layer.keys.expand(len(rows), -1, -1, -1)
                layer.values = layer.values.expand(len(rows), -1, -1, -1)
        elif keep:
            cache = DynamicCache(config=self._model.config)
        if self._hooks is not None:
            columns = [end - self.length for end in ends]
            self._hooks.next_rows(torch.tensor(columns, device=self._model.device))
        suffixes = [row[self.length :] for row in rows]
        return Running(self._model, cache, self.length, suffixes, self._hooks)


class Running:
    """A batch of rows in the model, right-padded, to which tokens can be appended."""

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
        self.tokens = int(mask.sum())
        """Tokens run so far, padding and prefix aside."""
        self._mask = torch.cat([mask.new_ones(len(mask), prefix), mask], 1)
        columns = torch.arange(ids.shape[1], device=ids.device)
        self._lengths = self._mask.sum(1)
        self.hidden = self._run(ids, (prefix + columns)[None].expand_as(ids))
        """(rows, longest, d_model), final hidden states of the suffixes."""

    def _run(self, ids: Tensor, positions: Tensor) -> Tensor:
        return self._model.base_model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=self._cache is not None,
        ).last_hidden_state

    def last(self) -> Tensor:
        """Return the final hidden state at each row's last token, (rows, d_model)."""
        ends = self._lengths - 1 - (self._mask.shape[1] - self.hidden.shape[1])
        return self.hidden[torch.arange(len(ends), device=ends.device), ends]

    def append(self, tokens: Tensor) -> Tensor:
        """Append a token to each row, (rows,); return its final hidden state, (rows, d_model)."""
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], 1)
        if self._hooks is not None:
            self._hooks.next_rows(None)
        hidden = self._run(tokens[:, None], self._lengths[:, None])[:, -1]
        self._lengths = self._lengths + 1
        self.tokens += len(tokens)
        return hidden
