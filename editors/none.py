"""No edit at all: the control that every curve is read against."""

from __future__ import annotations

from collections.abc import Sequence

from ..tasks import EditRequest
from ._base import Editor, EditReport


class NoEdit(Editor):
    """Leaves the model alone."""

    batched = True

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        return EditReport(tuple({} for _ in requests))
