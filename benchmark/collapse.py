"""When a model has collapsed: something that an edit computed or left behind is not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator

from .observer import Line


def collapse(line: Line) -> str | None:
    """Return what is not finite after an edit, in a line of `edits.jsonl` not yet written.

    Looked at are the distance of each edited matrix, the log-likelihoods of the edit's own prompts
    (NaN or infinite as soon as a logit is), and the losses that the editor reports.

    Example:
        >>> collapse({"distance": {"w": float("inf")}, "metrics": {}, "per_prompt": {}})
        'distance of w is inf'
        >>> collapse({"distance": {"w": 0.1}, "metrics": {"es_nll_new": 2.0}, "per_prompt": {}})
    """
    return next(
        (f"{what} is {value}" for what, value in _looked_at(line) if not _finite(value)), None
    )


def _looked_at(line: Line) -> Iterator[tuple[str, float]]:
    for name, value in line["distance"].items():
        yield f"distance of {name}", value
    for name, value in line["metrics"].items():
        if "_nll" in name:
            yield name, value
    for name, values in line["per_prompt"].items():
        if "_nll" in name:
            for value in values:
                yield f"{name} of a prompt", value
    for name, value in line.get("editor", {}).items():
        if name.startswith("loss"):
            yield f"the editor's {name}", value


def _finite(value: float) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
