"""What an editor beside the weights did to the requests of an evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from .lmeval import Instance

_COUNTS = ("requests", "hits", "tokens")


class Interventions:
    """Counts, by task and record, until they are taken."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int | None, str]] = Counter()

    def count(self, request: Instance, hit: bool, tokens: int = 0) -> None:
        """Count a request.

        Args:
            request: The request, which knows its task and its document.
            hit: Whether the editor acted on it.
            tokens: Tokens it put before the prompt.
        """
        task, case_id = request.task_name or "", case_id_of(request)
        for name, value in zip(_COUNTS, (1, int(hit), tokens), strict=True):
            self._counts[task, case_id, name] += value

    def by_task(self, case_id: int | None = None) -> dict[str, dict[str, int]]:
        """Return requests, hits and added tokens of each task; of one record's, if it is named."""
        found: dict[str, dict[str, int]] = {}
        for (task, case, name), value in self._counts.items():
            if case_id is None or case == case_id:
                counts = found.setdefault(task, dict.fromkeys(_COUNTS, 0))
                counts[name] += value
        return found

    def clear(self) -> None:
        """Forget all counts."""
        self._counts.clear()


def case_id_of(request: Instance) -> int | None:
    """Return the record that a request belongs to, where its document names one."""
    document: Any = request.doc
    return document.get("case_id") if isinstance(document, Mapping) else None
