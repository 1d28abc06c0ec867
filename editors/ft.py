"""FT: fine-tuning of one layer on each fact, without constraint (run by Meng et al. 2022).

The baseline that shows what constraints are for: it fits every fact and forgets the rest. The
published code scores all target tokens from the last prompt position (`prompt_last`). With
`objective=target_new` this is what EasyEdit calls FT-M. `part=layer` trains the whole decoder
layer, as MEMIT's baseline FT-W does; the weight decay its paper gives never reached the optimiser
in the published code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..tasks import EditRequest
from ._architecture import Architecture
from ._base import Editor, EditReport, ModelShape
from ._fine_tuning import FineTuningHparams, fine_tune, projection_names


class FTHparams(FineTuningHparams):
    part: Literal["mlp_out", "layer"] = "mlp_out"
    """What of each layer is trained: the MLP's down-projection, or everything."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        # Published: layer 21 of 28 (GPT-J), and layer 1 for GPT-2 XL alone.
        return {"layers": [3 * shape.depth // 4]}


class FT(Editor):
    """Fine-tuning; several facts of a call are one batch."""

    batched = True
    Hparams = FTHparams
    hparams: FTHparams

    def prepare(self) -> dict[str, Any]:
        self._architecture = Architecture.of(self.model)
        # Called for either part: it also says which layers there are.
        self._names = projection_names(self.model, self._architecture, self.hparams)
        if self.hparams.part == "layer":
            prefixes = [f"{self._architecture.layers_path}.{n}." for n in self.hparams.layers]
            self._names = [
                name
                for name, _ in self.model.named_parameters()
                if name.startswith(tuple(prefixes))
            ]
        return {}

    def edited_parameters(self) -> list[str]:
        return list(self._names)

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        return fine_tune(
            self.model, self.tokenizer, self._architecture, self._names, requests, self.hparams
        )
