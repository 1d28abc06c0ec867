"""Edits made one by one on the unedited model, which is restored after each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..editors import Editor
from .clock import Clock
from .lm import SequentialEditLM
from .model import OriginalWeights
from .observer import Line
from .plan import SinglePlan
from .pristine import Pristine


class SingleEditor:
    """Edits the unedited model with one fact at a time.

    Args:
        plan: Which facts, and what is asked about them.
        editor: The editor; what it remembers now is what it starts each edit with.
        originals: The unedited weights.
        lm: The model wrapper.
    """

    def __init__(
        self, plan: SinglePlan, editor: Editor, originals: OriginalWeights, lm: SequentialEditLM
    ) -> None:
        self._plan, self._lm = plan, lm
        self._pristine = Pristine(editor, originals, window=lm.max_length, relief=lm.give_back)
        self.cases = plan.cases
        self._before: dict[int, dict[str, Any]] = {}

    def begin(self, evaluating: Clock) -> None:
        """Restore the unedited model and measure it on all facts.

        Args:
            evaluating: Clock of the measurements.
        """
        self._pristine.restore()
        with evaluating:
            self._before = self._measure([case.case_id for case in self._plan.cases])

    def edits(self, editing: Clock, evaluating: Clock, *, start: int = 0) -> Iterator[Line]:
        """Make and measure the edits, from one on; the model is unedited whenever a line comes.

        Args:
            editing: Clock of the editor.
            evaluating: Clock of the measurements.
            start: Edits that were made before.

        Yields:
            A line an edit, for the journal.
        """
        for number, case in enumerate(self._plan.cases[start:], start=start + 1):
            with self._pristine.edited(case.request, editing) as first:
                with evaluating:
                    after = self._measure([case.case_id])
                line: Line = {
                    "edit": number,
                    "edits": self._plan.stream.name,
                    "case_id": case.case_id,
                    "prompt": case.request.prompt,
                    "subject": case.request.subject,
                    "target_new": case.request.target_new,
                    "completion_prompt": case.completion_prompt,
                    "unedited": self._before[case.case_id]["metrics"],
                    **after[case.case_id],
                    "update_norm": first.update_norm,
                    "seconds": {"edit": editing.last, "evaluate": evaluating.last},
                }
            if first.failed:
                line["failed"] = first.failed
            yield line

    def _measure(self, case_ids: list[int]) -> dict[int, dict[str, Any]]:
        """Return metrics and generated texts of these edits, by case."""
        results = self._plan.tasks.evaluate(self._lm, self._plan.names, case_ids)
        found: dict[int, dict[str, Any]] = {
            case_id: {"metrics": {}, "texts": {}} for case_id in case_ids
        }
        for name, result in results.items():
            for case_id, each in result.by_case.items():
                found[case_id]["metrics"].update(each.metrics)
                if each.texts:
                    found[case_id]["texts"][name] = each.texts
        return found
