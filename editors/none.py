"""No edit at all: the control that every curve is read against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..tasks import EditRequest
from ._base import Editor, EditReport


class NoEdit(Editor):
    """Leaves the model alone."""

    batched = True
    out_of_scope: ClassVar[dict[str, str]] = dict.fromkeys(
        (
            "edits_in_place",
            "accumulates",
            "batches",
            "multi_token_targets",
            "subject_at_the_start",
            "subject_in_the_middle",
        ),
        "the control edits nothing",
    )

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        return EditReport(tuple({} for _ in requests))
