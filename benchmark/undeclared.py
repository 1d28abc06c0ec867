"""What an editor says that it leaves alone, watched: distance and restoring do not see it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..editors import Editor
from ..tasks.errors import InputError

_WHOLE = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Whole numbers as wide as an entry, in bytes: NaN is then equal to itself."""
_PIECE = 1 << 22
"""Entries added up at a time: sums of whole numbers are made of copies eight bytes wide."""
_SHOWN = 3


class Undeclared:
    """All parameters of the unedited model that `edited_parameters` does not name.

    What an editor adds to the model is its own: `state_dict` is to have it.

    What is kept of each is one number, the sum of its entries' bits; reading them all takes about
    as long as the norm of every weight.

    Args:
        editor: The editor, prepared, before its first edit.
        name: What to call it in messages.
        unedited: The model's parameters from before there was an editor, by name.
    """

    def __init__(self, editor: Editor, name: str, unedited: Mapping[str, nn.Parameter]) -> None:
        self._editor, self._name = editor, name
        declared = set(editor.edited_parameters())
        self._tensors = {key: each for key, each in unedited.items() if key not in declared}
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
    bits = torch.atleast_1d(tensor.detach().view(_WHOLE[tensor.element_size()]))
    rows = max(1, _PIECE * len(bits) // max(1, bits.numel()))
    return int(torch.stack([part.sum(dtype=torch.int64) for part in bits.split(rows)]).sum())
