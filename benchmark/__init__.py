"""The pipeline: from a request to a result. `evaluate` is the whole of it for a script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .config import RunConfig, make_request

if TYPE_CHECKING:
    from ..leaderboards import Result
    from .observer import Observer

__all__ = ["RunConfig", "evaluate"]


def evaluate(
    editor: str,
    *,
    resume: bool = False,
    force: bool = False,
    observer: Observer | None = None,
    **options: Any,
) -> Result:
    """Run a benchmark and return its result.

    Args:
        editor: Registered name of the editor.
        resume: Go on with the run in `output`, if there is one that was stopped; the result of a
            finished one is read, if it is of this request.
        force: With `resume`: whatever has changed since, which the result will say.
        observer: Told how it goes, as `Observer` in `observer.py` says; None tells nobody.
        options: Fields of `RunConfig`: model, suite, num_edits, output, ... `hparams` can be a
            dictionary, and what takes several names one text with commas.

    Raises:
        InputError: something in the request cannot be done; says what and what to do.

    Example:
        result = evaluate("memit", num_edits=20, output="runs/mine")
        print(result.summary.immediate["es"])
    """
    from .runner import run  # torch is imported only when something runs

    config = make_request({"editor": editor, **options})
    return run(config, observer, resume=resume, force=force).result
