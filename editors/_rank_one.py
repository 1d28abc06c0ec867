"""What ROME and its corrections share: everything but the one line that says which key goes where.

A value is found at one MLP's output and written in by a rank-one change (Meng et al. 2022).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from ..tasks import EditRequest
from ._architecture import Architecture
from ._base import EditReport, ModelShape
from ._contexts import rome_templates
from ._keys import keys_and_outputs, subject_rows
from ._locate import LocateHparams, decode_strings, encode_strings, moments_for, rome_layer
from ._solve import RankOne
from ._steps import SolvesValues

_Positive = Annotated[int, Field(ge=1)]


class RankOneHparams(LocateHparams):
    layers: list[int] = Field(min_length=1, max_length=1)
    clamp_norm_factor: float = Field(4.0, gt=0)
    context_template_length_params: list[tuple[_Positive, _Positive]] = Field([(5, 10), (10, 10)])
    """Pairs (tokens, texts) of the sampled context templates; the bare prompt comes on top."""
    mom2_adjustment: bool = True
    """Whether the direction is C^-1 k (true) or k itself."""

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        return {"layers": [rome_layer(shape)]}


class RankOneEditor(SolvesValues[RankOneHparams]):
    """One fact a call, as a rank-one change of one MLP; its editors differ in `_change`."""

    needs = frozenset({"covariance", "subject"})
    site = "mlp"
    Hparams = RankOneHparams

    @abstractmethod
    def _change(self, wanted: Tensor, keys: Tensor, outputs: Tensor) -> RankOne:
        """Return the change of the down-projection.

        Args:
            wanted: v*, (d_model,).
            keys: (templates, d_ff), the bare prompt's first.
            outputs: (templates, d_model), what the projection gives for them now.
        """

    def _direction(self, key: Tensor) -> Tensor:
        """Return C^-1 k, or k itself without `mom2_adjustment`; (d_ff,), O(d_ff^2)."""
        if self._inverse is None:
            return key
        return self._inverse @ key

    def prepare(self) -> dict[str, Any]:
        hparams = self.hparams
        self._architecture = Architecture.of(self.model)
        (self._layer,) = hparams.layers
        self._module = self._architecture.mlp_out(self.model, self._layer)
        self._templates = rome_templates(
            self.model, self.tokenizer, hparams.context_template_length_params, seed=self.seed
        )
        record: dict[str, Any] = {"context_templates": self._templates}
        self._inverse: Tensor | None = None
        if hparams.mom2_adjustment:
            moment = moments_for(self, hparams, self._architecture)[self._layer]
            self._inverse = moment.inverse(self.model.device)
            record["second_moments"] = [moment.provenance()]
        return record

    def edited_parameters(self) -> list[str]:
        return [f"{self._architecture.mlp_out_name(self._layer)}.weight"]

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        (request,) = requests
        solved = self.solve_values(requests, self._templates)
        (value,) = self.value_transform(requests, solved)
        rows = subject_rows(self.tokenizer, request, self._templates)
        keys, outputs = keys_and_outputs(self.model, self._architecture, self._layer, rows)
        wanted = value.base + value.delta
        found = self._change(wanted.double(), keys.double(), outputs.double())
        norm = self.write(self._module, found.change)
        report = {**value.report, "division_factor": found.division_factor}
        return EditReport((report,), {self.edited_parameters()[0]: norm})

    def division_factor(self, request: EditRequest) -> float:
        """Return what an edit's update is divided by, without solving for the value.

        It depends on the keys alone, so one forward pass tells whether an edit would explode.
        """
        rows = subject_rows(self.tokenizer, request, self._templates)
        keys, _ = keys_and_outputs(self.model, self._architecture, self._layer, rows)
        return self._of_keys(keys.double()).division_factor

    def direction(self, keys: Tensor) -> Tensor:
        return self._of_keys(keys).change.right[0]

    def _of_keys(self, keys: Tensor) -> RankOne:
        """Return the change whatever the value: with nothing on its left side."""
        nothing = keys.new_zeros(len(keys), 1)
        return self._change(nothing[0], keys, nothing)

    def state_dict(self) -> dict[str, Tensor]:
        return encode_strings("context_templates", self._templates)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._templates = decode_strings("context_templates", state)
