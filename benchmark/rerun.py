"""A run opened again: its data, model and editor, checked to be the ones it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..editors import Editor
from ..editors._locate import encode_strings
from ..leaderboards.analysis.journal import RunJournal
from ..tasks import InputError
from ..tasks.sources import data_folder
from .config import RunConfig
from .model import LoadedModel
from .observer import Observer
from .plan import Plan, include_folders, make_plan
from .provenance import sources_sha256
from .ready import Ready, load_for, make_ready
from .record import code_sha256

TEMPLATES = "context_templates"
"""Of what an editor leaves on record, and of what it remembers."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """What a run had in hand before its first edit."""

    plan: Plan
    loaded: LoadedModel
    editor: Editor
    """Prepared, with the run's own context templates."""
    draws_templates: bool
    """Whether the editor draws context templates at all."""


def open_rerun(run: RunJournal, observer: Observer, **location: Path | str | bool | None) -> Rerun:
    """Open a run again.

    Args:
        run: The run.
        observer: Told what is going on.
        location: Fields of the request that say where things are on this machine, as far as they
            are given; code that the run used is only run if it is among them.

    Raises:
        InputError: model, data, editor or hyper-parameters are not those of the run, or it used
            code that was not named again.
    """
    config = _config(run, location)
    if config.include_path is not None:
        if not run.config["request"].get("include_path"):
            raise InputError(f"--include-path: {run.folder} used no task files of its own")
        now = sources_sha256(*map(Path, include_folders(config)))
        _same(run, "task files", now, _of(run, "provenance", "include_sha256"))
    plan = make_plan(config)
    if config.editor_path is not None:
        now = code_sha256(plan.editor_class)
        _same(run, "lines of the editor's code", now, _of(run, "editor", "code_sha256"))
    _same(run, "data", plan.files_sha256, _of(run, "data", "files_sha256"))
    for line, case in zip(run.edits, plan.cases, strict=False):
        if line.case_id != case.case_id:
            raise InputError(
                f"{run.folder}: edit {line.edit} was fact {line.case_id}, and would be "
                f"{case.case_id} now: the order of the data has changed"
            )
    loaded = load_for(config)
    _same(run, "model weights", loaded.weights_sha256, _of(run, "model", "weights_sha256"))
    ready = make_ready(config, plan.editor_class, loaded, observer)
    found = ready.resolved.hparams.model_dump(mode="json")
    _same(run, "hyper-parameters", found, _of(run, "editor", "hparams"))
    recorded = _of(run, "editor", "prepared").get(TEMPLATES)
    put_back_templates(ready, recorded, observer)
    return Rerun(plan, loaded, ready.editor, recorded is not None)


def put_back_templates(ready: Ready, recorded: Any, observer: Observer) -> None:
    """Give an editor the context templates of a run; None where it had none.

    The same seed draws other texts on another machine.
    """
    if recorded is not None and recorded != ready.record.get(TEMPLATES):
        observer.note("context templates differ from the run's: its recorded ones are used")
        state = ready.editor.state_dict()
        ready.editor.load_state_dict({**state, **encode_strings(TEMPLATES, recorded)})


def _config(run: RunJournal, location: Mapping[str, Any]) -> RunConfig:
    request = run.config.get("request")
    if not isinstance(request, dict):
        raise InputError(f"{run.folder}: config.json does not say what was asked for")
    folder = data_folder(_of(run, "data", "source"), location.get("data_dir"))
    places = {**location, "data_dir": folder}
    given = {name: value for name, value in places.items() if value is not None}
    try:
        config = RunConfig(**{**request, **given})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{run.folder}: config.json, {first['loc'][0]}: {first['msg']}") from None
    if unnamed := sorted(set(config.code()) - set(given)):
        # Whoever made the run directory wrote this: what it leads to is not run unasked.
        options = ", ".join(f"--{name.replace('_', '-')}" for name in unnamed)
        raise InputError(
            f"{run.folder} uses code of its own, which runs as you: read it, and if you trust it "
            f"name it again with {options}"
        )
    return config


def _of(run: RunJournal, part: str, name: str) -> Any:
    found = run.config.get(part)
    value = found.get(name) if isinstance(found, dict) else None
    if value is None:
        raise InputError(f"{run.folder}: config.json has no {part}.{name}")
    return value


def _same(run: RunJournal, what: str, now: Any, then: Any) -> None:
    """Refuse what would not be the same run.

    Raises:
        InputError: the two differ.
    """
    if now == then:
        return
    where = ""
    if isinstance(now, dict) and isinstance(then, dict):
        names = sorted(name for name in {*now, *then} if now.get(name) != then.get(name))
        where = f" ({', '.join(names)})"
    raise InputError(f"{run.folder}: {what} are not those of the run{where}")
