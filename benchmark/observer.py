"""Who is told how a run is going."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Line = dict[str, Any]
"""One line of a journal, as written."""


class Observer(Protocol):
    """Told about a run as it goes; `display.py` has two that print."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def working(self, what: str, done: int, total: int) -> None:
        """Work beside the sequence of edits has come this far."""

    def started(self, num_edits: int, score: Sequence[str], done: Sequence[Line] = ()) -> None:
        """Everything is ready; `score` names the metrics to show, `done` was made before."""

    def edited(self, line: Line) -> None:
        """A line of `edits.jsonl` was written."""

    def measured(self, line: Line, retained: dict[str, float]) -> None:
        """A line of `checkpoints.jsonl` was written.

        Args:
            line: The line.
            retained: Share of the edits that still work, by metric, where it was asked.
        """


class Silent:
    """Tells nobody."""

    def note(self, text: str) -> None: ...

    def working(self, what: str, done: int, total: int) -> None: ...

    def started(self, num_edits: int, score: Sequence[str], done: Sequence[Line] = ()) -> None: ...

    def edited(self, line: Line) -> None: ...

    def measured(self, line: Line, retained: dict[str, float]) -> None: ...
