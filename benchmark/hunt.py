"""The hunt for disabling edits: many facts, each as a single edit of the restored model.

Nothing is asked of the model on the way; only the facts at the top of the list are edited again
and measured.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..editors import Editor, get_editor, load_editor_file
from ..editors._rank_one import RankOneEditor
from ..leaderboards.analysis.constants import Constants
from ..leaderboards.analysis.journal import HUNTED, SCREENED
from ..tasks import EditCase, InputError
from ..tasks.edits import EditStream, load_stream
from ..tasks.sources import Source, recording
from .clock import Clock
from .config import RunConfig
from .hunt_folder import CONFIG, as_json, claim
from .hunt_summary import summarise, to_measure
from .journal import finite, write_whole
from .ledger import Ledger, read_ledger
from .lm import SequentialEditLM
from .lmeval import TaskSet
from .model import LoadedModel, OriginalWeights
from .observer import Line, Observer
from .plan import include_folders
from .pristine import Pristine
from .provenance import sources_sha256
from .ready import load_for, make_ready
from .record import code_sha256
from .suite import load_suite

TOP, SUMMARY = "top.jsonl", "hunt.json"
_RANDOM_SEED = 37
_SHARED = ("model", "data", "edits", "sample")
"""What two hunts must have in common for one to edit the facts that the other looked at."""

Factors = dict[int, float | None]
"""Division factors by case; None where one was no number."""


@dataclass(frozen=True, slots=True)
class Hunt:
    """What to hunt for, beside the fields of `RunConfig` that say with what."""

    config: RunConfig
    """Of it: editor, model, data, edits, sample, seed, hparams, downstream, device, cache."""
    num: int | None = None
    """Facts to try; None takes all."""
    screen: int | None = None
    """Look at the keys of all facts first, and edit only so many with the least division factor."""
    screened_by: Path | None = None
    """Folder of another hunt whose look at the keys decides, so that both edit the same facts."""
    controls: int = 20
    """Random facts to edit beside those that were screened, which are anything but usual."""
    top: int = 10
    """Facts to measure."""


@dataclass(frozen=True, slots=True)
class Found:
    """The end of a hunt."""

    folder: Path
    summary: dict[str, Any]
    """As in `hunt.json`."""


def hunt(wanted: Hunt, observer: Observer, constants: Constants | None = None) -> Found:
    """Hunt, or go on where a hunt was stopped.

    Raises:
        InputError: something cannot be found, or the folder holds a hunt for something else.
    """
    config, constants = wanted.config, constants or Constants()
    if config.editor_path is not None:
        load_editor_file(config.editor_path)
    editor_class = get_editor(config.editor)
    source = Source.choose(config.data_source, config.data_dir)
    with recording() as digests:
        stream = load_stream(source, config.edits or "counterfact", sample=config.sample)
    cases = stream.cases[: wanted.num or len(stream.cases)]
    suite = load_suite(config.suite)
    names = list(dict.fromkeys([*suite.each_edit, *config.downstream]))
    with recording() as asked_of:
        tasks = _tasks(names, config, source, stream, len(cases))
    loaded = load_for(config)
    ready = make_ready(config, editor_class, loaded, observer)
    if not ready.editor.edited_parameters():
        raise InputError(f"editor {config.editor!r} changes no weights: there is nothing to hunt")
    what = {
        "editor": config.editor,
        "hparams": ready.resolved.hparams.model_dump(mode="json"),
        "code_sha256": code_sha256(editor_class),
        "prepared": ready.record,
        "model": loaded.weights_sha256,
        "dtype": config.dtype,
        "data": digests,
        "edits": stream.name,
        "sample": stream.sample,
        "seed": config.seed,
        "suite": suite.sha256,
    }
    asked = {
        "downstream": config.downstream,
        "downstream_limit": config.downstream_limit,
        "task_files": sources_sha256(*map(Path, include_folders(config))),
        "data": asked_of,
    }
    factors = _factors(wanted, what, cases, ready.editor)
    folder = config.output or Path("runs", "hunt", loaded.name, config.editor)
    claim(folder, what)
    pack = _Pack(loaded, ready.editor, _Asked(tasks, names, as_json(asked)), folder, observer)
    chosen = usual = list(cases)
    if wanted.screen is not None:
        factors = factors or pack.screen(cases)
        chosen = sorted(cases, key=lambda case: abs(factors[case.case_id] or 0.0))[: wanted.screen]
        usual = _controls(cases, chosen, wanted.controls)
    lines = pack.edit(list(dict.fromkeys([*chosen, *usual])))
    top = pack.measure(to_measure(lines, wanted.top), {case.case_id: case for case in cases})
    ids = {case.case_id for case in usual}
    normal = [line for line in lines if line["case_id"] in ids]
    summary = summarise(lines, normal, top, len(cases), constants)
    write_whole(folder / SUMMARY, json.dumps(finite(summary), indent=2) + "\n")
    return Found(folder, summary)


def _factors(
    wanted: Hunt, what: dict[str, Any], cases: Sequence[EditCase], editor: Editor
) -> Factors:
    """Return the division factors of another hunt; none where this one has to find its own.

    Raises:
        InputError: nobody can find them, or the other hunt is not of these facts and this model.
    """
    folder = wanted.screened_by
    if folder is None:
        if wanted.screen is not None and not isinstance(editor, RankOneEditor):
            raise InputError(
                f"--screen: editor {wanted.config.editor!r} has no division factor: take those of "
                "a hunt that has, by --screened-by FOLDER"
            )
        return {}
    if wanted.screen is None:
        raise InputError("--screened-by: say by --screen how many of its facts to edit")
    try:
        other = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        unlike = [name for name in _SHARED if other[name] != what[name]]
        screened = read_ledger(folder / SCREENED)
    except InputError:
        raise
    except (OSError, ValueError, LookupError, TypeError):
        raise InputError(f"--screened-by {folder}: no hunt with --screen is there") from None
    if unlike:
        raise InputError(f"--screened-by {folder}: that hunt has other {', '.join(unlike)}")
    factors = {line["case_id"]: line["division_factor"] for line in screened}
    missing = sum(case.case_id not in factors for case in cases)
    if missing:
        raise InputError(
            f"--screened-by {folder}: the keys of {missing} of {len(cases)} facts were not looked "
            "at there: let it finish with --screen, or ask for fewer by --num"
        )
    return factors


def _tasks(
    names: Sequence[str], config: RunConfig, source: Source, stream: EditStream, num_edits: int
) -> TaskSet:
    """Build the tasks for the facts at the top: about the fact itself, and downstream ones."""
    metadata = {
        "data_source": source.name,
        "data_dir": str(config.data_dir) if config.data_dir else None,
        "edits": stream.name,
        "sample": config.sample,
        "num_edits": num_edits,
    }
    limit = config.downstream_limit
    return TaskSet(
        names,
        metadata=metadata,
        include=include_folders(config),
        limits={name: limit for name in config.downstream} if limit else {},
    )


class _Asked(NamedTuple):
    """What is asked of the facts at the top."""

    tasks: TaskSet
    names: Sequence[str]
    record: Line
    """What of it can change from one call to the next; edits do not depend on it."""


class _Pack:
    """The model in memory, and the files that grow."""

    def __init__(
        self,
        loaded: LoadedModel,
        editor: Editor,
        asked: _Asked,
        folder: Path,
        observer: Observer,
    ) -> None:
        originals = OriginalWeights(loaded.model, editor.edited_parameters())
        self._lm, self._editor = SequentialEditLM(loaded, editor=editor), editor
        self._pristine = Pristine(editor, originals, window=self._lm.max_length)
        self._asked = asked
        self._folder, self._observer = folder, observer
        self._clock = Clock(loaded.model.device)

    def screen(self, cases: Sequence[EditCase]) -> Factors:
        """Return the division factor of every fact, from its keys alone."""
        assert isinstance(self._editor, RankOneEditor)
        ledger = Ledger(self._folder / SCREENED)
        factors = {line["case_id"]: line["division_factor"] for line in ledger.lines}
        for number, case in enumerate(cases, start=1):
            if case.case_id not in factors:
                factor = self._editor.division_factor(case.request)
                line = {"case_id": case.case_id, "division_factor": factor}
                factors[case.case_id] = ledger.append(line)["division_factor"]
            self._observer.working("keys", number, len(cases))
        return factors

    def edit(self, cases: Sequence[EditCase]) -> list[Line]:
        """Make each fact the only edit; return their lines, those of an earlier start included."""
        ledger = Ledger(self._folder / HUNTED)
        done = {line["case_id"]: line for line in ledger.lines}
        for number, case in enumerate(cases, start=1):
            if case.case_id not in done:
                with self._pristine.edited(case.request, self._clock) as first:
                    line = {
                        **_fact(case),
                        **first.as_line(),
                        "distance": self._pristine.distances(),
                        "seconds": self._clock.last,
                    }
                done[case.case_id] = ledger.append(line)
            self._observer.working("single edits", number, len(cases))
        return [done[case.case_id] for case in cases]

    def measure(self, lines: Sequence[Line], cases: dict[int, EditCase]) -> list[Line]:
        """Edit the facts at the top once more, and ask before and after."""
        ledger = Ledger(self._folder / TOP)
        tasks, names, asked = self._asked
        done = {line["case_id"]: line for line in ledger.lines if line.get("asked") == asked}
        missing = [line for line in lines if line["case_id"] not in done]
        ids = [line["case_id"] for line in missing]
        before = tasks.evaluate(self._lm, names, ids) if missing else {}
        for number, line in enumerate(missing, start=1):
            case = cases[line["case_id"]]
            with self._pristine.edited(case.request, self._clock):
                after = tasks.evaluate(self._lm, names, [case.case_id])
            measured = {
                **line,
                "asked": asked,
                "unedited": _answers(before, case.case_id, tasks),
                "edited": _answers(after, case.case_id, tasks),
            }
            done[case.case_id] = ledger.append(measured)
            self._observer.working("measured", number, len(missing))
        return [done[line["case_id"]] for line in lines]


def _fact(case: EditCase) -> Line:
    request = case.request
    return {
        "case_id": case.case_id,
        "prompt": request.prompt,
        "subject": request.subject,
        "target_new": request.target_new,
        "target_true": request.target_true,
    }


def _answers(results: dict[str, Any], case_id: int, tasks: TaskSet) -> Line:
    """Return what tasks gave: about one fact, or in full."""
    metrics: dict[str, float] = {}
    texts: dict[str, list[str]] = {}
    by_task: dict[str, dict[str, float]] = {}
    for name, result in results.items():
        if case_id in result.by_case:
            metrics |= result.by_case[case_id].metrics
            if tasks.keeps_texts(name):
                texts[name] = result.by_case[case_id].texts
        elif not result.by_case:
            by_task[name] = result.metrics
    return {"metrics": metrics, "tasks": by_task, "texts": texts}


def _controls(cases: Sequence[EditCase], chosen: Sequence[EditCase], most: int) -> list[EditCase]:
    """Draw random facts that were not chosen; all there are, if there are fewer."""
    taken = {case.case_id for case in chosen}
    left = [case for case in cases if case.case_id not in taken]
    return random.Random(_RANDOM_SEED).sample(left, min(most, len(left))) or list(chosen)
