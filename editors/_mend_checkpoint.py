"""Files of a trained hypernetwork: ours in safetensors, and the published `.pt` ones.

A file of ours holds the network's tensors and a JSON header: the model it belongs to, the matrices
it edits, and how it was trained.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..tasks.errors import InputError
from ._cache_files import replacing
from ._hypernetwork import Hypernetwork, Matrix

_HEADER = "mend"


class Header(BaseModel):
    """What a file says of the network in it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        ser_json_inf_nan="constants",  # scores can be NaN, and must come back as such
    )

    weights_sha256: str | None
    """Digest of the model it was trained on; None where the file it comes from does not say."""
    matrices: list[str]
    """Names of the edited projections, in the order of their rates."""
    rank: int = Field(ge=1)
    """Rank of U V."""
    provenance: dict[str, Any] = {}
    """How it was trained, for the record of runs."""
    training: dict[str, Any] = {}
    """Where an unfinished training stands; empty in a finished network."""


def checkpoint_path(cache_dir: Path, weights_sha256: str, matrices: Sequence[Matrix]) -> Path:
    """Return where the network for these matrices of a model lies if nobody says otherwise."""
    key = json.dumps([weights_sha256, [matrix.name for matrix in matrices]])
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return cache_dir / "mend" / f"{digest}.safetensors"


def training_path(path: Path) -> Path:
    """Return where the state of the training lies that a network at `path` comes from."""
    return path.with_suffix(".training.safetensors")


def refuse_to_replace(path: Path) -> None:
    """Keep what took hours to make.

    Raises:
        InputError: there is a network already.
    """
    if path.is_file():
        raise InputError(f"{path} is there already: --restart replaces it")


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], header: Header) -> None:
    """Write a file; readers see the old one or the whole new one.

    Raises:
        InputError: it cannot be written.
    """
    copies = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replacing(path) as temporary:
        save_file(copies, temporary, {_HEADER: header.model_dump_json()})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], Header]:
    """Read a file.

    Raises:
        InputError: it is not there, or is none of ours.
    """
    if not path.is_file():
        raise InputError(f"MEND checkpoint {path} is not there")
    try:
        with safe_open(path, framework="pt") as stream:
            header = Header.model_validate_json((stream.metadata() or {})[_HEADER])
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValidationError, OSError) as error:
        raise InputError(
            f"{path} is not a MEND checkpoint of ours ({type(error).__name__}): published .pt "
            "files are converted by `seqedit-bench train mend --from-pt FILE`"
        ) from None
    return tensors, header


def load_network(network: Hypernetwork, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Put a file's tensors into a network.

    Raises:
        InputError: names or shapes differ: the file is for other matrices or another rank.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wrong := sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    ):
        name = wrong[0]
        raise InputError(
            f"{where} does not fit the model: {name} is {found.get(name, 'missing')} there and "
            f"{wanted.get(name, 'unknown')} here ({len(wrong)} such): check the model and layers"
        )
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
            raise InputError(f"{where}: tensor {name} holds NaN, infinity or no real numbers")
    network.load_state_dict(dict(tensors))


_NORMALISER = {
    "u_mean": "inputs.mean",
    "u_s": "inputs.squares",
    "v_mean": "gradients.mean",
    "v_s": "gradients.squares",
}
_DERIVED = ("u_std", "v_std")
"""Published beside what they follow from."""
_LAYER = {
    "u": "left",
    "v": "right",
    "bias": "bias",
    "mode_scale.weight": "scale",
    "mode_shift.weight": "shift",
}
"""Names in the released code, whose u and v are U and V there."""


def convert_pt(path: Path, matrices: Sequence[Matrix]) -> tuple[dict[str, Tensor], int]:
    """Read a checkpoint that the authors of MEND or ROME published.

    Only tensors and plain values are unpickled, and the configuration of the model; a file with
    anything else in it is refused before any of it runs.

    Args:
        path: The `.pt` file.
        matrices: The edited matrices, in the published order.

    Returns:
        The tensors under our names, and the rank of the networks.

    Raises:
        InputError: the file is missing, holds code, or is for other matrices.
    """
    published = _published_tensors(path)
    tensors: dict[str, Tensor] = {}
    rank = 0
    for name, tensor in published.items():
        if name == "edit_lrs":
            tensors["edit_lrs"] = tensor
            continue
        match = re.fullmatch(r"mend\.\((\d+), (\d+)\)\.(.+)", name)
        if match is None:
            raise InputError(f"{path}: unknown tensor {name!r}: not a shared MEND network")
        prefix, rest = f"networks.{match[1]}x{match[2]}", match[3]
        layer = re.fullmatch(r"mlp\.layers\.(\d+)\.(.+)", rest)
        if rest in _DERIVED:
            continue
        if rest == "k" and tensor.numel() == 1:
            for side in ("inputs", "gradients"):
                tensors[f"{prefix}.{side}.count"] = tensor.reshape(()).clone()
        elif rest in _NORMALISER:
            tensors[f"{prefix}.{_NORMALISER[rest]}"] = tensor
        elif layer is not None and layer[2] in _LAYER:
            tensors[f"{prefix}.layers.{layer[1]}.{_LAYER[layer[2]]}"] = tensor
            rank = max(rank, len(tensor) if layer[2] == "v" and tensor.dim() else 0)
        else:
            raise InputError(f"{path}: unknown tensor {name!r}: not a shared MEND network")
    if not rank:
        raise InputError(f"{path}: holds no MEND network")
    network = Hypernetwork(matrices, rank=rank, edit_lr=0.0)
    load_network(network, tensors, path)
    return tensors, rank


def _published_tensors(path: Path) -> dict[str, Tensor]:
    from transformers import GPT2Config, GPTJConfig

    if not path.is_file():
        raise InputError(f"checkpoint {path} is not there: check --from-pt")
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals([GPT2Config, GPTJConfig]):
            warnings.simplefilter("ignore")  # about old pickles; what matters is refused
            archive = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a spoilt or hostile file can fail anywhere in the reader
        reason = " ".join(str(error).split())
        found = re.search(r"Unsupported (?:global|class|operand)[^.]*?(\S+\.\S+)", reason)
        detail = f"asks for {found[1]}" if found else f"{type(error).__name__}"
        raise InputError(
            f"{path}: not plain tensors ({detail}): refused, as reading it could run code"
        ) from None
    model = archive.get("model") if isinstance(archive, dict) else None
    if not isinstance(model, dict):
        raise InputError(f"{path}: holds no 'model': not a MEND checkpoint")
    return {
        name: value.float()
        for name, value in model.items()
        if isinstance(value, Tensor) and isinstance(name, str) and name != "model_config"
    }
