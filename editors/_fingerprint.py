"""One digest of all weights: what caches and results are keyed by."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from transformers import PreTrainedModel


def weights_sha256(model: PreTrainedModel) -> str:
    """Return a sha256 over names, shapes, types and bytes of all parameters.

    Tied parameters count once. Hashing releases the interpreter lock, so tensors are read in
    parallel; the result does not depend on it.
    """
    parameters = sorted(model.named_parameters())
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(lambda item: _digest(item[1]), parameters))
    whole = hashlib.sha256()
    for (name, parameter), digest in zip(parameters, digests, strict=True):
        whole.update(f"{name} {tuple(parameter.shape)} {parameter.dtype} {digest}\n".encode())
    return whole.hexdigest()


def _digest(parameter: Tensor) -> str:
    data = parameter.detach().contiguous().cpu().view(torch.uint8).numpy()
    return hashlib.sha256(data.data).hexdigest()
