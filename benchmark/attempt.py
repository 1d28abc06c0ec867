"""One call of an editor: a fact that cannot be edited costs that fact, and not the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ..editors import Editor, EditReport, EditRequest
from ..editors._memory import OutOfMemory, free, is_out_of_memory
from ..tasks.errors import InputError, RequestError
from ..tasks.tokenization import encode_pair
from .snapshot import Snapshot

_NO_SOLUTION: type[Exception] = torch.linalg.LinAlgError  # pyright: ignore[reportPrivateImportUsage]


class Attempt(NamedTuple):
    """What became of the facts of one call."""

    reports: dict[int, dict[str, float]]
    """What the editor reported of each fact it edited, by case; it may report nothing."""
    update_norms: dict[str, float]
    """Norm of the call's change of each parameter, by parameter name."""
    failed: dict[int, str]
    """Why each of the other facts could not be edited, by case."""


def attempt(
    editor: Editor,
    requests: Sequence[EditRequest],
    *,
    before: Snapshot,
    window: int,
    relief: Callable[[], bool] = lambda: False,
) -> Attempt:
    """Edit some facts in one call; what cannot be edited is left out, and the rest edited.

    A fact that names itself in its error (`RequestError`) goes alone; any other refusal goes for
    the whole call. So does a matrix that cannot be decomposed, which is how linear algebra fails
    on a broken model where an editor does not see to it itself. What a refused call had written by
    then is taken back: it would be counted as the work of other facts.

    Args:
        editor: The editor, ready.
        requests: The facts.
        before: Model and editor as they are now.
        window: Tokens that the model can read at once.
        relief: Called when memory has run out, to give back what can be made again; returns whether
            there was any. The same facts are then tried once more.

    Raises:
        OutOfMemory: that is no fact's fault; model and editor are as the call left them.
        InputError: what the editor returned is no report of these facts.
    """
    failed: dict[int, str] = {}
    left = list(requests)
    # What lives in the prompt is cut to the window by the wrapper around the model.
    if editor.kind != "context":
        failed = {
            request.case_id: reason
            for request in requests
            if (reason := _unreadable(editor, request, window))
        }
    report, relieved = EditReport(), False
    while left := [request for request in left if request.case_id not in failed]:
        try:
            report = _call(editor, left)
            break
        except OutOfMemory:
            if relieved or not relief():
                raise
            relieved = True
        except RequestError as error:
            known = error.case_id in {request.case_id for request in left}
            refused = [error.case_id] if known else [request.case_id for request in left]
            failed |= dict.fromkeys(refused, _one_line(error.reason))
        except (InputError, _NO_SOLUTION) as error:
            failed |= {request.case_id: _one_line(str(error)) for request in left}
        # Out here nothing refers to the tensors of the call that failed.
        if relieved:
            free()
        before.restore()
    must_be_report(report, editor)
    _must_be_about(report, len(left), editor)
    # An editor that reports nothing of single facts has empty reports.
    found = report.per_request or tuple({} for _ in left)
    reports = {request.case_id: each for request, each in zip(left, found, strict=True)}
    return Attempt(reports, report.update_norms, failed)


def _call(editor: Editor, requests: Sequence[EditRequest]) -> EditReport:
    try:
        return editor.edit(requests)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory("during an edit") from error


def must_be_report(report: object, editor: Editor) -> None:
    """Refuse what is no report: the mistake is the editor's, and no fact's.

    Raises:
        InputError: it is none; says what it is.
    """
    if not isinstance(report, EditReport):
        raise InputError(
            f"{type(editor).__name__}.edit returned {type(report).__name__}: "
            "it must return an EditReport"
        )


def _must_be_about(report: EditReport, facts: int, editor: Editor) -> None:
    if len(report.per_request) not in (0, facts):
        raise InputError(
            f"{type(editor).__name__}.edit was given facts: {facts}; its EditReport.per_request "
            f"has {len(report.per_request)}: one each, in their order, or none at all"
        )


def _unreadable(editor: Editor, request: EditRequest, window: int) -> str | None:
    """Return why the model cannot read a fact as it is, without what an editor puts around it."""
    try:
        pair = encode_pair(editor.tokenizer, request.text, request.target_new)
    except InputError as error:
        return _one_line(str(error))
    length = len(pair.context) + len(pair.continuation) - 1
    if length > window:
        return f"prompt and target have {length} tokens, the context window {window}"
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
