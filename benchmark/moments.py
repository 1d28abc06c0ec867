"""`seqedit-bench moments`: second moments ahead of a run, or a check of published ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..editors import available_editors, get_editor, resolve_hparams
from ..editors._architecture import Architecture
from ..editors._moments import second_moments
from ..tasks.errors import InputError
from .model import load_model
from .observer import Observer


@dataclass(frozen=True, slots=True)
class MomentSummary:
    """One layer's second moment, in numbers."""

    layer: int
    tokens: int
    condition: float
    """Largest over smallest eigenvalue."""
    source: str


def precompute(
    *,
    model: str,
    source: str,
    num_tokens: int | None,
    layers: list[int] | None,
    mom2_dtype: str,
    trust_remote_code: bool = False,
    device: str | None,
    dtype: str = "float32",
    cache_dir: Path,
    observer: Observer,
) -> list[MomentSummary]:
    """Estimate second moments into the cache, where runs with the same settings find them.

    Args:
        model: Alias, hub id or folder.
        source: Text, as in `editors/_moment_text.py`.
        num_tokens: Tokens to average over; None takes 10 * d_ff.
        layers: Which layers; None takes those of all editors that need them.
        mom2_dtype: float32 or float64.
        trust_remote_code: Whether code that comes with the model may run.
        device: Torch device.
        dtype: Type of the model's weights, as the run will load them.
        cache_dir: Folder of the cache.
        observer: Told about progress.

    Raises:
        InputError: the model, the text or a layer is not there, or a moment is singular.
    """
    if mom2_dtype not in ("float32", "float64"):
        raise InputError(f"--mom2-dtype {mom2_dtype!r}: float32 or float64")
    loaded = load_model(
        model,
        device=device,
        dtype=dtype,
        cache_dir=cache_dir,
        trust_remote_code=trust_remote_code,
    )
    architecture = Architecture.of(loaded.model)
    shape = architecture.shape(loaded.model)
    if layers is None:
        wanted: set[int] = set()
        for name in available_editors():
            editor = get_editor(name)
            if "covariance" in editor.needs:
                resolved = resolve_hparams(name, editor, model_name=model, shape=shape)
                wanted.update(getattr(resolved.hparams, "layers", []))
        layers = sorted(wanted)
    moments = second_moments(
        loaded.model,
        loaded.tokenizer,
        architecture,
        layers,
        source=source,
        num_tokens=num_tokens,
        dtype=mom2_dtype,
        weights=loaded.weights_sha256,
        cache_dir=cache_dir,
        progress=observer.working,
    )
    summaries = []
    for layer, moment in moments.items():
        moment.cholesky(loaded.model.device)
        condition = moment.condition_number or float("inf")
        summaries.append(MomentSummary(layer, moment.tokens, condition, moment.source))
    return summaries
