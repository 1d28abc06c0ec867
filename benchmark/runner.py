"""The one loop: edit a batch, evaluate what is due, write it down."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch

from ..editors import Editor, EditReport, resolve_hparams
from ..editors._architecture import Architecture
from ..leaderboards import Result
from ..leaderboards import summary as summaries
from ..leaderboards.results import Cost
from ..tasks import EditCase, InputError
from . import provenance
from .config import RunConfig
from .journal import Journal
from .lm import SequentialEditLM
from .lmeval import TaskResult
from .model import LoadedModel, OriginalWeights, load_model
from .observer import Line, Observer, Silent
from .plan import Plan, make_plan
from .record import Record, describe


class Outcome(NamedTuple):
    """What a finished run leaves."""

    result: Result
    path: Path
    """Its `leaderboard.json`."""


def run(config: RunConfig, observer: Observer | None = None) -> Outcome:
    """Edit a model fact after fact and measure it as the suite says.

    Nothing that is there already is overwritten, and a run that is refused leaves nothing behind.

    Raises:
        InputError: something in the request cannot be done; says what and what to do.
    """
    observer = observer or Silent()
    plan = make_plan(config)
    journal = Journal(plan.output)
    try:
        loop, record = _prepare(plan, journal, observer)
    except InputError:
        journal.discard()
        raise
    journal.write_config(record.config(plan))
    observer.started(len(plan.cases), plan.suite.score)
    loop.run(config.batch_size)
    result = loop.result(record)
    return Outcome(result, journal.write_result(result.to_json()))


def _prepare(plan: Plan, journal: Journal, observer: Observer) -> tuple[_Loop, Record]:
    """Load the model and get the editor ready."""
    config = plan.config
    for task, reason in plan.tasks.empty.items():
        observer.note(f"{task} is not measured: {reason}")
    observer.note(f"loading {config.model}")
    loaded = load_model(
        config.model, device=config.device, dtype=config.dtype, cache_dir=config.cache_dir
    )
    resolved = resolve_hparams(
        config.editor,
        plan.editor_class,
        model_name=config.model,
        shape=Architecture.of(loaded.model).shape(loaded.model),
        overrides=config.hparams,
    )
    observer.note(f"{config.editor} hyper-parameters: {resolved.source}")
    torch.manual_seed(config.seed)
    editor = plan.editor_class(
        loaded.model,
        loaded.tokenizer,
        resolved.hparams,
        seed=config.seed,
        cache_dir=config.cache_dir,
        progress=observer.preparing,
    )
    preparing = _Clock(loaded.model.device)
    with preparing:
        prepared = editor.prepare()
    loop = _Loop(plan, loaded, editor, journal, observer, preparing)
    return loop, describe(plan, loaded, editor, resolved, prepared)


class _Clock:
    """Adds up the seconds of one kind of work."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.total = self.last = 0.0

    def __enter__(self) -> _Clock:
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self.last = time.perf_counter() - self._start
        self.total += self.last


class _Loop:
    """The run itself: state that grows with every edit."""

    def __init__(
        self,
        plan: Plan,
        loaded: LoadedModel,
        editor: Editor,
        journal: Journal,
        observer: Observer,
        preparing: _Clock,
    ) -> None:
        self.suite, self.cases, self.tasks = plan.suite, plan.cases, plan.tasks
        self.loaded, self.editor, self.journal, self.observer = loaded, editor, journal, observer
        self.lm = SequentialEditLM(loaded)
        self.originals = OriginalWeights(loaded.model, editor.edited_parameters())
        self.edits: list[Line] = []
        self.checkpoints: list[Line] = []
        device = loaded.model.device
        self.preparing, self.editing, self.evaluating = preparing, _Clock(device), _Clock(device)

    def run(self, batch_size: int) -> None:
        """Apply all edits in order, `batch_size` at a time, evaluating on the way."""
        self._checkpoint()
        every = self.suite.checkpoint.every
        for start in range(0, len(self.cases), batch_size):
            batch = self.cases[start : start + batch_size]
            self._edit(batch)
            done = start + len(batch)
            if done // every > start // every or done == len(self.cases):
                self._checkpoint()

    def _edit(self, batch: Sequence[EditCase]) -> None:
        self.loaded.model.eval()
        with self.editing:
            report = self.editor.edit([case.request for case in batch])
        self.loaded.model.eval()
        with self.evaluating:
            found = self._ask(self.suite.each_edit, batch)
        distance = {name: value.l2 for name, value in self.originals.distances().items()}
        for index, case in enumerate(batch):
            line = self._edit_line(index, case, report, found[case.case_id], distance, len(batch))
            self.edits.append(self.journal.append_edit(line))
            self.observer.edited(self.edits[-1])

    def _edit_line(
        self,
        index: int,
        case: EditCase,
        report: EditReport,
        found: _Measured,
        distance: dict[str, float],
        batch: int,
    ) -> Line:
        request = case.request
        return {
            "edit": len(self.edits) + 1,
            "case_id": case.case_id,
            "relation_id": request.relation_id,
            "prompt": request.prompt,
            "subject": request.subject,
            "target_new": request.target_new,
            "target_true": request.target_true,
            "metrics": found.metrics,
            "per_prompt": found.per_prompt,
            "editor": report.per_request[index] if report.per_request else {},
            "update_norm": report.update_norms,
            "distance": distance,
            "seconds": {
                "edit": self.editing.last / batch,
                "evaluate": self.evaluating.last / batch,
            },
        }

    def _ask(self, names: Sequence[str], cases: Sequence[EditCase]) -> dict[int, _Measured]:
        """Evaluate tasks whose documents belong to edits; return their metrics by case."""
        results = self.tasks.evaluate(self.lm, names, [case.case_id for case in cases])
        values: dict[int, dict[str, list[float]]] = {case.case_id: {} for case in cases}
        for result in results.values():
            for sample in result.samples:
                of_case = values[sample["doc"]["case_id"]]
                for metric in sample["metrics"]:
                    of_case.setdefault(metric, []).append(float(sample[metric]))
        return {case_id: _Measured.of(metrics) for case_id, metrics in values.items()}

    def _checkpoint(self) -> None:
        done = self.cases[: len(self.edits)]
        line: Line = {"edits": len(done)}
        with self.evaluating:
            if not done:
                first = self.cases[: self.suite.baseline_records]
                found = self._ask(self.suite.each_edit, first)
                line["baseline"] = [found[case.case_id].metrics for case in first]
            names = self.suite.checkpoint.tasks
            results = self.tasks.evaluate(self.lm, names, [case.case_id for case in done])
        line["edited"] = self._by_edit(results, done)
        line["tasks"] = {
            name: result.metrics
            for name, result in results.items()
            if self.tasks.documents_of(name, []) is None
        }
        line["distance"] = {
            name: asdict(value) for name, value in self.originals.distances().items()
        }
        line["seconds"] = {"evaluate": self.evaluating.last}
        self.checkpoints.append(self.journal.append_checkpoint(line))
        retained = summaries.retention_curves(self.edits, self.checkpoints)
        latest = {name: record.instant[-1] for name, record in retained.items()}
        self.observer.measured(
            self.checkpoints[-1],
            {name: share for name, share in latest.items() if share is not None},
        )

    def _by_edit(
        self, results: dict[str, TaskResult], done: Sequence[EditCase]
    ) -> dict[str, list[float | None]]:
        """Return metrics of tasks that belong to edits, one value an edit, in their order.

        None where an edit's record has no prompt of the kind.
        """
        position = {case.case_id: index for index, case in enumerate(done)}
        columns: dict[str, list[list[float]]] = {}
        for name, result in results.items():
            if self.tasks.documents_of(name, []) is None:
                continue
            for sample in result.samples:
                at = position[sample["doc"]["case_id"]]
                for metric in sample["metrics"]:
                    column = columns.setdefault(metric, [[] for _ in done])
                    column[at].append(float(sample[metric]))
        return {
            metric: [sum(values) / len(values) if values else None for values in column]
            for metric, column in columns.items()
        }

    def result(self, record: Record) -> Result:
        """Put the result of the finished run together, from its journal and what it cost."""
        curves = summaries.curves(self.edits, self.checkpoints)
        seconds = self.editing.total
        return Result(
            **record._asdict(),
            curves=curves,
            summary=summaries.summary(self.edits, self.checkpoints, curves, self.suite.score),
            cost=Cost(
                edits_per_second=len(self.edits) / seconds if seconds else 0.0,
                seconds_edit=seconds,
                seconds_evaluate=self.evaluating.total,
                seconds_prepare=self.preparing.total,
                peak_memory_bytes=provenance.peak_memory(self.loaded.model.device),
                tokens_scored=self.lm.scorer.tokens_scored,
            ),
            journal_sha256=self.journal.sha256(),
        )


class _Measured(NamedTuple):
    """Metrics of one case."""

    metrics: dict[str, float]
    """Mean over the case's prompts."""
    per_prompt: dict[str, list[float]]
    """The single values, of metrics with more than one prompt."""

    @classmethod
    def of(cls, values: dict[str, list[float]]) -> _Measured:
        return cls(
            {metric: sum(each) / len(each) for metric, each in values.items()},
            {metric: each for metric, each in values.items() if len(each) > 1},
        )
