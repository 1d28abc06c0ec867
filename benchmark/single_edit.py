"""Edits made one by one on the unedited model, which is restored after each."""

from __future__ import annotations

from collections.abc import Callable
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
        self._pristine = Pristine(editor, originals)

    def run(
        self,
        editing: Clock,
        evaluating: Clock,
        write: Callable[[Line], Line],
        progress: Callable[[str, int, int], None],
    ) -> list[Line]:
        """Make and measure the edits; the model is left unedited.

        Args:
            editing: Clock of the editor.
            evaluating: Clock of the measurements.
            write: Puts a line into the journal and returns it as written.
            progress: Told how far this has come.

        Returns:
            The lines, one an edit.
        """
        cases = self._plan.cases
        self._pristine.restore()
        with evaluating:
            before = self._measure([case.case_id for case in cases])
        lines = []
        for number, case in enumerate(cases, start=1):
            with self._pristine.edited(case.request, editing) as first:
                with evaluating:
                    after = self._measure([case.case_id])
                line = {
                    "edit": number,
                    "edits": self._plan.stream.name,
                    "case_id": case.case_id,
                    "prompt": case.request.prompt,
                    "subject": case.request.subject,
                    "target_new": case.request.target_new,
                    "completion_prompt": case.completion_prompt,
                    "unedited": before[case.case_id]["metrics"],
                    **after[case.case_id],
                    "update_norm": first.update_norm,
                    "seconds": {"edit": editing.last, "evaluate": evaluating.last},
                }
                lines.append(write(line))
            progress(f"single {self._plan.stream.name} edits", number, len(cases))
        return lines

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
