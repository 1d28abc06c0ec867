"""Edits of a run, made again as the first edit of the pristine model (the paper's Table 2).

With the run's own context templates, and with fresh ones: whether a fact disables a model can
depend on which were drawn. Beside them, random facts as first edits: what is normal.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..editors import Editor
from ..leaderboards.analysis.analyse import analyse
from ..leaderboards.analysis.constants import Constants
from ..leaderboards.analysis.disabling import candidates
from ..leaderboards.analysis.journal import REPLAYS, RunJournal
from ..leaderboards.analysis.series import F1
from ..tasks import EditCase, InputError
from .clock import Clock
from .ledger import Ledger
from .lm import SequentialEditLM
from .model import OriginalWeights
from .observer import Line, Observer, Silent
from .pristine import Pristine
from .ready import make_ready
from .rerun import Rerun, open_rerun

_RANDOM_SEED = 37


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much is replayed."""

    controls: int = 100
    """Random first edits."""
    fresh: int = 5
    """Fresh sets of templates for each candidate."""
    candidates: int = 10
    """Edits of the run, at most."""
    downstream: bool = True
    """Whether downstream tasks are asked after each candidate, with the run's templates."""


def replay(
    run: RunJournal,
    wanted: Wanted,
    constants: Constants,
    observer: Observer,
    **location: Path | str | bool | None,
) -> Path:
    """Replay edits of a run; what is there already is not made again.

    Args:
        run: The run.
        wanted: How much.
        constants: Thresholds, which choose the candidates.
        observer: Told how far this has come.
        location: As for `open_rerun`.

    Returns:
        The file of replays, in the run directory.

    Raises:
        InputError: model, data, editor or hyper-parameters are not those of the run.
    """
    rerun = open_rerun(run, observer, **location)
    ledger = Ledger(run.folder / REPLAYS)
    done = {(line["kind"], line["case_id"], line["draw"]) for line in ledger.lines}
    chosen = candidates(run, analyse(run, constants), wanted.candidates)
    jobs = [job for job in _jobs(rerun, chosen, wanted) if job.key not in done]
    session = _Session(rerun, wanted.downstream)
    # A fresh set of templates takes a new preparation: all facts of one set together.
    for number, job in enumerate(sorted(jobs, key=lambda job: job.draw), start=1):
        ledger.append(session.make(job))
        observer.working("first edits", number, len(jobs))
    return ledger.path


@dataclass(frozen=True, slots=True)
class _Job:
    """One first edit to make."""

    kind: str
    case: EditCase
    edit: int | None
    draw: int

    @property
    def key(self) -> tuple[str, int, int]:
        return self.kind, self.case.case_id, self.draw


def _jobs(rerun: Rerun, chosen: Sequence[int], wanted: Wanted) -> Iterator[_Job]:
    """Yield what is to be made: candidates, with fresh templates too, then controls."""
    cases = rerun.plan.cases
    for edit in chosen:
        yield _Job("recorded", cases[edit - 1], edit, 0)
        for draw in range(1, wanted.fresh + 1) if rerun.draws_templates else ():
            yield _Job("fresh", cases[edit - 1], edit, draw)
    taken = {cases[edit - 1].case_id for edit in chosen}
    # All are shuffled: with one candidate more, the controls that are there already stay.
    drawn = list(rerun.plan.stream.cases)
    random.Random(_RANDOM_SEED).shuffle(drawn)
    left = [case for case in drawn if case.case_id not in taken]
    if len(left) < wanted.controls:
        raise InputError(f"--controls {wanted.controls}: the data has only {len(left)} other facts")
    for case in left[: wanted.controls]:
        yield _Job("control", case, None, 0)


class _Session:
    """The model in memory, and the editor with the templates of the draw at hand."""

    def __init__(self, rerun: Rerun, downstream: bool) -> None:
        self._rerun = rerun
        self._originals = OriginalWeights(rerun.loaded.model, rerun.editor.edited_parameters())
        self._clock = Clock(rerun.loaded.model.device)
        self._draw = 0
        self._take(rerun.editor)
        tasks = rerun.plan.tasks
        asked = [*rerun.plan.checkpoint, *rerun.plan.suite.start_end]
        self._tasks = [
            name
            for name in dict.fromkeys(asked)
            if downstream and name not in tasks.empty and F1 in tasks.metrics_of(name)
        ]
        self._each = [name for name in rerun.plan.suite.each_edit if name not in tasks.empty]
        self._unedited: dict[str, Line] | None = None

    def _take(self, editor: Editor) -> None:
        config = self._rerun.plan.config
        self._lm = SequentialEditLM(self._rerun.loaded, seed=config.seed, editor=editor)
        self._pristine = Pristine(editor, self._originals, window=self._lm.max_length)

    def make(self, job: _Job) -> Line:
        """Make one first edit; return its line."""
        if job.draw != self._draw:
            config = self._rerun.plan.config
            other = config.model_copy(update={"seed": config.seed + 1000 * job.draw})
            ready = make_ready(other, self._rerun.plan.editor_class, self._rerun.loaded, Silent())
            self._draw = job.draw
            self._take(ready.editor)
        request = job.case.request
        line: Line = {
            "kind": job.kind,
            "case_id": job.case.case_id,
            "edit": job.edit,
            "draw": job.draw,
            "prompt": request.prompt,
            "subject": request.subject,
            "target_new": request.target_new,
        }
        measured = job.kind == "recorded"
        if measured:
            line |= self._before(job.case)
        with self._pristine.edited(request, self._clock) as first:
            line |= first.as_line() | {"distance": self._pristine.distances()}
            if measured:
                line |= self._after(job.case)
        return line

    def _before(self, case: EditCase) -> Line:
        """Ask the pristine model."""
        if self._unedited is None:
            found = self._rerun.plan.tasks.evaluate(self._lm, self._tasks, [])
            self._unedited = {name: result.metrics for name, result in found.items()}
        return {"unedited_tasks": self._unedited, "texts_before": self._ask(case)["texts"]}

    def _after(self, case: EditCase) -> Line:
        found = self._rerun.plan.tasks.evaluate(self._lm, self._tasks, [])
        return {
            **self._ask(case),
            "tasks": {name: result.metrics for name, result in found.items()},
        }

    def _ask(self, case: EditCase) -> Line:
        """Ask about the fact itself."""
        metrics: dict[str, float] = {}
        texts: dict[str, list[str]] = {}
        tasks = self._rerun.plan.tasks
        for name, result in tasks.evaluate(self._lm, self._each, [case.case_id]).items():
            for each in result.by_case.values():
                metrics |= each.metrics
                if tasks.keeps_texts(name):
                    texts[name] = each.texts
        return {"metrics": metrics, "texts": texts}
