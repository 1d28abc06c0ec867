"""An oracle in the prompt: every question comes with the fact of the very record that asks.

After IKE (Zheng et al. 2023), whose evaluation puts the right fact before each probe, neighbours
included: it bounds what reading facts can do, and tests no memory. A prompt without a record, or
of a record that is not edited yet, stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..tasks import EditRequest
from ._base import Editor, EditReport, Hparams
from ._facts import Facts, Format, written


class OracleHparams(Hparams):
    format: Format = "New fact: {prompt} {target}.\n"
    lead: str = "Prompt: "
    """What stands between the fact and the prompt (the form of IKE)."""


class IclOracle(Editor):
    """Looks at the record that asks; not a method, a bound."""

    kind = "context"
    batched = True
    Hparams = OracleHparams
    hparams: OracleHparams

    def prepare(self) -> dict[str, Any]:
        self._facts = Facts()
        return {}

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        for request in requests:
            self._facts.add(request)
        return EditReport(tuple({"facts": float(len(self._facts))} for _ in requests))

    def context_for(
        self, prompts: Sequence[str], case_ids: Sequence[int | None]
    ) -> list[list[str]]:
        hparams = self.hparams
        texts = {
            fact.case_id: written([fact], hparams.format, hparams.lead) for fact in self._facts
        }
        return [list(texts.get(case_id, [])) if case_id is not None else [] for case_id in case_ids]

    def state_dict(self) -> dict[str, Tensor]:
        return self._facts.state_dict()

    def state_bytes(self, num_edits: int) -> int:
        return self._facts.state_bytes(num_edits)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._facts.load_state_dict(state)
