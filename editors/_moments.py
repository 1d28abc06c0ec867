"""Second moments C = E[k k^T] of the keys of a layer, over plain text: estimated once, cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..tasks.errors import InputError
from ..tasks.sources import file_sha256
from ..tasks.tokenization import Tokenizer
from ._architecture import Architecture, oriented
from ._base import Progress, silent
from ._fingerprint import weights_sha256
from ._keys import right_pad
from ._moment_files import Saved, load_moment, load_partial, read_npz, save_tensors
from ._moment_text import MomentText
from ._trace import by_row, record

MAX_DOCUMENT_TOKENS = 512
BATCH_TOKENS = 2048
SAVE_EVERY_BATCHES = 50


@dataclass(frozen=True, slots=True)
class SecondMoment:
    """An estimate of E[k k^T] (uncentred) of one layer, and where it comes from."""

    matrix: Tensor
    """(d_ff, d_ff), on the CPU."""
    layer: int
    """The layer whose down-projection reads these keys."""
    tokens: int
    """How many keys were averaged."""
    source: str
    """The text, as one word; `auto` is resolved."""
    text_sha256: str
    """Digest of that text, or of the `.npz` file."""
    eigenvalues: tuple[float, float]
    """The smallest and the largest."""
    ridge: float = 0.0
    """What was added to the diagonal, in units of its mean."""

    @property
    def condition_number(self) -> float | None:
        """Return the largest eigenvalue over the smallest; None where C is singular."""
        smallest, largest = self.eigenvalues
        return largest / smallest if smallest > 0 else None

    def with_ridge(self, ridge: float) -> SecondMoment:
        """Return C + ridge * mean(diag C) * I: regular, however few tokens it comes from."""
        if not ridge:
            return self
        added = ridge * self.matrix.double().diagonal().mean().item()
        return replace(self.plus_identity(added), ridge=ridge)

    def plus_identity(self, weight: float) -> SecondMoment:
        """Return C + weight * I."""
        matrix = self.matrix.double() + weight * torch.eye(len(self.matrix)).double()
        smallest, largest = self.eigenvalues
        return replace(self, matrix=matrix, eigenvalues=(smallest + weight, largest + weight))

    def provenance(self) -> dict[str, object]:
        """Return what a run records of the estimate."""
        return {
            "layer": self.layer,
            "tokens": self.tokens,
            "source": self.source,
            "text_sha256": self.text_sha256,
            "condition_number": self.condition_number,
            "ridge": self.ridge,
        }

    def cholesky(self, device: torch.device, *, scale: float = 1.0) -> Tensor:
        """Return the lower Cholesky factor of scale * C in float64, (d_ff, d_ff).

        Raises:
            InputError: C is singular; says how many tokens it takes.
        """
        factor, failed = torch.linalg.cholesky_ex(self.matrix.to(device, torch.float64) * scale)
        if bool(failed):
            d_ff = len(self.matrix)
            raise InputError(
                f"second moment of layer {self.layer}: {self.tokens} tokens leave it singular in "
                f"{d_ff} dimensions; estimate it from {10 * d_ff} (--hparams mom2_n_tokens="
                f"{10 * d_ff}) or add a ridge (--hparams mom2_ridge=0.001)"
            )
        return factor

    def inverse(self, device: torch.device, *, scale: float = 1.0) -> Tensor:
        """Return (scale * C)^-1 in float64, (d_ff, d_ff), symmetric.

        Made once a run. Applied to a key it is one product that reads d_ff^2 numbers, where two
        triangular solves read as many and cannot use all cores.

        Raises:
            InputError: C is singular; says how many tokens it takes.
        """
        return torch.cholesky_inverse(self.cholesky(device, scale=scale))


def second_moments(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    architecture: Architecture,
    layers: Sequence[int],
    *,
    source: str = "auto",
    num_tokens: int | None = None,
    dtype: str = "float32",
    weights: str | None = None,
    cache_dir: Path,
    progress: Progress = silent,
) -> dict[int, SecondMoment]:
    """Return the second moment of each layer's keys, from the cache where it is there.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        architecture: Where it keeps its layers.
        layers: Which layers.
        source: See `_moment_text`.
        num_tokens: Keys to average; None takes ten for each of the d_ff dimensions.
        dtype: Type of the sums: float32 (as published) or float64.
        weights: Digest of the model's weights, where it is known.
        cache_dir: Folder of the cache; its key is made of everything that changes the estimate.
        progress: Told about tokens done.

    Raises:
        InputError: the text is missing or too short, or a file does not fit the model.
    """
    d_ff = oriented(architecture.mlp_out(model, layers[0])).shape[1]
    if source.startswith("npz:"):
        folder = Path(source.removeprefix("npz:"))
        return {
            layer: _published(folder, architecture, layer, d_ff, model.device) for layer in layers
        }
    wanted = num_tokens or 10 * d_ff
    # ROME's code truncates documents to the context window; half a thousand tokens are plenty.
    longest = min(MAX_DOCUMENT_TOKENS, model.config.max_position_embeddings)
    text = MomentText.choose(tokenizer, source, wanted, longest)
    key = {
        "weights": weights or weights_sha256(model),
        "text": text.key,
        "tokens": wanted,
        "dtype": dtype,
        "document_tokens": longest,
        "vocabulary": len(tokenizer),
    }
    folder = cache_dir / "moments"
    paths = {layer: folder / f"{_digest({**key, 'layer': layer})}.safetensors" for layer in layers}
    kept = {layer: load_moment(path, d_ff) for layer, path in paths.items()}
    missing = [layer for layer, found in kept.items() if found is None]
    if missing:
        rows = text.rows()
        key["text_sha256"] = text.sha256
        partial = folder / f"{_digest({**key, 'layers': missing})}.partial.safetensors"
        sums = _accumulate(
            model, architecture, missing, rows, getattr(torch, dtype), partial, progress
        )
        for layer, total in sums.items():
            if not bool(total.isfinite().all()):
                raise InputError(
                    f"second moment of layer {layer}: not finite: the model gives NaN or infinity "
                    "for plain text before any edit"
                )
            saved = Saved({"moment": (total / wanted).cpu()}, {**key, "layer": layer})
            save_tensors(paths[layer], saved)
            kept[layer] = saved
        partial.unlink(missing_ok=True)
    found = {}
    for layer, path in paths.items():
        saved = kept[layer]
        assert saved is not None, "what was missing has been made"
        tensors = saved.tensors
        if "eigenvalues" not in tensors:  # O(d_ff^3): once for each estimate
            tensors["eigenvalues"] = torch.tensor(
                _extremes(tensors["moment"], model.device), dtype=torch.float64
            )
            save_tensors(path, saved)
        smallest, largest = tensors["eigenvalues"].tolist()
        text_sha256 = str(saved.metadata.get("text_sha256", text.key))
        found[layer] = SecondMoment(
            tensors["moment"], layer, wanted, text.source, text_sha256, (smallest, largest)
        )
    return found


def _extremes(matrix: Tensor, device: torch.device) -> tuple[float, float]:
    """Return the smallest and the largest eigenvalue."""
    values = torch.linalg.eigvalsh(matrix.to(device, torch.float64))
    return float(values[0]), float(values[-1])


def _digest(key: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


@torch.no_grad()
def _accumulate(
    model: PreTrainedModel,
    architecture: Architecture,
    layers: Sequence[int],
    rows: list[list[int]],
    dtype: torch.dtype,
    partial: Path,
    progress: Progress,
) -> dict[int, Tensor]:
    """Sum k k^T over all tokens, several layers in one pass; resumes from `partial`."""
    modules = {str(layer): architecture.mlp_out(model, layer) for layer in layers}
    done, sums = load_partial(partial, list(modules))
    sums = {name: tensor.to(model.device) for name, tensor in sums.items()}
    total = sum(map(len, rows))
    batches = 0
    while done < len(rows):
        batch = [rows[done]]
        while (
            done + len(batch) < len(rows)
            and (len(batch) + 1) * len(rows[done + len(batch)]) <= BATCH_TOKENS
        ):
            batch.append(rows[done + len(batch)])
        ids, mask = right_pad(batch, model.device)
        kept = record(model, modules, keep="input", input_ids=ids, attention_mask=mask)
        for name, inputs in kept.items():
            keys = by_row(inputs, len(batch))[mask.bool()].to(dtype)
            if name in sums:
                sums[name].addmm_(keys.T, keys)
            else:
                sums[name] = keys.T @ keys
        done += len(batch)
        batches += 1
        progress("second moments", sum(map(len, rows[:done])), total)
        if batches % SAVE_EVERY_BATCHES == 0 and done < len(rows):
            save_tensors(partial, Saved(sums, {"documents": done}))
    return {int(name): tensor for name, tensor in sums.items()}


def _published(
    folder: Path, architecture: Architecture, layer: int, d_ff: int, device: torch.device
) -> SecondMoment:
    name = architecture.mlp_out_name(layer)
    path = next(iter(sorted(folder.glob(f"**/{name}_*mom2*.npz"))), None)
    if path is None:
        raise InputError(f"{folder} has no {name}_*mom2*.npz: the second moment of layer {layer}")
    matrix, count = read_npz(path, d_ff, layer)
    extremes = _extremes(matrix, device)
    return SecondMoment(matrix, layer, count, f"npz:{folder.name}", file_sha256(path), extremes)
