"""The one loop: edit a batch, evaluate what is due, write it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from ..editors import Editor
from ..leaderboards import Result
from ..leaderboards import summary as summaries
from ..leaderboards.plot import plot_run
from ..leaderboards.results import Cost, Ending
from ..tasks import EditCase, InputError
from . import provenance
from .attempt import Attempt, attempt
from .clock import Clock
from .collapse import collapse
from .config import RunConfig
from .journal import Journal
from .lm import SequentialEditLM
from .lmeval import TaskResult
from .model import LoadedModel, OriginalWeights, load_model
from .observer import Line, Observer, Silent
from .plan import Plan, make_plan
from .ready import make_ready
from .record import Record, describe
from .scorable import refuse_unscorable
from .single_edit import SingleEditor

MOST_REFUSED = 10
"""A run whose first edits, so many, are all refused has a mistake that is not theirs."""


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
    observer.started(len(plan.cases), plan.score)
    loop.run()
    result = loop.result(record)
    path = journal.write_result(result.to_json())
    plot_run(result, journal.folder)
    return Outcome(result, path)


def _prepare(plan: Plan, journal: Journal, observer: Observer) -> tuple[_Loop, Record]:
    """Load the model and get the editor ready."""
    config = plan.config
    for task, reason in plan.not_measured.items():
        observer.note(f"{task} is not measured: {reason}")
    observer.note(f"loading {config.model}")
    loaded = load_model(
        config.model,
        device=config.device,
        dtype=config.dtype,
        cache_dir=config.cache_dir,
        trust_remote_code=config.trust_remote_code,
    )
    ready = make_ready(config, plan.editor_class, loaded, observer)
    loop = _Loop(plan, loaded, ready.editor, journal, observer, ready.clock)
    refuse_unscorable(loop.lm, [*plan.cases, *(plan.single.cases if plan.single else ())])
    return loop, describe(plan, loaded, ready)


class _Loop:
    """The run itself: state that grows with every edit."""

    def __init__(
        self,
        plan: Plan,
        loaded: LoadedModel,
        editor: Editor,
        journal: Journal,
        observer: Observer,
        preparing: Clock,
    ) -> None:
        self.plan, self.suite, self.cases, self.tasks = plan, plan.suite, plan.cases, plan.tasks
        self.loaded, self.editor, self.journal, self.observer = loaded, editor, journal, observer
        self.lm = SequentialEditLM(
            loaded, seed=plan.config.seed, editor=editor, cache_gb=plan.config.cache_gb
        )
        self.originals = OriginalWeights(loaded.model, editor.edited_parameters())
        self.single = plan.single and SingleEditor(plan.single, editor, self.originals, self.lm)
        self.edits: list[Line] = []
        self.checkpoints: list[Line] = []
        self.single_edits: list[Line] = []
        self.stopped: str | None = None
        device = loaded.model.device
        self.preparing, self.editing, self.evaluating = preparing, Clock(device), Clock(device)

    def run(self) -> None:
        """Apply all edits in order, a batch at a time, evaluating on the way."""
        self._checkpoint(self.plan.due(0, 0))
        size = self.plan.batch_size
        for start in range(0, len(self.cases), size):
            self._edit(self.cases[start : start + size])
            last = self._stops()
            if names := self.plan.due(len(self.edits), start, last=last):
                self._checkpoint(names)
            if last:
                break
        # The sequence's own cost: what comes beside it is not counted.
        self.seconds = (self.editing.total, self.evaluating.total)
        if self.single and not self.stopped:
            self.single_edits = self.single.run(
                self.editing, self.evaluating, self.journal.append_single, self.observer.working
            )

    def _stops(self) -> bool:
        """Say whether the edits made so far are all there will be, though more were asked for.

        Raises:
            InputError: every one of them was refused: the mistake is not theirs.
        """
        done = len(self.edits)
        if done >= MOST_REFUSED and all("failed" in line for line in self.edits):
            raise InputError(
                f"none of the first {done} edits could be made, the first because "
                f"{self.edits[0]['failed']}"
            )
        first = self._collapsed() if self.plan.config.stop_on_collapse else None
        if first is not None and done < len(self.cases):
            self.stopped = f"collapse at edit {first['edit']}: {first['collapsed']}"
            self.observer.note(f"stopped after {done} edits: {self.stopped}")
        return self.stopped is not None

    def _collapsed(self) -> Line | None:
        return next((line for line in self.edits if "collapsed" in line), None)

    def _edit(self, batch: Sequence[EditCase]) -> None:
        self.loaded.model.eval()
        with self.editing:
            made = attempt(self.editor, [case.request for case in batch], window=self.lm.max_length)
        self.loaded.model.eval()
        with self.evaluating, self.editor.measured():
            found = self._ask(self.suite.each_edit, batch)
            distance = {name: value.l2 for name, value in self.originals.distances().items()}
        for case in batch:
            line = self._edit_line(case, made, found[case.case_id], distance, len(batch))
            self.edits.append(self.journal.append_edit(line))
            self.observer.edited(self.edits[-1])
        self.lm.interventions.clear()
        self._pass_news_on()

    def _pass_news_on(self) -> None:
        for text in self.lm.news():
            self.observer.note(text)

    def _edit_line(
        self,
        case: EditCase,
        made: Attempt,
        found: Line,
        distance: dict[str, float],
        batch: int,
    ) -> Line:
        request = case.request
        line: Line = {
            "edit": len(self.edits) + 1,
            "case_id": case.case_id,
            "relation_id": request.relation_id,
            "prompt": request.prompt,
            "subject": request.subject,
            "target_new": request.target_new,
            "target_true": request.target_true,
            **found,
            "editor": made.reports.get(case.case_id, {}),
            "update_norm": made.update_norms,
            "distance": distance,
            **self._interventions(case.case_id),
            "seconds": {
                "edit": self.editing.last / batch,
                "evaluate": self.evaluating.last / batch,
            },
        }
        if (reason := made.failed.get(case.case_id)) is not None:
            line["failed"] = reason
        if (reason := collapse(line)) is not None:
            line["collapsed"] = reason
        return line

    def _interventions(self, case_id: int | None = None) -> Line:
        """Return what an editor beside the weights did to this evaluation's requests, by task."""
        counts = self.lm.interventions.by_task(case_id)
        return {"interventions": counts} if counts else {}

    def _ask(self, names: Sequence[str], cases: Sequence[EditCase]) -> dict[int, Line]:
        """Evaluate tasks whose documents belong to edits; return what they gave by case."""
        found: dict[int, Line] = {
            case.case_id: {"metrics": {}, "per_prompt": {}, "texts": {}} for case in cases
        }
        results = self.tasks.evaluate(self.lm, names, list(found))
        for name, result in results.items():
            keep = self.tasks.keeps_texts(name)
            for case_id, each in result.by_case.items():
                found[case_id]["metrics"].update(each.metrics)
                found[case_id]["per_prompt"].update(each.per_prompt)
                if keep:
                    found[case_id]["texts"][name] = each.texts
        return found

    def _checkpoint(self, names: Sequence[str]) -> None:
        done = self.cases[: len(self.edits)]
        line: Line = {"edits": len(done)}
        with self.evaluating, self.editor.measured():
            if not done:
                first = self.cases[: self.suite.baseline_records]
                found = self._ask(self.suite.each_edit, first)
                line["baseline"] = [found[case.case_id]["metrics"] for case in first]
            results = self.tasks.evaluate(self.lm, names, [case.case_id for case in done])
            distances = self.originals.distances()
        line["edited"] = _by_edit(results, done)
        line["tasks"] = {
            name: result.metrics for name, result in results.items() if not result.by_case
        }
        line["texts"] = {
            name: result.texts()
            for name, result in results.items()
            if self.tasks.keeps_texts(name) and not result.by_case
        }
        line["distance"] = {name: asdict(value) for name, value in distances.items()}
        line.update(self._interventions())
        self.lm.interventions.clear()
        self._pass_news_on()
        line["seconds"] = {"evaluate": self.evaluating.last}
        self.checkpoints.append(self.journal.append_checkpoint(line))
        retained = summaries.retention_curves(self.edits, self.checkpoints)
        latest = {name: record.instant[-1] for name, record in retained.items()}
        self.observer.measured(
            self.checkpoints[-1],
            {name: share for name, share in latest.items() if share is not None},
        )

    def result(self, record: Record) -> Result:
        """Put the result of the finished run together, from its journal and what it cost."""
        edits, checkpoints, score = self.edits, self.checkpoints, self.plan.score
        curves = summaries.curves(edits, checkpoints, self.suite.smoothing)
        editing, evaluating = self.seconds
        return Result(
            **record._asdict(),
            ending=Ending(
                edits_done=len(edits),
                stopped=self.stopped,
                failed=sum("failed" in line for line in edits),
                collapsed_at=first["edit"] if (first := self._collapsed()) else None,
            ),
            curves=curves,
            summary=summaries.summary(edits, checkpoints, self.single_edits, curves, score),
            cost=Cost(
                edits_per_second=len(edits) / editing if editing else 0.0,
                seconds_edit=editing,
                seconds_evaluate=evaluating,
                seconds_prepare=self.preparing.total,
                peak_memory_bytes=provenance.peak_memory(self.loaded.model.device),
                tokens_scored=self.lm.tokens_run,
            ),
            journal_sha256=self.journal.sha256(),
        )


def _by_edit(
    results: dict[str, TaskResult], done: Sequence[EditCase]
) -> dict[str, list[float | None]]:
    """Return metrics of tasks that belong to edits, one value an edit, in their order.

    None where an edit's record has no prompt of the kind.
    """
    columns: dict[str, list[float | None]] = {}
    for result in results.values():
        for metric in dict.fromkeys(
            metric for each in result.by_case.values() for metric in each.metrics
        ):
            columns[metric] = [
                result.by_case[case.case_id].metrics.get(metric)
                if case.case_id in result.by_case
                else None
                for case in done
            ]
    return columns
