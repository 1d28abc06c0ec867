"""A run from its request to its result: begun, or gone on with where it was stopped."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..editors import Editor
from ..editors._memory import OutOfMemory, is_out_of_memory
from ..leaderboards import Result, read_result
from ..leaderboards.plot import plot_run
from ..tasks import InputError
from .changes import Changes, Replay, earlier_request, keep_threads, refuse_another
from .config import RunConfig
from .journal import CONFIG, RESULT, Journal, has_run
from .kept_model import refuse_too_late
from .loop import Loop
from .observer import Observer, Silent
from .plan import Plan, make_plan
from .ready import load_for, make_ready
from .record import Record, describe, describe_model, describe_plan
from .recovery import Remains, look, settle
from .saves import Saves
from .scorable import refuse_unscorable
from .space import check_space, megabytes
from .stopping import Stopper
from .storage import StorageError, digest_of


class Outcome(NamedTuple):
    """What a finished run leaves."""

    result: Result
    path: Path
    """Its `leaderboard.json`."""


def run(
    config: RunConfig,
    observer: Observer | None = None,
    *,
    resume: bool = False,
    force: bool = False,
) -> Outcome:
    """Edit a model fact after fact and measure it as the suite says.

    Nothing that is there already is overwritten, and a run that is refused leaves nothing behind.

    Args:
        config: What to run.
        observer: Told how it goes.
        resume: Go on with the run in `config.output` if there is one, as `resume_run` does; a
            finished one must be of this request.
        force: With `resume`: whatever has changed since.

    Raises:
        InputError: something in the request cannot be done; says what and what to do.
        StorageError: a write failed; what was done is intact.
        Interrupted: a signal came; what was done is saved.
    """
    observer = observer or Silent()
    if resume:
        if config.output is None:
            raise InputError("--resume needs --output, the run directory to go on in")
        if has_run(config.output):
            return resume_run(config.output, observer, force=force, config=config)
    plan = make_plan(config)
    return _begin(plan, Journal(plan.output), observer)


def resume_run(
    folder: Path,
    observer: Observer | None = None,
    *,
    force: bool = False,
    from_start: bool = False,
    config: RunConfig | None = None,
    **places: Any,
) -> Outcome:
    """Go on with a run that was stopped, however it was, as if it had never been.

    Edits that were made after the last save are made again and compared with the journal.

    Args:
        folder: The run directory.
        observer: Told how it goes.
        force: Go on whatever has changed since, and have the result say what.
        from_start: Trust no save: make all edits again.
        config: What is asked for now; None asks for the same as before.
        places: Fields of the request that say where things are (`data_dir`, `device`, ...), where
            they have moved.

    Raises:
        InputError: something has changed, or is damaged; says what.
        StorageError: a write failed; what was done is intact.
        Interrupted: a signal came; what was done is saved.
    """
    observer = observer or Silent()
    if not has_run(folder):
        raise InputError(f"{folder} holds no run that could go on")
    saves = Saves(folder)
    if (folder / RESULT).exists():
        if config is not None:
            refuse_another(folder, make_plan(config))
        result = read_result(folder)
        observer.note(f"{folder} is finished: there is nothing to go on with")
        saves.remove()
        return Outcome(result, folder / RESULT)
    journal = Journal(folder, reopen=True)
    try:
        remains = look(journal, saves, from_start=from_start)
        plan = make_plan(config or earlier_request(folder, remains, places))
        if remains is None:
            observer.note("it was stopped before its first edit: it starts anew")
            return _begin(plan, journal, observer)
        changes = Changes(journal.folder, remains.config, force=force)
        request = plan.config.model_dump(mode="json")
        changes.check({**describe_plan(plan).config(), "request": request})
        if config is not None and config.keep_model and remains.position.single_edits:
            refuse_too_late(folder)
        keep_threads(remains.config, plan.config)
        loop, record = _prepare(plan, journal, observer, changes)
        changes.check(record.config(plan))
        with _told(loop):
            settle(journal, saves, remains)
            return _finish(loop, _take_up(loop, record, remains, changes))
    finally:
        journal.close()


def _begin(plan: Plan, journal: Journal, observer: Observer) -> Outcome:
    try:
        journal.write_request(plan.config.anywhere())
        loop, record = _prepare(plan, journal, observer)
        check_space(journal.folder, loop.needed_bytes())
    except InputError:
        journal.discard()
        raise
    except BaseException:
        journal.close()
        raise
    with _told(loop):
        journal.write_config(record.config(plan))
        journal.event("started", config=list(digest_of(journal.folder / CONFIG)))
        return _finish(loop, record)


def _prepare(
    plan: Plan, journal: Journal, observer: Observer, changes: Changes | None = None
) -> tuple[Loop, Record]:
    """Load the model and get the editor ready."""
    config = plan.config
    if not journal.lock.works:
        observer.note(f"{journal.folder}: no locks here; let no second process run in it")
    for task, reason in plan.not_measured.items():
        observer.note(f"{task} is not measured: {reason}")
    observer.note(f"loading {config.model}")
    loaded = load_for(config)
    if changes:
        changes.check({"model": describe_model(plan, loaded).model_dump()})
    ready = make_ready(config, plan.editor_class, loaded, observer)
    _must_be_tensors(config.editor, ready.editor)
    loop = Loop(plan, loaded, ready, journal, observer)
    refuse_unscorable(loop.lm, [*plan.cases, *(plan.single.cases if plan.single else ())])
    return loop, describe(plan, loaded, ready)


def _must_be_tensors(name: str, editor: Editor) -> None:
    for key, value in editor.state_dict().items():
        if not isinstance(value, Tensor):
            raise InputError(
                f"state_dict of {name} holds a {type(value).__name__} under {key!r}: "
                "what an editor remembers is saved as tensors"
            )


def _finish(loop: Loop, record: Record) -> Outcome:
    """Go through all edits, and put the result together."""
    journal = loop.journal
    with Stopper(loop.observer) as stopper:
        loop.run(stopper)
    journal.end()
    result = loop.result(record)
    path = journal.write_result(result.to_json())
    journal.event("finished")
    loop.keeper.saves.remove()
    try:
        plot_run(result, journal.folder)
    except Exception as error:  # of a library as much as of the disk: the run itself is done
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        again = shlex.join(["seqedit-bench", "plot", str(journal.folder)])
        loop.observer.note(f"its curves were not drawn ({reason}): {again} draws them")
    return Outcome(result, path)


@contextmanager
def _told(loop: Loop) -> Iterator[None]:
    """Write down why a run fails, say how to go on, and let others in."""
    journal = loop.journal
    try:
        yield
    except StorageError as error:
        with suppress(StorageError):
            journal.event("failed", reason=str(error))
        raise StorageError(
            f"{error}: what was done is intact; make room (about {megabytes(loop.needed_bytes())} "
            f"are needed) and go on with: {loop.keeper.command}"
        ) from error
    except Exception as error:
        with suppress(StorageError):
            journal.event("failed", reason=f"{type(error).__name__}: {error}")
        if isinstance(error, OutOfMemory) or is_out_of_memory(error):
            raise OutOfMemory(
                error.when if isinstance(error, OutOfMemory) else "in a run",
                "go on with nothing kept beside the model, where other programs leave more of it, "
                f"with: {loop.keeper.command} --cache-gb 0; another kind of device, another "
                "--dtype, a smaller --batch-size or a smaller model makes a new run",
            ) from error
        raise
    finally:
        journal.close()


def _take_up(loop: Loop, record: Record, remains: Remains, changes: Changes) -> Record:
    """Put a loop where a run was stopped, and say so; return what is known of that run."""
    journal, observer, position = loop.journal, loop.observer, remains.position
    entry: dict[str, Any] = {
        "edits": position.edits,
        "single_edits": position.single_edits,
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "forced": [each._asdict() for each in changes.found],
    }
    strict = loop.loaded.model.device.type == "cpu" and not changes.force
    replay = Replay(journal, observer, entry, strict=strict)
    loop.take_up(remains, journal.go_on(remains.starts, replay))
    entry["replayed"] = journal.waiting
    earlier = remains.manifest.resumed if remains.manifest else []
    loop.keeper.resumed = [*earlier, entry]
    for note in remains.notes:
        observer.note(note)
        journal.event("recovered", note=note)
    journal.event("resumed", **entry)
    again = f", {journal.waiting} later lines are made again" if journal.waiting else ""
    observer.note(f"going on after {loop.done()}{again}")
    return record._replace(
        provenance={**remains.config["provenance"], "resumed": loop.keeper.resumed}
    )
