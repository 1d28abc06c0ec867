"""FT-C: fine-tuning of one MLP projection inside a box (Zhu et al. 2020, run by Meng et al. 2022).

The constraint is an L-infinity box around the weights *at the start of each edit*: n edits may
drift n boxes far. The published code scores all target tokens from the last prompt position
(`prompt_last`); `target_new` is the proper teacher-forced loss. The papers say that ROME's layer
is trained, their code trains layer 0: `layer_choice` has both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, model_validator

from ..tasks import EditRequest
from ._architecture import Architecture
from ._base import Editor, EditReport, ModelShape
from ._fine_tuning import FineTuningHparams, fine_tune, projection_names
from ._locate import rome_layer


class FTCHparams(FineTuningHparams):
    layer_choice: Literal["text", "code"] = "text"
    """Where `layers` is not given: `text_layer`, or layer 0, as the published code does."""
    text_layer: int | None = Field(None, ge=0)
    """ROME's layer, as the papers' text says."""
    norm_constraint: float = Field(5e-4, gt=0)
    """Half-width of the box, per weight and edit."""

    @model_validator(mode="before")
    @classmethod
    def _choose_layers(cls, values: Any) -> Any:
        if isinstance(values, dict) and "layers" not in values:
            chosen = 0 if values.get("layer_choice") == "code" else values.get("text_layer")
            if chosen is not None:
                return {**values, "layers": [chosen]}
        return values

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        return {"text_layer": rome_layer(shape)}


class FTC(Editor):
    """Constrained fine-tuning; several facts of a call are one batch."""

    batched = True
    Hparams = FTCHparams
    hparams: FTCHparams

    def prepare(self) -> dict[str, Any]:
        self._architecture = Architecture.of(self.model)
        self._names = projection_names(self.model, self._architecture, self.hparams)
        return {}

    def edited_parameters(self) -> list[str]:
        return list(self._names)

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        return fine_tune(
            self.model,
            self.tokenizer,
            self._architecture,
            self._names,
            requests,
            self.hparams,
            radius=self.hparams.norm_constraint,
        )
