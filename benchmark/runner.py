"""The one loop: edit a batch, evaluate what is due, write it down."""

from __future__ import annotations

import hashlib
import inspect
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from ..editors import (
    Editor,
    EditReport,
    get_editor,
    load_editor_file,
    resolve_hparams,
)
from ..editors._architecture import Architecture
from ..editors._hparams import Resolved
from ..leaderboards import Result
from ..leaderboards import summary as summaries
from ..leaderboards.results import (
    Cost,
    DataInfo,
    EditorInfo,
    ModelInfo,
    ProtocolInfo,
    SuiteInfo,
)
from ..tasks import EditCase, InputError
from ..tasks.edits import EditStream, load_stream
from ..tasks.sources import Source, file_sha256
from . import provenance
from .config import RunConfig
from .journal import Journal
from .lm import SequentialEditLM
from .lmeval import TaskResult, TaskSet
from .model import LoadedModel, OriginalWeights, load_model
from .suite import Suite, load_suite

Line = dict[str, Any]


class Observer(Protocol):
    """Who is told how a run is going."""

    def note(self, text: str) -> None: ...

    def preparing(self, what: str, done: int, total: int) -> None: ...

    def started(self, num_edits: int, score: Sequence[str]) -> None: ...

    def edited(self, line: Line) -> None: ...

    def measured(self, line: Line, retained: dict[str, float]) -> None: ...


class Silent:
    """Tells nobody."""

    def note(self, text: str) -> None: ...

    def preparing(self, what: str, done: int, total: int) -> None: ...

    def started(self, num_edits: int, score: Sequence[str]) -> None: ...

    def edited(self, line: Line) -> None: ...

    def measured(self, line: Line, retained: dict[str, float]) -> None: ...


class Outcome(NamedTuple):
    """What a finished run leaves."""

    result: Result
    path: Path
    """Its `leaderboard.json`."""


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


def run(config: RunConfig, observer: Observer | None = None) -> Outcome:
    """Edit a model fact after fact and measure it as the suite says.

    Everything that can be refused is refused before the model is loaded, and nothing that is
    there already is overwritten.

    Raises:
        InputError: something in the request cannot be done; says what and what to do.
    """
    started = datetime.now()
    observer = observer or Silent()
    suite = load_suite(config.suite)
    if config.editor_path is not None:
        load_editor_file(config.editor_path)
    editor_class = get_editor(config.editor)
    if config.batch_size > 1 and not editor_class.batched:
        raise InputError(f"editor {config.editor!r} takes one fact at a time: --batch-size 1")
    named = None if config.data_dir is not None else suite.data_source
    source = Source.choose(config.data_source or named, config.data_dir)
    stream = load_stream(source, config.edits or suite.edits, sample=config.sample)
    num_edits = config.num_edits or suite.num_edits
    if num_edits > len(stream.cases):
        raise InputError(
            f"--num-edits {num_edits}: the stream {stream.name!r} of this data has "
            f"{len(stream.cases)} edits"
        )
    tasks = _build_tasks(config, suite, source, stream, num_edits)
    journal = Journal(config.output_dir(suite.name, started))

    observer.note(f"loading {config.model}")
    loaded = load_model(
        config.model, device=config.device, dtype=config.dtype, cache_dir=config.cache_dir
    )
    resolved = resolve_hparams(
        config.editor,
        editor_class,
        model_name=config.model,
        shape=Architecture.of(loaded.model).shape(loaded.model),
        overrides=config.hparams,
    )
    observer.note(f"{config.editor} hyper-parameters: {resolved.source}")
    torch.manual_seed(config.seed)
    editor = editor_class(
        loaded.model,
        loaded.tokenizer,
        resolved.hparams,
        seed=config.seed,
        cache_dir=config.cache_dir,
        progress=observer.preparing,
    )
    loop = _Loop(suite, stream.cases[:num_edits], loaded, editor, tasks, journal, observer)
    with loop.preparing:
        prepared = editor.prepare()
    loop.originals = OriginalWeights(loaded.model, editor.edited_parameters())
    infos = _infos(config, suite, source, stream, loaded, editor, resolved, prepared, num_edits)
    facts = provenance.collect(loaded.model.device, started)
    journal.write_config(
        {
            "request": config.model_dump(mode="json", exclude={"cache_dir", "output"}),
            "suite_definition": suite.model_dump(),
            **{name: info.model_dump() for name, info in infos.items()},
            "provenance": facts,
        }
    )
    observer.started(num_edits, suite.score)
    loop.run(config.batch_size)
    result = _result(config, infos, facts, loop)
    return Outcome(result, journal.write_result(result.to_json()))


def _build_tasks(
    config: RunConfig, suite: Suite, source: Source, stream: EditStream, num_edits: int
) -> TaskSet:
    return TaskSet(
        sorted({*suite.each_edit, *suite.checkpoint.tasks}),
        metadata={
            "data_source": source.name,
            "data_dir": str(config.data_dir) if config.data_dir else None,
            "edits": stream.name,
            "sample": config.sample,
            "num_edits": num_edits,
        },
    )


class _Loop:
    """The run itself: state that grows with every edit."""

    originals: OriginalWeights

    def __init__(
        self,
        suite: Suite,
        cases: Sequence[EditCase],
        loaded: LoadedModel,
        editor: Editor,
        tasks: TaskSet,
        journal: Journal,
        observer: Observer,
    ) -> None:
        self.suite, self.cases, self.tasks = suite, cases, tasks
        self.loaded, self.editor, self.journal, self.observer = loaded, editor, journal, observer
        self.lm = SequentialEditLM(loaded)
        self.edits: list[Line] = []
        self.checkpoints: list[Line] = []
        device = loaded.model.device
        self.preparing, self.editing, self.evaluating = (_Clock(device) for _ in range(3))

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
        self.observer.measured(
            self.checkpoints[-1], {name: record.instant[-1] for name, record in retained.items()}
        )

    def _by_edit(
        self, results: dict[str, TaskResult], done: Sequence[EditCase]
    ) -> dict[str, list[float]]:
        """Return metrics of tasks that belong to edits, one value an edit, in their order."""
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
            metric: [sum(values) / len(values) for values in column if values]
            for metric, column in columns.items()
        }


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


def _infos(
    config: RunConfig,
    suite: Suite,
    source: Source,
    stream: EditStream,
    loaded: LoadedModel,
    editor: Editor,
    resolved: Resolved,
    prepared: dict[str, Any],
    num_edits: int,
) -> dict[str, Any]:
    """Return the parts of the result that are known before the first edit."""
    code = inspect.getsourcefile(type(editor))
    ids = ",".join(str(case.case_id) for case in stream.cases[:num_edits])
    return {
        "suite": SuiteInfo(name=suite.name, version=suite.version, sha256=suite.sha256),
        "editor": EditorInfo(
            name=config.editor,
            kind=editor.kind,
            needs=sorted(editor.needs),
            hparams=resolved.hparams.model_dump(mode="json"),
            hparams_source=resolved.source,
            code_sha256=file_sha256(Path(code)) if code else "",
            prepared=prepared,
        ),
        "model": ModelInfo(
            name=loaded.name,
            model_type=loaded.model.config.model_type,
            revision=loaded.revision,
            weights_sha256=loaded.weights_sha256,
            num_parameters=loaded.model.num_parameters(),
            dtype=config.dtype,
        ),
        "data": DataInfo(
            source=source.name,
            files_sha256=source.sha256,
            edits=stream.name,
            sample=stream.sample,
            order=stream.order,
            case_ids_sha256=hashlib.sha256(ids.encode()).hexdigest(),
        ),
        "protocol": ProtocolInfo(
            mode="instance-sequential" if config.batch_size == 1 else "batch-sequential",
            num_edits=num_edits,
            batch_size=config.batch_size,
            checkpoint_every=suite.checkpoint.every,
        ),
    }


def _result(config: RunConfig, infos: dict[str, Any], facts: dict[str, Any], loop: _Loop) -> Result:
    curves = summaries.curves(loop.edits, loop.checkpoints)
    seconds = loop.editing.total
    return Result(
        **infos,
        seed=config.seed,
        curves=curves,
        summary=summaries.summary(loop.edits, loop.checkpoints, curves, loop.suite.score),
        cost=Cost(
            edits_per_second=len(loop.edits) / seconds if seconds else 0.0,
            seconds_edit=seconds,
            seconds_evaluate=loop.evaluating.total,
            seconds_prepare=loop.preparing.total,
            peak_memory_bytes=provenance.peak_memory(loop.loaded.model.device),
            tokens_scored=loop.lm.scorer.tokens_scored,
        ),
        provenance=facts,
        journal_sha256=loop.journal.sha256(),
    )
