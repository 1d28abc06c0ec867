"""Files of second moments: our cache, whole or to be made again, and the published `.npz`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..tasks.errors import InputError
from ._cache_files import replacing


class Saved(NamedTuple):
    """Contents of a cache file."""

    tensors: dict[str, Tensor]
    metadata: Mapping[str, object]
    """What it was made from."""


def save_tensors(path: Path, saved: Saved) -> None:
    """Write a cache file; readers see the old one or the whole new one.

    Raises:
        InputError: it cannot be written.
    """
    texts = {key: str(value) for key, value in saved.metadata.items()}
    whole = {name: tensor.cpu().contiguous() for name, tensor in saved.tensors.items()}
    with replacing(path) as temporary:
        save_file(whole, temporary, texts)


def load_moment(path: Path, d_ff: int) -> Saved | None:
    """Return a kept estimate; None where there is none, or a spoilt one: it is made again."""
    saved = _load(path)
    if saved is None:
        return None
    moment = saved.tensors.get("moment", torch.empty(0))
    extremes = saved.tensors.get("eigenvalues", torch.zeros(2))
    whole = moment.shape == (d_ff, d_ff) and extremes.shape == (2,)
    return saved if whole and _finite(moment) and _finite(extremes) else None


def load_partial(path: Path, names: Sequence[str]) -> tuple[int, dict[str, Tensor]]:
    """Return how many documents a stopped estimate had seen, and its sums; 0 and none if spoilt."""
    saved = _load(path)
    done = str(saved.metadata.get("documents", "")) if saved is not None else ""
    if saved is None or not done.isdecimal() or saved.tensors.keys() != set(names):
        return 0, {}
    return int(done), saved.tensors


def _load(path: Path) -> Saved | None:
    try:
        with safe_open(path, framework="pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
            return Saved(tensors, stream.metadata() or {})
    except (OSError, SafetensorError):
        return None


def _finite(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and bool(tensor.isfinite().all())


def read_npz(path: Path, d_ff: int, layer: int) -> tuple[Tensor, int]:
    """Read a published estimate: the sum of k k^T under `mom2.mom2`, its `mom2.count`.

    Returns:
        C, (d_ff, d_ff), float64, and how many keys it is the mean of.

    Raises:
        InputError: the file is none, or not of this model.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            total, count = arrays["mom2.mom2"], int(arrays["mom2.count"])
        matrix = torch.from_numpy(total.astype(np.float64))
    except Exception as error:  # archives can be spoilt in many ways, arrays in more
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{path}: not a published second moment: {reason}") from None
    if matrix.shape != (d_ff, d_ff):
        shape = tuple(matrix.shape)
        raise InputError(f"{path}: shape {shape}, the model's layer {layer} has {d_ff} keys")
    if count < 1 or not _finite(matrix):
        raise InputError(f"{path}: not a second moment: it has NaN or infinity, or no tokens")
    return matrix / count, count
