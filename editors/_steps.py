"""The two steps that locate-then-edit editors share, open to wrappers: find values, write changes.

A wrapper composed around such an editor replaces one of the steps in the instance it holds; alone,
both do the plain thing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Generic, Literal, TypeVar

import torch
from torch import Tensor, nn

from ..tasks import EditRequest
from ._architecture import Architecture, oriented
from ._base import Editor
from ._locate import LocateHparams
from ._memory import Budget
from ._solve import Change
from ._values import Value, optimise_values


@torch.no_grad()
def add_change(module: nn.Module, change: Change) -> float:
    """Add a change to a projection's weight, in place and without forming it; return its norm."""
    weight = oriented(module)
    weight.addmm_(change.left.to(weight), change.right.to(weight))
    return change.norm()


def _as_found(requests: Sequence[EditRequest], values: list[Value]) -> list[Value]:
    return values


ANY_NUMBER = 1 << 30
"""More facts than a call brings."""

_H = TypeVar("_H", bound=LocateHparams)


class SolvesValues(Editor, Generic[_H]):
    """An editor that first finds what the model should hold, then writes it into projections."""

    site: Literal["mlp", "layer"]
    """Where the value stands: the MLP's output (ROME) or the layer's (MEMIT)."""
    hparams: _H
    _architecture: Architecture

    value_transform: Callable[[Sequence[EditRequest], list[Value]], list[Value]] = staticmethod(
        _as_found
    )
    """What becomes of the values of a call before they are written."""
    write: Callable[[nn.Module, Change], float] = staticmethod(add_change)
    """Adds a change to a projection and returns the norm of what it added."""

    @cached_property
    def _facts_together(self) -> Budget:
        # Kept, so that memory that ran out once is not tried again with every call.
        return Budget(ANY_NUMBER, "fact")

    @property
    def value_layer(self) -> int:
        """The layer at whose output values are found."""
        return self.hparams.layers[-1]

    @abstractmethod
    def direction(self, keys: Tensor) -> Tensor:
        """Return where one fact's update would write: what it adds at a key k' goes by u . k'.

        It depends on the keys alone, so no value has to be found for it.

        Args:
            keys: (templates, d_ff), of the value's layer, the bare prompt's first.

        Returns:
            u, (d_ff,), up to a factor.
        """

    def solve_values(
        self, requests: Sequence[EditRequest], templates: Sequence[str]
    ) -> list[Value]:
        """Find the value of each request on the model as it is, in these context templates."""
        return optimise_values(
            self.model,
            self.tokenizer,
            self._architecture,
            requests,
            templates,
            layer=self.value_layer,
            site=self.site,
            settings=self.hparams.value_settings,
            budget=self._facts_together,
        )
