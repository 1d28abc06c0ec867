"""The only module that imports lm-evaluation-harness's internals.

Everything the harness does silently wrong on a model that changes under it is dealt with here: no
request or answer cache (their keys know neither model nor data), random state put back after each
call, few-shot seeds set again before each call, no task evaluated on an empty sample list (which
it would take for "all").
"""

from __future__ import annotations

import functools
import logging
import math
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import lm_eval
import lm_eval.api.task as _task_module
import lm_eval.models.huggingface
import numpy as np
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from ..tasks.errors import InputError, NoDocuments, OtherStream, unknown_name

# Decorators of the harness hide the types of these two from type checkers.
HFLM: Any = lm_eval.models.huggingface.HFLM
_evaluate: Any = lm_eval.evaluate

__all__ = [
    "HFLM",
    "CaseResult",
    "Instance",
    "TaskResult",
    "TaskSet",
    "include_path",
    "quiet",
    "rolling_windows",
]


def include_path() -> str:
    """Return the folder of our task YAML files, for `lm_eval --include_path`."""
    return str(files("seqedit_bench.tasks"))


def rolling_windows(
    tokens: list[int], prefix_token: int, max_length: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Cut a text as the harness does for perplexities: (context, tokens to score) pairs."""
    windows = get_rolling_token_windows(tokens, prefix_token, max_length, context_len=1)
    return map(make_disjoint_window, windows)


class CaseResult(NamedTuple):
    """What a task gave for the documents of one edit."""

    metrics: dict[str, float]
    """The task's own aggregate over the edit's documents."""
    per_prompt: dict[str, list[float]]
    """The single values, of metrics with more than one document."""
    texts: list[str]
    """What was generated, of tasks that generate."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a task gave on one evaluation."""

    metrics: dict[str, float]
    """Aggregated values by metric name, the task's headline metric first."""
    samples: list[dict[str, Any]]
    """One mapping a document: its fields under `doc`, its metrics by name; none of a group."""
    by_case: dict[int, CaseResult]
    """By edit, of tasks whose documents belong to edits."""

    def texts(self) -> list[dict[str, str]]:
        """Return prompt and generated text of each document."""
        return [
            {"prompt": sample["arguments"][0][0], "text": sample["filtered_resps"][0]}
            for sample in self.samples
        ]


class TaskSet:
    """Tasks built once and evaluated many times on a live model.

    Args:
        names: Names of tasks, groups or tags; ours, or the harness's own.
        metadata: Handed to the tasks' `custom_dataset` functions.
        include: Further folders of task files.
        limits: First documents to ask, of tasks that are not asked in full.

    Raises:
        InputError: an unknown task, or one whose data cannot be read.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        metadata: Mapping[str, Any],
        include: Sequence[str] = (),
        limits: Mapping[str, int] | None = None,
    ) -> None:
        with quiet():
            manager = _manager(names, metadata, include)
            self._loaded: dict[str, dict[str, Any]] = {}
            self.empty: dict[str, str] = {}
            """Tasks this data has nothing for, and why; they are never asked."""
            for name in names:
                try:
                    self._loaded[name] = dict(manager.load([name]))
                except OtherStream:
                    self.empty[name] = ""
                except NoDocuments as error:
                    self.empty[name] = str(error)
                except InputError:
                    raise
                except Exception as error:
                    reason = " ".join(str(error).split())[:200]
                    raise InputError(f"cannot build task {name}: {reason}") from error
        self._leaves: dict[str, Any] = {}
        self._documents: dict[str, list[int] | None] = {}
        self._cases: dict[str, list[int]] = {}
        for name, loaded in self._loaded.items():
            self._leaves |= loaded["tasks"]
            for leaf, task in loaded["tasks"].items():
                _let_overflow(task)
                self._documents[leaf] = None
                if limits and name in limits:
                    self._documents[leaf] = list(range(min(limits[name], len(task.eval_docs))))
                if _metadata(task).get("scope") == "edits":
                    if limits and name in limits:
                        raise InputError(
                            f"--downstream-limit does not go with --downstream {name}, which is "
                            "asked about every edit: leave one of them out"
                        )
                    self._cases[leaf] = [doc["case_id"] for doc in task.test_docs()]

    @property
    def skipped(self) -> dict[str, str]:
        """Tasks that are not measured and why, those for other kinds of edits aside."""
        return {name: reason for name, reason in self.empty.items() if reason}

    def leaves_of(self, name: str) -> set[str]:
        """Return the tasks that a name stands for: itself, or those of a group or tag."""
        return set(self._loaded[name]["tasks"]) if name not in self.empty else set()

    def about_edits(self, name: str) -> bool:
        """Return whether the documents of a task belong to edits, as far as it has any."""
        return self.leaves_of(name) <= {*self._cases}

    def keeps_texts(self, name: str) -> bool:
        """Return whether what this task generates belongs into the journal."""
        return name in self._leaves and bool(_metadata(self._leaves[name]).get("keep_texts"))

    def metrics_of(self, name: str) -> list[str]:
        """Return the metrics that a task has, its headline first."""
        tasks = self._loaded[name]["tasks"].values()
        return list(dict.fromkeys(metric for task in tasks for metric in task.aggregation()))

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
            names: Which of the names this set was built from.
            case_ids: Edits whose documents are asked about; other tasks are asked in full.

        Returns:
            Results by task and group, without those that have no document to ask about.
        """
        samples: dict[str, list[int]] = {}
        chosen: dict[str, Any] = {}
        groups: dict[str, Any] = {}
        for name in names:
            loaded = self._loaded.get(name, {"tasks": {}, "groups": {}})
            for leaf, task in loaded["tasks"].items():
                documents = self.documents_of(leaf, case_ids)
                if documents is None:
                    documents = self._documents[leaf]
                if documents == []:
                    continue
                chosen[leaf] = task
                task.set_fewshot_seed(1234)
                if documents is not None:
                    samples[leaf] = documents
            groups |= loaded["groups"]
        if not chosen:
            return {}
        with quiet(), _same_random_state(), torch.no_grad():
            found = _evaluate(
                lm,
                {
                    "tasks": chosen,
                    "groups": groups,
                    "group_map": {name: group.child_names for name, group in groups.items()},
                },
                samples=samples or None,
                bootstrap_iters=0,
                log_samples=True,
            )
        assert found is not None
        results = {name: self._task_result(found, name, task) for name, task in chosen.items()}
        for name in found.get("groups", {}):
            results[name] = TaskResult(_metrics(found["groups"][name]), [], {})
        return results

    def _task_result(self, found: Mapping[str, Any], name: str, task: Any) -> TaskResult:
        samples = found["samples"][name]
        metrics = _metrics(found["results"][name])
        # The harness sorts; the task's own order puts its headline first.
        order = [metric for metric in task.aggregation() if metric in metrics]
        ordered = {metric: metrics[metric] for metric in (*order, *metrics)}
        if name not in self._cases:
            return TaskResult(ordered, samples, {})
        by_case: dict[int, list[dict[str, Any]]] = {}
        for sample in samples:
            by_case.setdefault(sample["doc"]["case_id"], []).append(sample)
        cases = {case_id: _case_result(task, each) for case_id, each in by_case.items()}
        return TaskResult(ordered, samples, cases)


def _manager(
    names: Sequence[str], metadata: Mapping[str, Any], include: Sequence[str]
) -> TaskManager:
    folders: list[str | Path] = [include_path(), *include]
    ours = TaskManager(include_path=folders, include_defaults=False)
    # Scanning the harness's own 14,000 names takes seconds: only if one of them is wanted.
    defaults = any(name not in _known(ours) for name in names)
    manager = TaskManager(include_path=folders, include_defaults=defaults, metadata=dict(metadata))
    known = _known(manager)
    for name in names:
        if name not in known:
            raise unknown_name("task", name, known, shown=ours.all_subtasks)
    return manager


def _known(manager: TaskManager) -> set[str]:
    return {*manager.all_tasks, *manager.all_groups, *manager.all_tags}


def _let_overflow(task: Any) -> None:
    """Let a task's metrics be infinite: the harness's perplexities raise on a collapsed model."""

    def safe(aggregate: Callable[[Any], float]) -> Callable[[Any], float]:
        @functools.wraps(aggregate)
        def call(items: Any) -> float:
            try:
                return aggregate(items)
            except OverflowError:
                return math.inf

        return call

    functions = {name: safe(function) for name, function in task.aggregation().items()}
    task.aggregation = lambda: functions


def _metadata(task: Any) -> dict[str, Any]:
    return task.config.metadata or {}


def _metrics(found: Mapping[str, Any]) -> dict[str, float]:
    """Return values by metric; the harness writes `metric,filter`, mostly with the filter none."""
    return {
        key.removesuffix(",none"): float(value)
        for key, value in found.items()
        if "," in key and "_stderr" not in key and isinstance(value, (int, float))
    }


def _case_result(task: Any, samples: Sequence[Mapping[str, Any]]) -> CaseResult:
    values: dict[str, list[Any]] = {}
    for sample in samples:
        for metric in sample["metrics"]:
            if metric in sample:
                values.setdefault(metric, []).append(sample[metric])
    aggregate = task.aggregation()
    generates = task.OUTPUT_TYPE == "generate_until"
    return CaseResult(
        {metric: float(aggregate[metric](each)) for metric, each in values.items()},
        {metric: list(map(float, each)) for metric, each in values.items() if len(each) > 1},
        [sample["filtered_resps"][0] for sample in samples] if generates else [],
    )


def forward(arguments: Sequence[str]) -> None:
    """Run the harness's own command line, with our model registered and our tasks on its path.

    Needed for versions that do not read entry points (0.4.13).
    """
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.api.registry import model_registry

    if "seqedit" not in model_registry:
        model_registry.register("seqedit", target="seqedit_bench.benchmark.edited_lm:EditedLM")
    given = list(arguments)
    # Without any argument it prints its help.
    wants_tasks = given and (given[0] in ("run", "ls", "validate") or given[0].startswith("-"))
    if wants_tasks and not any(word.split("=")[0] == "--include_path" for word in given):
        given += ["--include_path", include_path()]
    before = sys.argv
    sys.argv = ["lm-eval", *given]
    try:
        cli_evaluate()
    finally:
        sys.argv = before


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
