"""The global random generators: seeded for a run, kept in its saves, and put back."""

from __future__ import annotations

import base64
import random
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python's, numpy's and torch's generators: editors may draw from any of them."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the states of all generators as JSON.

    Args:
        device: Where the model is: a GPU has a generator of its own.
    """
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # pyright: ignore[reportAssignmentType]
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": _text(torch.random.get_rng_state()),
        "cuda": None if cuda is None else _text(cuda),
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put all generators where `random_state` found them.

    Raises:
        ValueError: this is no such state.
    """
    try:
        version, words, gauss = state["python"]
        name, keys, position, has_gauss, cached = state["numpy"]
        random.setstate((version, tuple(words), gauss))
        np.random.set_state((name, np.array(keys, np.uint32), position, has_gauss, cached))
        torch.random.set_rng_state(_tensor(state["torch"]))
        if device.type == "cuda" and state["cuda"] is not None:
            torch.cuda.set_rng_state(_tensor(state["cuda"]), device)
    except (KeyError, TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"no state of random generators: {error}") from None


def _text(state: torch.Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _tensor(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
