"""Hidden states under the lowest edited layer, which never change.

Prompts that come again and again, as a task's do at every checkpoint, then run only what is above.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from ..editors import Editor
from ..editors._architecture import Architecture
from ..editors._trace import Trace, start_at


class LowerStates:
    """Keeps what enters the lowest edited layer, for batches that come again.

    The same batch is kept and run in the same shape, so that an answer is the same, bit for bit,
    whether its lower states were at hand or not: a resumed run repeats an uninterrupted one. A
    batch is kept when it comes for the second time, since most (an edit's own prompts) never do.

    Args:
        model: The live model.
        start: The lowest layer that edits change.
        budget: Bytes to keep at most, on the model's device.
    """

    def __init__(self, model: PreTrainedModel, start: int, budget: int) -> None:
        self._model, self._start = model, start
        self._architecture = Architecture.of(model)
        self._budget = budget
        self._kept: dict[bytes, Tensor] = {}
        self._met: set[bytes] = set()
        self.used = 0
        """Bytes kept."""
        self.reused = 0
        """Tokens whose lower layers were not run."""
        self.given_back = False
        """Whether memory ran out, and nothing is kept any more."""

    @classmethod
    def under(cls, editor: Editor | None, model: PreTrainedModel, gb: float) -> LowerStates | None:
        """Return what fits an editor, or None where nothing stays the same, or nothing changes."""
        start = lowest_edited_layer(editor, model) if editor is not None else 0
        return cls(model, start, int(gb * 2**30)) if start and gb > 0 else None

    def run(self, key: tuple[Any, ...], forward: Callable[[], Tensor]) -> Tensor:
        """Run a batch, from its lower states where they are kept.

        Args:
            key: All that these states depend on, the weights aside.
            forward: The pass; one call of the model.
        """
        digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
        if digest in self._kept:
            below = self._kept[digest]
            self.reused += below.shape[0] * below.shape[1]
            with start_at(self._model, self._architecture, self._start, below):
                return forward()
        if digest not in self._met:
            self._met.add(digest)
            return forward()
        layer = self._architecture.layers(self._model)[self._start - 1]
        with Trace({"below": layer}) as trace:
            result = forward()
        below = trace.kept["below"]
        size = below.numel() * below.element_size()
        if self.used + size <= self._budget:
            self._kept[digest] = below
            self.used += size
        return result

    def clear(self) -> bool:
        """Give the memory back, and keep nothing more; return whether anything was kept."""
        kept = self.used > 0
        self._kept.clear()
        self._budget = self.used = 0
        self.given_back = True
        return kept


def lowest_edited_layer(editor: Editor, model: PreTrainedModel) -> int:
    """Return the lowest layer whose weights an editor changes; 0 where that cannot be told."""
    names = editor.edited_parameters()
    prefix = f"{Architecture.of(model).layers_path}."
    if editor.kind != "weights" or not names or not all(name.startswith(prefix) for name in names):
        return 0
    return min(int(name.removeprefix(prefix).partition(".")[0]) for name in names)
