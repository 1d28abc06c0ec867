"""The only module that imports lm-evaluation-harness's internals.

Everything the harness does silently wrong on a model that changes under it is dealt with here: no
request or answer cache (their keys know neither model nor data), random state put back after each
call, few-shot seeds set again before each call, no task evaluated on an empty sample list (which
it would take for "all").
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import lm_eval
import lm_eval.api.task as _task_module
import lm_eval.models.huggingface
import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from ..tasks.errors import InputError, NoDocuments, unknown_name

# Decorators of the harness hide the types of these two from type checkers.
HFLM: Any = lm_eval.models.huggingface.HFLM
_evaluate: Any = lm_eval.evaluate

__all__ = ["HFLM", "Instance", "TaskResult", "TaskSet", "include_path", "quiet"]


def include_path() -> str:
    """Return the folder of our task YAML files, for `lm_eval --include_path`."""
    return str(files("seqedit_bench.tasks"))


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a task gave on one evaluation."""

    metrics: dict[str, float]
    """Aggregated values by metric name."""
    samples: list[dict[str, Any]]
    """One mapping a document: its fields under `doc`, its metrics by name."""


class TaskSet:
    """Tasks built once and evaluated many times on a live model.

    Args:
        names: Task names; ours, or the harness's own.
        metadata: Handed to the tasks' `custom_dataset` functions.
        include: Further folders of task files.

    Raises:
        InputError: an unknown task, or one whose data cannot be read.
    """

    def __init__(
        self, names: Sequence[str], *, metadata: Mapping[str, Any], include: Sequence[str] = ()
    ) -> None:
        with quiet():
            ours = TaskManager(include_path=[include_path(), *include], include_defaults=False)
            # Scanning the harness's own 14,000 names takes seconds: only if one of them is wanted.
            defaults = any(name not in ours.all_tasks for name in names)
            manager = TaskManager(
                include_path=[include_path(), *include],
                include_defaults=defaults,
                metadata=dict(metadata),
            )
            for name in names:
                if name not in manager.all_tasks:
                    raise unknown_name("task", name, ours.all_tasks)
            self._tasks: dict[str, Any] = {}
            self.empty: dict[str, str] = {}
            """Tasks this data has nothing for, and why; they are never asked."""
            for name in names:
                try:
                    self._tasks |= manager.load([name])["tasks"]
                except NoDocuments as error:
                    self.empty[name] = str(error)
                except InputError:
                    raise
                except Exception as error:
                    reason = " ".join(str(error).split())[:200]
                    raise InputError(f"cannot build task {name}: {reason}") from error
        self._cases = {
            name: [doc["case_id"] for doc in task.test_docs()]
            for name, task in self._tasks.items()
            if _scope(task) == "edits"
        }

    def documents_of(self, name: str, case_ids: Sequence[int]) -> list[int] | None:
        """Return the indices of a task's documents that belong to these edits, sorted.

        None for a task whose documents belong to no edit.
        """
        if name not in self._cases:
            return None
        wanted = set(case_ids)
        return [index for index, case in enumerate(self._cases[name]) if case in wanted]

    def evaluate(
        self, lm: LM, names: Sequence[str], case_ids: Sequence[int]
    ) -> dict[str, TaskResult]:
        """Evaluate tasks on the model as it is now.

        Args:
            lm: The model wrapper; all requests of one kind reach it in one call.
            names: Which tasks.
            case_ids: Edits whose documents are asked about; other tasks are asked in full.

        Returns:
            Results by task, without those that have no document to ask about.
        """
        samples: dict[str, list[int]] = {}
        chosen = {}
        for name in names:
            if name in self.empty:
                continue
            documents = self.documents_of(name, case_ids)
            if documents == []:
                continue
            chosen[name] = self._tasks[name]
            chosen[name].set_fewshot_seed(1234)
            if documents is not None:
                samples[name] = documents
        if not chosen:
            return {}
        with quiet(), _same_random_state(), torch.no_grad():
            found = _evaluate(
                lm,
                {"tasks": chosen, "groups": {}, "group_map": {}},
                samples=samples or None,
                bootstrap_iters=0,
                log_samples=True,
            )
        assert found is not None
        return {name: _task_result(found, name) for name in chosen}


def _scope(task: Any) -> str | None:
    return (task.config.metadata or {}).get("scope")


def _task_result(found: Mapping[str, Any], name: str) -> TaskResult:
    metrics = {
        key.partition(",")[0]: float(value)
        for key, value in found["results"][name].items()
        if "," in key and "_stderr" not in key and isinstance(value, (int, float))
    }
    return TaskResult(metrics, found["samples"][name])


class _NoBar:
    """Stands in for the harness's progress bar, which would be drawn after every edit."""

    def __init__(self, items: Any, **_: Any) -> None:
        self._items = items

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the harness from logging and drawing bars: it would after every edit."""
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets")]
    levels = [logger.level for logger in loggers]
    bar = _task_module.tqdm
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        _task_module.tqdm = _NoBar
        yield
    finally:
        _task_module.tqdm = bar
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _same_random_state() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
