"""Keeps a run as it goes: what it has cost, and saves from which it can go on."""

from __future__ import annotations

from typing import Any

from ..editors import Editor
from ..tasks.errors import InputError
from . import provenance
from .clock import Clock
from .journal import Journal
from .lm import SequentialEditLM
from .model import OriginalWeights
from .random_state import random_state, set_random_state
from .saves import Counters, Manifest, Position, Save, Saves
from .stopping import Interrupted, Stopper
from .undeclared import Undeclared


class Costs:
    """What a run has cost, whatever stops lay between.

    Args:
        editing: Clock of the editor.
        evaluating: Clock of the measurements.
        lm: Counts the tokens of the measurements.
        preparing: Clock of the preparation.
    """

    def __init__(
        self, editing: Clock, evaluating: Clock, lm: SequentialEditLM, preparing: Clock
    ) -> None:
        self._editing, self._evaluating, self._lm = editing, evaluating, lm
        self._earlier = Counters(seconds_prepare=preparing.total)

    def so_far(self) -> Counters:
        """Return all counts."""
        peak = provenance.peak_memory(self._lm.model.device)
        return self._earlier.model_copy(
            update={
                "seconds_edit": self._editing.total,
                "seconds_evaluate": self._evaluating.total,
                "tokens": self._earlier.tokens + self._lm.tokens_run,
                "peak_memory": max(self._earlier.peak_memory, peak),
            }
        )

    def set(self, counters: Counters) -> None:
        """Count on from here."""
        self._editing.total = counters.seconds_edit
        self._evaluating.total = counters.seconds_evaluate
        tokens = counters.tokens - self._lm.tokens_run
        self._earlier = counters.model_copy(update={"tokens": tokens})

    def end_of_sequence(self) -> None:
        """Remember the sequence's own seconds: what comes beside it is not counted."""
        if self._earlier.sequence is None:
            sequence = (self._editing.total, self._evaluating.total)
            self._earlier = self._earlier.model_copy(update={"sequence": sequence})


class Keeper:
    """Writes saves, and takes a run up from one.

    Args:
        journal: The run directory.
        originals: The matrices that edits change.
        editor: What else remembers edits.
        undeclared: What edits must not change.
        costs: What the run has cost.
        command: What goes on with the run, for messages.
    """

    def __init__(
        self,
        journal: Journal,
        originals: OriginalWeights,
        editor: Editor,
        undeclared: Undeclared,
        costs: Costs,
        command: str,
    ) -> None:
        self._journal, self._originals, self._editor = journal, originals, editor
        self._undeclared = undeclared
        self._costs, self._device = costs, editor.model.device
        self.command = command
        self.saves = Saves(journal.folder)
        self.stopper: Stopper | None = None
        """Says whether the run shall stop."""
        self.resumed: list[dict[str, Any]] = []
        """Where the run was taken up again, for its result."""

    def take_up(self, save: Save, manifest: Manifest) -> None:
        """Put weights, editor, random generators and counts where a save has them.

        Raises:
            InputError: the save does not fit.
        """
        weights, state = save.load()
        self._originals.put(weights)
        try:
            self._editor.load_state_dict(state)
            set_random_state(manifest.random, self._device)
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(f"{save.folder} does not fit this run: {error}") from error
        self._costs.set(manifest.counters)

    def save_if(self, due: bool, position: Position, done: str) -> None:
        """Save the run if that is due, or it shall stop here.

        Args:
            due: Whether it is.
            position: How far the run has come.
            done: The same in words.

        Raises:
            Interrupted: it shall stop.
            InputError: the editor has changed what would not be saved.
        """
        asked = self.stopper.asked if self.stopper else None
        if not (due or asked):
            return
        self._undeclared.check()
        self._journal.sync()
        self.saves.write(
            position,
            weights=self._originals.live(),
            editor=self._editor.state_dict(),
            journal=self._journal.before(),
            random=random_state(self._device),
            counters=self._costs.so_far(),
            resumed=self.resumed,
        )
        if asked:
            self._journal.event("interrupted", signal=asked, after=done)
            raise Interrupted(self.command, asked, done)
