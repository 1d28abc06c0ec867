"""The unedited model, edited with one fact at a time and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import NamedTuple

import torch

from ..editors import Editor
from ..tasks import EditRequest
from .attempt import attempt
from .clock import Clock
from .model import OriginalWeights
from .observer import Line
from .snapshot import Snapshot


class FirstEdit(NamedTuple):
    """What a first edit did to the weights."""

    update_norm: dict[str, float]
    """Frobenius norm of the change, by matrix."""
    editor: dict[str, float]
    """What the editor reports: losses, steps, ROME's division factor."""
    failed: str | None
    """Why the fact could not be edited."""

    def as_line(self) -> Line:
        """Return it as it is written down."""
        line = self._asdict()
        if self.failed is None:
            del line["failed"]
        return line


class Pristine:
    """A model and an editor as they are now, to come back to after every edit.

    Args:
        editor: The editor, prepared; what it remembers now is what it starts each edit with.
        originals: The weights to come back to.
        window: Tokens that the model can read at once.
        relief: Called when memory has run out; see `attempt`.
    """

    def __init__(
        self,
        editor: Editor,
        originals: OriginalWeights,
        *,
        window: int,
        relief: Callable[[], bool] = lambda: False,
    ) -> None:
        self.editor, self._originals = editor, originals
        self._window, self._relief = window, relief
        self._before = Snapshot(editor, originals)

    def restore(self) -> None:
        """Put weights and editor back."""
        self._before.restore()

    def distances(self) -> dict[str, dict[str, float]]:
        """Return how far each matrix is from its original: l2, l2_per_param, l2_relative."""
        found = self._originals.distances()
        return {name: asdict(value) for name, value in found.items()}

    @contextmanager
    def edited(self, request: EditRequest, clock: Clock) -> Iterator[FirstEdit]:
        """Hold the model with this one edit; it is pristine again afterwards.

        Args:
            request: The fact.
            clock: Of the editor.
        """
        with torch.random.fork_rng():
            try:
                with clock:
                    made = attempt(
                        self.editor,
                        [request],
                        before=self._before,
                        window=self._window,
                        relief=self._relief,
                    )
                self.editor.model.eval()
                with self.editor.measured():
                    own = dict(made.reports.get(request.case_id, {}))
                    failed = made.failed.get(request.case_id)
                    yield FirstEdit(made.update_norms, own, failed)
            finally:
                self.restore()
