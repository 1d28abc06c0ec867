"""How results of one table were measured, in words."""

from __future__ import annotations

from collections.abc import Mapping

from ..entry import model_slug
from ..results import Result

_SHORT = 12


def model_name(result: Result) -> str:
    """Return model and revision, as people write them.

    The beginning of the weights' digest stands in where there is no revision.
    """
    return f"{result.model.name}@{model_slug(result).rpartition('@')[2]}"


def asked(result: Result) -> str:
    """Return what is done, in a few words."""
    protocol = result.protocol
    at_once = {
        "instance-sequential": "one at a time",
        "batch-sequential": f"{protocol.batch_size} at a time",
        "batch-single": "all at once",
    }[protocol.mode]
    return f"{protocol.num_edits:,} {result.data.edits} edits, {at_once}"


def protocol_parts(result: Result) -> dict[str, str]:
    """Return in words all that must be equal for numbers to share a table, by what it says."""
    suite, data, protocol = result.suite, result.data, result.protocol
    return {
        "suite": f"{suite.versioned} ({suite.sha256[:_SHORT]})",
        "weights": f"{result.model.weights_sha256[:_SHORT]}, {result.model.dtype}",
        "data": f"{data.source}: {_pairs({k: v[:_SHORT] for k, v in data.files_sha256.items()})}",
        "edits": asked(result),
        "mode": f"{protocol.mode}, {protocol.batch_size} a call",
        "asked after each edit": ", ".join(sorted(protocol.each_edit)) or "nothing",
        "asked every so many edits": _pairs(protocol.checkpoint) or "nothing",
        "asked at start and end": ", ".join(sorted(protocol.start_end)) or "nothing",
        "documents asked at most": _pairs(protocol.limits) or "all",
    }


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items()))
