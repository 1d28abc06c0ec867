"""How much is run at a time: as much as memory holds, found out by trying."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import torch

from ..tasks.errors import InputError

_SIGNS = ("out of memory", "not enough memory", "alloc_cpu", "_alloc_failed")
"""What torch and the libraries below it say when memory runs out, in small letters."""


class OutOfMemory(InputError):
    """Memory does not hold what must be run at once: no fact's fault, and the end of a run."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


class Budget:
    """How much is run at a time; halved where memory does not hold it, and never raised again.

    Args:
        size: In any unit: tokens, rows, facts.
        what: What is run, for messages.
        relief: Called when memory has run out, to give back what can be made again.
    """

    def __init__(self, size: int, what: str, relief: Callable[[], None] = lambda: None) -> None:
        self.size, self.what = size, what
        self.halved = 0
        """How often memory has run out so far."""
        self._relief = relief

    def run(
        self,
        items: Sequence[int],
        take: Callable[[Sequence[int], int], Sequence[int]],
        work: Callable[[Sequence[int]], None],
    ) -> None:
        """Do work on all items, in batches.

        Args:
            items: What is to be done: indices, each once.
            take: From the items that are left and the budget to the batch to do next; one at least.
            work: Does a batch. It is called again with fewer items where memory runs out, so half
                done it must leave nothing that counts.

        Raises:
            OutOfMemory: memory does not hold a single item.
        """
        left = list(items)
        while left:
            batch = take(left, self.size)
            if self._fits(work, batch):
                done = set(batch)
                left = [item for item in left if item not in done]
                continue
            while len(take(left, self.size)) > max(1, len(batch) // 2):
                self.size //= 2

    def _fits(self, work: Callable[[Sequence[int]], None], batch: Sequence[int]) -> bool:
        try:
            work(batch)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(batch) == 1:
                raise OutOfMemory(
                    f"out of memory with a single {self.what}: use a smaller model, --dtype "
                    "bfloat16, or a device with more memory"
                ) from error
        else:
            return True
        # Out here nothing refers to the tensors of the pass that failed.
        self.halved += 1
        self._relief()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return False
