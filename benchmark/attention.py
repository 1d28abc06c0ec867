"""What a model's attention lets rows share, found out once."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from ..editors._architecture import Architecture
from ..tasks.errors import InputError

_PLAIN = (DynamicLayer, DynamicSlidingWindowLayer)


@dataclass(frozen=True, slots=True)
class Attention:
    """What a model's attention lets rows share."""

    kinds: frozenset[str]
    """The kinds of attention that its layers have, in the words of its config."""
    window: int | None
    """How far it looks back, where that is limited."""
    not_packed: str | None
    """Why rows cannot be packed into one sequence without padding; None where they can."""

    @classmethod
    def of(cls, model: PreTrainedModel) -> Attention:
        """Look at a model."""
        config = model.config.get_text_config()
        window: int | None = getattr(config, "sliding_window", None)
        layers = getattr(config, "layer_types", None)
        if layers is None:
            layers = ["full_attention" if window is None else "sliding_attention"]
        kinds = frozenset(layers)
        if "sliding_attention" not in kinds:
            window = None
        return cls(kinds, window, _not_packed(model, kinds))

    def not_behind_prefix(self, longest: int) -> str | None:
        """Return why padded rows of up to `longest` tokens cannot share keys and values.

        None where they can. Behind a padded prefix a sliding window would count the pads.
        """
        if self.window is not None and longest >= self.window:
            return f"rows of {longest} tokens exceed the sliding window of {self.window}"
        return self.not_packed


def _not_packed(model: PreTrainedModel, kinds: frozenset[str]) -> str | None:
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
    strange = {type(layer).__name__ for layer in layers if type(layer) not in _PLAIN}
    if strange:
        return f"the cache has layers of its own kind: {', '.join(sorted(strange))}"
    strange = kinds - {"full_attention", "sliding_attention"}
    if strange:
        return f"attention of another kind: {', '.join(sorted(strange))}"
    return None
