"""GRACE's codebook: balls around keys, each with the value that is given out inside it."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple

import torch
from torch import Tensor

SAME = 1e-5
"""Keys no further apart than this share of their length are one."""
MARGIN = 1e-5
"""What is left between two balls after a split (as published)."""


def rounding(dtype: torch.dtype) -> float:
    """Return by how much of its length a key read in another batch may differ from itself.

    Measured: below 1e-6 in float32 on models of four layers; 0.036 in bfloat16 at layer 24 of
    SmolLM2, 4.5 times its eps.
    """
    return max(SAME, 8 * torch.finfo(dtype).eps)


class Action(IntEnum):
    """What an edit did to the codebook."""

    ADD = 0
    """A new ball, away from all others."""
    SPLIT = 1
    """A new ball; the one next to it, of another target, shrank."""
    EXPAND = 2
    """The nearest ball has the same target and took the key in."""
    REPLACE = 3
    """The same key with another target: the later one stays."""


class Placed(NamedTuple):
    """Where a key went."""

    entry: int
    action: Action
    distance: float
    """To the nearest key that was there before; infinite if there was none."""


class Codebook:
    """Keys, values, radii (float32) and target tokens, one row an entry.

    Args:
        d_in: Length of a key.
        d_out: Length of a value.
        device: Where they are kept.
    """

    def __init__(self, d_in: int, d_out: int, device: torch.device) -> None:
        self.keys = torch.zeros(0, d_in, device=device)
        self.values = torch.zeros(0, d_out, device=device)
        self.radii = torch.zeros(0, device=device)
        self.labels: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self.labels)

    def nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return distance to and index of the nearest key of each query (rows, d_in).

        NaN is infinitely far from everything.
        """
        # By matrix products, as is the default for many rows, a key has a distance to itself.
        distances = torch.cdist(
            queries.float(), self.keys, compute_mode="donot_use_mm_for_euclid_dist"
        )
        found = distances.nan_to_num(nan=torch.inf).min(1)
        return found.values, found.indices

    def look_up(self, queries: Tensor) -> Tensor:
        """Return the entry whose ball each query (rows, d_in) is in, (rows,); -1 for none.

        Balls are larger by the rounding of the queries' own precision.
        """
        if not len(self):
            return torch.full((len(queries),), -1, device=queries.device)
        distances, entries = self.nearest(queries)
        reach = self.radii[entries] + rounding(queries.dtype) * self.keys[entries].norm(dim=1)
        return torch.where(distances <= reach, entries, -1)

    def place(
        self,
        key: Tensor,
        label: tuple[int, ...],
        *,
        radius: float,
        expand: Literal["coverage", "moving_average"],
    ) -> Placed:
        """Make room for a key and its target (Hartvigsen et al. 2023, section 3).

        Args:
            key: (d_in,).
            label: Token ids of the target.
            radius: Of a new ball.
            expand: How a ball of the same target takes a key in: by its radius alone, or its
                centre moves half-way too.

        Returns:
            The entry; a new one's value is zero.
        """
        key = key.float()
        if not len(self):
            return Placed(self._append(key, label, radius), Action.ADD, float("inf"))
        distances, entries = self.nearest(key[None])
        distance, entry = distances.item(), int(entries.item())
        # Nothing is nearest to NaN, and NaN keys are near nothing.
        if not distance <= radius + self.radii[entry].item():
            return Placed(self._append(key, label, radius), Action.ADD, distance)
        if self.labels[entry] == label:
            if distance > self.radii[entry].item():
                self.radii[entry] = distance
                if expand == "moving_average":
                    self.keys[entry] = (self.keys[entry] + key) / 2
            return Placed(entry, Action.EXPAND, distance)
        if distance <= SAME * self.keys[entry].norm().item():
            self.labels[entry] = label
            return Placed(entry, Action.REPLACE, distance)
        # Published code may enlarge here what an earlier split has shrunk.
        shrunk = max(distance / 2 - MARGIN, 0.0)
        self.radii[entry] = min(self.radii[entry].item(), shrunk)
        return Placed(self._append(key, label, distance / 2), Action.SPLIT, distance)

    def _append(self, key: Tensor, label: tuple[int, ...], radius: float) -> int:
        self.keys = torch.cat([self.keys, key[None]])
        self.values = torch.cat([self.values, self.values.new_zeros(1, self.values.shape[1])])
        self.radii = torch.cat([self.radii, self.radii.new_tensor([radius])])
        self.labels.append(label)
        return len(self) - 1

    @property
    def bytes_of_an_entry(self) -> int:
        """About the size of an entry in the state: key, value, radius, a label of 16 tokens."""
        return 4 * (self.keys.shape[1] + self.values.shape[1] + 1) + 8 * 17

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything as tensors."""
        return {
            "keys": self.keys.clone(),
            "values": self.values.clone(),
            "radii": self.radii.clone(),
            "label_tokens": torch.tensor(
                [token for label in self.labels for token in label]
            ).long(),
            "label_lengths": torch.tensor([len(label) for label in self.labels]).long(),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        device = self.keys.device
        # Copies: rows are written in place.
        self.keys, self.values, self.radii = (
            state[name].to(device, copy=True) for name in ("keys", "values", "radii")
        )
        tokens = iter(state["label_tokens"].tolist())
        self.labels = [
            tuple(next(tokens) for _ in range(length)) for length in state["label_lengths"].tolist()
        ]
