"""Tokens that rows share, run once: their keys and values, and what opens rows behind them."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from ..editors import Editor
from ..editors._architecture import Architecture
from ..editors._trace import cache_argument
from ..tasks.errors import InputError
from .lower import LowerStates
from .rows import PackedRows, PaddedRows, Rows, attention_kinds

WORTH = 512
"""Tokens that sharing a prefix must save: about what its own forward calls cost."""


def sliding_window(model: PreTrainedModel) -> int | None:
    """Return how far the model's attention looks back, where that is limited."""
    config = model.config.get_text_config()
    layers = getattr(config, "layer_types", None)
    if layers is not None and "sliding_attention" not in layers:
        return None
    return getattr(config, "sliding_window", None)


def unpacked(model: PreTrainedModel) -> str | None:
    """Return why rows cannot be packed without padding, or None where they can.

    Packing is a matter of the attention mask and of plain keys and values: layers that carry a
    state from token to token, attend in chunks, or read positions off the mask, would mix the rows.
    Families that nobody has tried are left alone.
    """
    try:
        Architecture.of(model)
    except InputError:
        return f"model type {model.config.model_type!r} is not among the known ones"
    layers = DynamicCache(config=model.config).layers
    strange = {type(layer).__name__ for layer in layers if not _is_plain(layer)}
    if strange:
        return f"the cache has layers of its own kind: {', '.join(sorted(strange))}"
    strange = attention_kinds(model) - {"full_attention", "sliding_attention"}
    if strange:
        return f"attention of another kind: {', '.join(sorted(strange))}"
    return None


def unshared(model: PreTrainedModel, longest: int) -> str | None:
    """Return why padded rows of up to `longest` tokens cannot share keys and values.

    None where they can. Behind a padded prefix a sliding window would count the pads.
    """
    window = sliding_window(model)
    if window is not None and longest >= window:
        return f"rows of {longest} tokens exceed the sliding window of {window}"
    return unpacked(model)


def _is_plain(layer: object) -> bool:
    return type(layer) in (DynamicLayer, DynamicSlidingWindowLayer)


class Prefix:
    """The keys and values of tokens that rows begin with; possibly none.

    Args:
        model: The live model. A prefix is worthless once its weights change.
        ids: The tokens.
        lower: Hidden states under the edited layers of packed rows, where they are kept.
        packed: Whether rows behind it are packed into one sequence; else they are padded.
        hooks: An editor of kind `hooks`, told of each pass; its rows are padded.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        ids: Sequence[int],
        *,
        packed: bool,
        lower: LowerStates | None = None,
        hooks: Editor | None = None,
    ) -> None:
        self._model, self._hooks = model, hooks
        self._ids, self._packed, self._lower = tuple(ids), packed, lower
        self.length = len(ids)
        # Our own masks know windows: every layer of a packed cache keeps all keys.
        self._cache = DynamicCache() if packed else DynamicCache(config=model.config)
        self._finite = True
        if ids and packed:
            self._finite = PackedRows(model, self._cache, (), [self._ids]).finite
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

    def open(self, rows: Sequence[Sequence[int]], *, keep: bool, ends: Sequence[int] = ()) -> Rows:
        """Run what rows have behind the prefix.

        Args:
            rows: Whole rows, prefix included.
            keep: Whether more tokens will follow (generation).
            ends: Index of each row's last prompt token, behind the prefix; read by hooks alone.
        """
        suffixes = [row[self.length :] for row in rows]
        cache = self._copy() if self.length or keep else None
        if self._packed:
            # What is appended would miss keys and values of layers that were not run.
            lower = None if keep else self._lower
            packed = PackedRows(self._model, cache, self._ids, suffixes, lower)
            if packed.finite or not self._finite or unshared(self._model, max(map(len, rows))):
                return packed
            # NaN in one row reaches the others: a masked weight of zero times NaN is NaN. In a
            # batch rows are apart.
            cache = self._copy() if self.length or keep else None
        if cache is not None and self.length:
            for layer in cache.layers:
                assert isinstance(layer, DynamicLayer), "`unshared` lets no other kind through"
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
