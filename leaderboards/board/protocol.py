"""What must be equal for numbers to stand in one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..entry import model_slug
from ..results import Result

_SHORT = 12


class Protocol(NamedTuple):
    """How a result was measured; samples and seeds are not part of it: they are replicates."""

    suite: str
    version: int
    suite_sha256: str
    weights_sha256: str
    dtype: str
    source: str
    edits: str
    files: tuple[tuple[str, str], ...]
    mode: str
    batch_size: int
    num_edits: int
    each_edit: tuple[str, ...]
    checkpoint: tuple[tuple[str, int], ...]
    start_end: tuple[str, ...]
    limits: tuple[tuple[str, int], ...]

    @property
    def suite_name(self) -> str:
        """Name and version of the suite."""
        return f"{self.suite}@{self.version}"

    @property
    def asked(self) -> str:
        """What is done, in a few words."""
        at_once = {
            "instance-sequential": "one at a time",
            "batch-sequential": f"{self.batch_size} at a time",
            "batch-single": "all at once",
        }[self.mode]
        return f"{self.num_edits:,} {self.edits} edits, {at_once}"

    def parts(self) -> dict[str, str]:
        """Return all of it in words, by what it says."""
        return {
            "suite": f"{self.suite_name} ({self.suite_sha256[:_SHORT]})",
            "weights": f"{self.weights_sha256[:_SHORT]}, {self.dtype}",
            "data": f"{self.source}: {_pairs({k: v[:_SHORT] for k, v in self.files})}",
            "edits": self.asked,
            "mode": f"{self.mode}, {self.batch_size} a call",
            "asked after each edit": ", ".join(self.each_edit) or "nothing",
            "asked every so many edits": _pairs(dict(self.checkpoint)) or "nothing",
            "asked at start and end": ", ".join(self.start_end) or "nothing",
            "documents asked at most": _pairs(dict(self.limits)) or "all",
        }


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def protocol_of(result: Result) -> Protocol:
    """Return how a result was measured."""
    asked = result.protocol
    return Protocol(
        result.suite.name,
        result.suite.version,
        result.suite.sha256,
        result.model.weights_sha256,
        result.model.dtype,
        result.data.source,
        result.data.edits,
        tuple(sorted(result.data.files_sha256.items())),
        asked.mode,
        asked.batch_size,
        asked.num_edits,
        tuple(asked.each_edit),
        tuple(sorted(asked.checkpoint.items())),
        tuple(asked.start_end),
        tuple(sorted(asked.limits.items())),
    )


def model_name(result: Result) -> str:
    """Return model and revision, as people write them.

    The beginning of the weights' digest stands in where there is no revision.
    """
    return f"{result.model.name}@{model_slug(result).rpartition('@')[2]}"
