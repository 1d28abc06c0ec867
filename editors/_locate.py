"""What the locate-then-edit editors share: hyper-parameters and preparation."""

from __future__ import annotations

import json
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from ._architecture import Architecture
from ._base import Editor, Hparams, Layers, ModelShape
from ._moments import SecondMoment, second_moments
from ._values import ValueSettings


class LocateHparams(Hparams):
    """Hyper-parameters of ROME and MEMIT, under the names of their published files."""

    layers: Layers
    """Layers whose down-projection is edited."""
    v_num_grad_steps: int = Field(20, ge=1)
    v_lr: float = Field(0.5, gt=0)
    v_weight_decay: float = Field(0.5, ge=0)
    clamp_norm_factor: float = Field(gt=0)
    kl_factor: float = Field(0.0625, ge=0)
    fact_token: Literal["subject_last"] = "subject_last"
    mom2_source: str = "auto"
    """Text of the second moments: auto, bundled, a file, hub:DATASET or npz:DIR."""
    mom2_n_tokens: int | None = Field(None, ge=1, le=10**12)
    """Tokens they are estimated from; null takes 10 * d_ff."""
    mom2_dtype: Literal["float32", "float64"] = "float32"
    mom2_ridge: float = Field(0.0, ge=0)
    """Added to the diagonal of C, in units of its mean; 0 as published."""

    @property
    def value_settings(self) -> ValueSettings:
        return ValueSettings(
            num_grad_steps=self.v_num_grad_steps,
            lr=self.v_lr,
            weight_decay=self.v_weight_decay,
            clamp_norm_factor=self.clamp_norm_factor,
            kl_factor=self.kl_factor,
        )


def moments_for(
    editor: Editor, hparams: LocateHparams, architecture: Architecture
) -> dict[int, SecondMoment]:
    """Return the second moment of each layer that an editor changes, from its cache if it can."""
    moments = second_moments(
        editor.model,
        editor.tokenizer,
        architecture,
        hparams.layers,
        source=hparams.mom2_source,
        num_tokens=hparams.mom2_n_tokens,
        dtype=hparams.mom2_dtype,
        weights=editor.weights_sha256,
        cache_dir=editor.cache_dir,
        progress=editor.progress,
    )
    return {layer: moment.with_ridge(hparams.mom2_ridge) for layer, moment in moments.items()}


def rome_layer(shape: ModelShape) -> int:
    """Return a layer for single-layer editors: a sixth of the depth.

    Published choices lie between 0.15 (Llama-2-7B, 5 of 32) and 0.35 (GPT-2 XL, 17 of 48); the
    models with rotary positions that people edit today are at the low end.
    """
    return max(1, round(shape.depth / 6)) if shape.depth > 1 else 0


def memit_layers(shape: ModelShape) -> list[int]:
    """Return up to five consecutive layers that end at a quarter of the depth (Llama: 4 to 8)."""
    last = max(1, shape.depth // 4) if shape.depth > 1 else 0
    return list(range(max(0, last - 4), last + 1))


def encode_strings(name: str, texts: list[str]) -> dict[str, Tensor]:
    """Store strings in an editor's tensor state, whatever is in them: as JSON."""
    return {name: torch.tensor(list(json.dumps(texts).encode()), dtype=torch.uint8)}


def decode_strings(name: str, state: dict[str, Any]) -> list[str]:
    """Read back what `encode_strings` stored."""
    return json.loads(bytes(state[name].tolist()))
