"""Edits in the prompt: facts are kept as text and put before prompts that speak of them.

The honesty baseline: a memory, a look-up by characters and no training. An edit is lost where the
look-up misses it (the answer is then exactly the unedited one), and does damage where it is found
for a prompt that only looks alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from ..tasks import EditRequest
from ._base import Editor, EditReport, Hparams
from ._facts import Facts, Format, LexicalIndex, written


class InContextHparams(Hparams):
    format: Format = "New fact: {prompt} {target}.\n"
    lead: str = "Prompt: "
    """What stands between the last fact and the prompt (the form of IKE, Zheng et al. 2023)."""
    index: Literal["subject", "prompt"] = "subject"
    """What of a fact is looked for in a prompt."""
    threshold: float = Field(0.8, gt=0, le=1)
    """Share of it that must be there; below, the prompt stays as it is."""
    top_k: int = Field(1, ge=1, le=5)
    """The most facts before a prompt."""


class InContext(Editor):
    """Retrieves facts for each prompt."""

    kind = "context"
    batched = True
    needs = frozenset({"subject"})
    Hparams = InContextHparams
    hparams: InContextHparams

    def prepare(self) -> dict[str, Any]:
        self._facts = Facts()
        self._index: LexicalIndex | None = None
        return {}

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        for request in requests:
            self._facts.add(request)
        self._index = None
        return EditReport(tuple({"facts": float(len(self._facts))} for _ in requests))

    def context_for(
        self, prompts: Sequence[str], case_ids: Sequence[int | None]
    ) -> list[list[str]]:
        if self._index is None:
            self._index = LexicalIndex(self._facts, self.hparams.index)
        hparams = self.hparams
        found = {
            prompt: self._index.look_up(prompt, least=hparams.threshold, top=hparams.top_k)
            for prompt in dict.fromkeys(prompts)
        }
        return [
            written([each.fact for each in found[prompt]], hparams.format, hparams.lead)
            for prompt in prompts
        ]

    def state_dict(self) -> dict[str, Tensor]:
        return self._facts.state_dict()

    def state_bytes(self, num_edits: int) -> int:
        return self._facts.state_bytes(num_edits)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._facts.load_state_dict(state)
        self._index = None
