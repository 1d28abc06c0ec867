"""What the rows are measured on: a model, facts, and the requests of tasks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...tasks import EditCase
from ...tasks.edits import load_stream
from ...tasks.sources import Source
from ...tasks.tokenization import Pair
from ..config import RunConfig
from ..lm import SequentialEditLM
from ..lmeval import Instance, TaskSet
from ..model import LoadedModel
from ..ready import load_for
from ..scoring import Score

LIKELIHOODS = ("sst2_ll", "mrpc_ll", "cola_ll", "rte_ll")
GENERATIONS = ("sst2_gen", "mrpc_gen", "cola_gen", "rte_gen")
ABOUT_AN_EDIT = ("counterfact_es", "counterfact_ps", "counterfact_ns")


@dataclass(frozen=True)
class Setting:
    """A loaded model and where data comes from."""

    config: RunConfig
    loaded: LoadedModel
    repeats: int
    quick: bool
    """Smaller shares of the same work."""

    @classmethod
    def load(cls, config: RunConfig, *, repeats: int, quick: bool) -> Setting:
        """Load the model."""
        loaded = load_for(config)
        return cls(config, loaded, repeats, quick)

    @cached_property
    def source(self) -> Source:
        """The data: a folder if one is named, else what is bundled."""
        return Source.choose(None, self.config.data_dir)

    @cached_property
    def cases(self) -> tuple[EditCase, ...]:
        """Facts, in the order of sample 1."""
        return load_stream(self.source, "counterfact", sample=1).cases

    @cached_property
    def lm(self) -> SequentialEditLM:
        """The model as the runner evaluates it."""
        return SequentialEditLM(self.loaded)

    def requests(self, names: Sequence[str], cases: int = 1) -> list[Instance]:
        """Return all requests that tasks have for the model, those about the first edits.

        Args:
            names: Tasks.
            cases: How many edits, where tasks are about edits.
        """
        metadata = {
            "data_source": self.source.name,
            "data_dir": str(self.config.data_dir) if self.config.data_dir else None,
            "edits": "counterfact",
            "sample": 1,
            "num_edits": cases,
        }
        recorder = _Recorder(self.loaded)
        tasks = TaskSet(names, metadata=metadata)
        tasks.evaluate(recorder, names, [case.case_id for case in self.cases[:cases]])
        return recorder.asked

    def pairs(self, requests: Sequence[Instance]) -> list[Pair]:
        """Return requests in tokens."""
        return [self.lm.pair(*request.args) for request in requests]


class _Recorder(SequentialEditLM):
    """Notes what it is asked, and answers anything."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__(loaded)
        self.asked: list[Instance] = []

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> Any:
        self.asked += requests
        return [Score(0.0, 0, 1)] * len(requests)

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = True) -> list[str]:
        self.asked += requests
        return [""] * len(requests)


def write_suite(folder: Path, *, checkpoint: dict[str, int]) -> Path:
    """Write a suite that asks about each edit and, at checkpoints, other tasks."""
    path = folder / "speed.yaml"
    suite = {
        "name": "speed",
        "version": 1,
        "description": "for make bench",
        "data_source": "bundled",
        "edits": "counterfact",
        "num_edits": 50,
        "baseline_records": 1,
        "each_edit": list(ABOUT_AN_EDIT),
        "checkpoint": checkpoint,
        "score": {"counterfact": ["es", "ps", "ns"]},
        "smoothing": "buckets",
    }
    path.write_text(json.dumps(suite), encoding="utf-8")  # JSON is YAML
    return path
