"""Whether a model can be asked at all what a run will ask about its edits; looked at beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..tasks import EditCase, InputError
from .lm import SequentialEditLM


def refuse_unscorable(lm: SequentialEditLM, cases: Sequence[EditCase]) -> None:
    """Refuse edits with an answer that this model cannot score, before the first edit.

    Prompts that are too long lose their beginning, which is no reason to refuse them.

    Raises:
        InputError: an answer has no token of its own, or more than the context window holds; says
            which edit's.
    """
    for case in cases:
        for prompt, answer in _asked(case):
            if (reason := lm.refusal(prompt, answer)) is not None:
                raise InputError(
                    f"case {case.case_id}: {reason}: correct the record, or take it out of the data"
                )


def _asked(case: EditCase) -> Iterator[tuple[str, str]]:
    # What an answer's tokens are hardly depends on the prompt: one for each answer is enough.
    request = case.request
    yield request.text, request.target_new
    if request.target_true is not None:
        yield request.text, request.target_true
    yield from case.locality
