"""The one loop: edit a batch, evaluate what is due, write it down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from ..editors._memory import Budget
from ..leaderboards import Result
from ..leaderboards import summary as summaries
from ..leaderboards.results import Cost
from ..tasks import EditCase, InputError
from .attempt import Attempt, attempt
from .clock import Clock
from .collapse import collapse
from .journal import JOURNALS, Journal
from .keeper import Costs, Keeper
from .kept_model import write_model
from .lm import SequentialEditLM
from .lmeval import TaskResult
from .model import LoadedModel, OriginalWeights
from .observer import Line, Observer
from .plan import Plan
from .ready import Ready
from .record import Record
from .recovery import Remains
from .saves import Position
from .single_edit import SingleEditor
from .snapshot import Snapshot
from .space import needed_bytes
from .stopping import Stopper
from .storage import resume_command
from .undeclared import Undeclared

MOST_REFUSED = 10
"""A run whose first edits, so many, are all refused has a mistake that is not theirs."""


class Loop:
    """The run itself: state that grows with every edit."""

    def __init__(
        self,
        plan: Plan,
        loaded: LoadedModel,
        ready: Ready,
        journal: Journal,
        observer: Observer,
    ) -> None:
        self.plan, self.suite, self.cases, self.tasks = plan, plan.suite, plan.cases, plan.tasks
        self.loaded, self.journal, self.observer = loaded, journal, observer
        self.editor = editor = ready.editor
        self.lm = SequentialEditLM(
            loaded, seed=plan.config.seed, editor=editor, cache_gb=plan.config.cache_gb
        )
        self.originals = OriginalWeights(loaded.model, editor.edited_parameters())
        self.undeclared = Undeclared(editor, plan.config.editor, ready.unedited)
        self.single = plan.single and SingleEditor(plan.single, editor, self.originals, self.lm)
        self.edits: list[Line] = []
        self.checkpoints: list[Line] = []
        self.single_edits: list[Line] = []
        self.stopped: str | None = None
        device = loaded.model.device
        self.editing, self.evaluating = Clock(device), Clock(device)
        self.costs = Costs(self.editing, self.evaluating, self.lm, ready.clock)
        command = resume_command(journal.folder, plan.config.code())
        self.keeper = Keeper(journal, self.originals, editor, self.undeclared, self.costs, command)

    def take_up(self, remains: Remains, done: dict[str, list[Line]]) -> None:
        """Put everything where an interrupted run left it.

        Args:
            remains: What is left of it.
            done: The lines of its journal up to there, by file.
        """
        self.edits, self.checkpoints, self.single_edits = (done[name] for name in JOURNALS)
        if remains.save and remains.manifest:
            self.keeper.take_up(remains.save, remains.manifest)

    def run(self, stopper: Stopper) -> None:
        """Go on to the end, a batch at a time, evaluating and saving on the way."""
        self.keeper.stopper = stopper
        self.observer.started(len(self.cases), self.plan.score, self.edits)
        last = self._stops()
        self._catch_up(last)
        size, every = self.plan.batch_size, self.plan.config.save_every
        for start in range(len(self.edits), 0 if last else len(self.cases), size):
            self._edit(self.cases[start : start + size])
            done, last = len(self.edits), self._stops()
            due = done // every > start // every or last or done == len(self.cases)
            names = self.plan.due(done, start, last=last)
            if names or not start:  # else it is seen before the next save
                self.undeclared.check()
            if names:
                self._save_if(due)  # measuring may take longer than many edits
                self._checkpoint(names)
            self._save_if(due)
            if last:
                break
        self.costs.end_of_sequence()
        if self.plan.config.keep_model and not self.single_edits:  # those restore it
            self._keep_model()
        if self.single and not self.stopped:
            self._single_edits(self.single, every)

    def _keep_model(self) -> None:
        with self.editor.measured():
            write_model(self.loaded, self.journal.folder)

    def _catch_up(self, last: bool) -> None:
        """Measure what is due where the run stands: before the first edit, or after the last."""
        done = len(self.edits)
        if self.checkpoints and self.checkpoints[-1]["edits"] == done:
            return
        before = max(0, done - 1) // self.plan.batch_size * self.plan.batch_size
        if (names := self.plan.due(done, before, last=last)) or not done:
            self._checkpoint(names)
            self._save_if(True)

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

    def _single_edits(self, single: SingleEditor, every: int) -> None:
        before = self.costs.so_far()
        single.begin(self.evaluating)
        if self.single_edits:  # was measured, and counted, before
            self.costs.set(before)
        for line in single.edits(self.editing, self.evaluating, start=len(self.single_edits)):
            self.single_edits.append(self.journal.append_single(line))
            done, total = len(self.single_edits), len(single.cases)
            self.observer.working(f"single {line['edits']} edits", done, total)
            self._save_if(done % every == 0)

    def _save_if(self, due: bool) -> None:
        position = Position(
            edits=len(self.edits),
            checkpoints=len(self.checkpoints),
            single_edits=len(self.single_edits),
        )
        self.keeper.save_if(due, position, self.done())

    def done(self) -> str:
        """Return how far the run has come, in words."""
        singles = f" and {len(self.single_edits)} single edits" if self.single_edits else ""
        return f"{len(self.edits)} of {len(self.cases)} edits{singles}"

    def needed_bytes(self) -> int:
        """Return about how many bytes the rest of the run will take."""
        done, weights = len(self.edits), self.originals.live()
        needed = needed_bytes(self.plan, self.editor, weights, done=done)
        if self.plan.config.keep_model:
            needed += sum(each.nbytes for each in self.loaded.model.parameters())
        return needed

    def _edit(self, batch: Sequence[EditCase]) -> None:
        self.loaded.model.eval()
        made = self._attempt(batch)
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

    def _attempt(self, batch: Sequence[EditCase]) -> Attempt:
        requests, relief = [case.request for case in batch], self.lm.give_back
        # Let go again before anything is measured.
        before = Budget(1, "edit", relief).once(lambda: Snapshot(self.editor))
        with self.editing:
            return attempt(
                self.editor, requests, before=before, window=self.lm.max_length, relief=relief
            )

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
        retained = summaries.retention_curves(self.edits, self.checkpoints[-1:])
        latest = {name: record.instant[-1] for name, record in retained.items()}
        self.observer.measured(
            self.checkpoints[-1],
            {name: share for name, share in latest.items() if share is not None},
        )

    def result(self, record: Record) -> Result:
        """Put the result of the finished run together, from its journal and what it cost."""
        edits, checkpoints, score = self.edits, self.checkpoints, self.plan.score
        curves = summaries.curves(edits, checkpoints, self.suite.smoothing)
        counters = self.costs.so_far()
        editing, evaluating = counters.sequence or (0.0, 0.0)
        return Result(
            **record._asdict(),
            ending=summaries.ending(edits, self.stopped),
            curves=curves,
            summary=summaries.summary(edits, checkpoints, self.single_edits, curves, score),
            cost=Cost(
                edits_per_second=len(edits) / editing if editing else 0.0,
                seconds_edit=editing,
                seconds_evaluate=evaluating,
                seconds_prepare=counters.seconds_prepare,
                peak_memory_bytes=counters.peak_memory,
                tokens_scored=counters.tokens,
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
