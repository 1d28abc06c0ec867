"""How much is run at a time: as much as memory holds, found out by trying."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from ..tasks.errors import InputError

_T = TypeVar("_T")
_SIGNS = ("out of memory", "not enough memory", "alloc_cpu", "_alloc_failed", "allocation_failed")
"""What torch and the libraries below it say when memory runs out, in small letters."""


class OutOfMemory(InputError):
    """Memory does not hold what must be run at once: no fact's fault, and the end of a run.

    Args:
        when: What it ran out with.
        advice: What to do.
    """

    def __init__(
        self,
        when: str,
        advice: str = "use a device with more memory, --dtype bfloat16, or a smaller model",
    ) -> None:
        super().__init__(f"out of memory {when}: {advice}")
        self.when = when


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


def free() -> None:
    """Free what nothing refers to any more, on the GPU too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Budget:
    """How much is run at a time; halved where memory does not hold it, and never raised again.

    Args:
        size: In any unit: tokens, rows, facts.
        what: What is run, for messages.
        relief: Called when memory has run out, to give back what can be made again; returns whether
            there was any. The same is then tried once more.
    """

    def __init__(self, size: int, what: str, relief: Callable[[], bool] = lambda: False) -> None:
        self.size, self.what = size, what
        self.halved = 0
        """How often memory did not hold what was to be run."""
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
            self.halved += 1
            while len(take(left, self.size)) > max(1, len(batch) // 2):
                self.size //= 2

    def once(self, work: Callable[[], _T]) -> _T:
        """Do what cannot be done in parts.

        Raises:
            OutOfMemory: memory does not hold it.
        """
        made: list[_T] = []
        self.run([0], lambda left, _: left, lambda _: made.append(work()))
        return made[0]

    def _fits(self, work: Callable[[Sequence[int]], None], batch: Sequence[int]) -> bool:
        relieved = False
        while True:
            try:
                work(batch)
                return True
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                again = not relieved and self._relief()
                if not again and len(batch) == 1:
                    raise OutOfMemory(f"with a single {self.what}") from error
            # Out here nothing refers to the tensors of the pass that failed.
            free()
            if not again:
                return False
            relieved = True
