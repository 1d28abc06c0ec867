"""What an editor says that it leaves alone, watched: distance and restoring do not see it."""

from __future__ import annotations

import torch
from torch import Tensor

from ..editors import Editor
from ..tasks.errors import InputError

_WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Whole numbers as wide as an entry, in bytes: NaN is then equal to itself."""
_SHOWN = 3


class Undeclared:
    """All parameters of a model that `edited_parameters` does not name.

    What is kept of each is one number, the sum of its entries' bits; reading them all takes about
    as long as the norm of every weight.

    Args:
        editor: The editor, prepared, before its first edit.
        name: What to call it in messages.
    """

    def __init__(self, editor: Editor, name: str) -> None:
        self._editor, self._name = editor, name
        declared = set(editor.edited_parameters())
        self._tensors = {
            key: parameter
            for key, parameter in editor.model.named_parameters()
            if key not in declared
        }
        self._sums = {key: _sum_of_bits(tensor) for key, tensor in self._tensors.items()}

    def check(self) -> None:
        """See that all of it is as it was.

        Raises:
            InputError: something has changed; names it.
        """
        # An editor beside the weights may have wrapped a layer: its parameters have other names.
        now = dict(self._editor.model.named_parameters())
        changed = [
            key
            for key, tensor in self._tensors.items()
            if _sum_of_bits(now.get(key, tensor)) != self._sums[key]
        ]
        if changed:
            more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
            raise InputError(
                f"edits of {self._name} changed {', '.join(changed[:_SHOWN])}{more}, which its "
                "edited_parameters does not name: it would be neither measured, nor restored, nor "
                "saved. Name all that edits change (`seqedit-bench check-editor` says more)"
            )


def _sum_of_bits(tensor: Tensor) -> int:
    return int(tensor.detach().view(_WHOLE[tensor.element_size()]).sum(dtype=torch.int64))
