"""Whether a run that goes on is still the same run: what was asked, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ..leaderboards.analysis.journal import read_run
from ..leaderboards.differences import Difference, differences, listed
from ..tasks.errors import InputError
from .aliases import short_name
from .config import RunConfig
from .journal import CHECKPOINTS, EDITS, SINGLE_EDITS, Journal, finite, read_request
from .kept_model import refuse_too_late
from .observer import Observer
from .plan import Plan
from .record import code_sha256, describe_plan
from .recovery import Remains
from .storage import resume_command

_COMPARED = ("suite", "suite_definition", "editor", "model", "data", "protocol", "seed")
_COMPARED_OF = {
    "provenance": ("versions", "sources_sha256", "include_sha256", "device"),
    "request": ("stop_on_collapse",),
}
_WHAT = {EDITS: "edit", CHECKPOINTS: "checkpoint", SINGLE_EDITS: "single edit"}


class Changes:
    """Compares what a run was with what it would be now.

    Args:
        folder: The run directory, for messages.
        then: Its `config.json`.
        force: Go on all the same.
    """

    def __init__(self, folder: Path, then: dict[str, Any], *, force: bool) -> None:
        self._folder, self._then, self.force = folder, then, force
        self.found: list[Difference] = []
        """All that has changed, as far as it was checked."""

    def check(self, now: dict[str, Any]) -> None:
        """Compare a part of `config.json`, or all of it.

        Raises:
            InputError: something has changed; says what it was and what it is.
        """
        clean = json.loads(json.dumps(finite(now)))
        found = differences(_compared(self._then, clean), _compared(clean, clean))
        known = {each.key for each in self.found}
        self.found += [each for each in found if each.key not in known]
        if found and not self.force:
            raise InputError(
                f"{self._folder} cannot go on as the same run: {listed(found)}. Put that back, or "
                "go on all the same with --force, which the result will say"
            )


def _compared(config: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return what of a `config.json` must not change, where `asked` has that part."""
    parts = {key: config.get(key) for key in _COMPARED if key in asked}
    for part, keys in _COMPARED_OF.items():
        if part in asked:
            made = config.get(part)
            made = made if isinstance(made, dict) else {}
            parts[part] = {key: made.get(key) for key in keys}
    return parts


def refuse_another(folder: Path, plan: Plan) -> None:
    """Refuse to take a finished run for what is asked for now, where that is something else.

    No model is loaded for it: hyper-parameters are compared as they were asked for.

    Args:
        folder: The run directory.
        plan: What is asked for.

    Raises:
        InputError: it is something else; says what was asked for and what is.
    """
    config = plan.config
    asked = {
        **describe_plan(plan).config(),
        "editor": {"name": config.editor, "code_sha256": code_sha256(plan.editor_class)},
        "model": {"name": short_name(config.model), "dtype": config.dtype},
        "request": {"hparams": config.hparams, "stop_on_collapse": config.stop_on_collapse},
    }
    now, then = json.loads(json.dumps(asked)), read_run(folder).config
    for key, part in now.items():
        if isinstance(part, dict) and isinstance(then.get(key), dict):
            then[key] = {name: then[key].get(name) for name in part}
    if found := differences({key: then.get(key) for key in now}, now):
        raise InputError(
            f"{folder} holds a finished run of another request: {listed(found)}. "
            "Choose another --output"
        )
    if config.keep_model:
        refuse_too_late(folder)


class Replay:
    """Told where an edit that is made again comes out otherwise than the journal has it.

    Args:
        journal: The run directory.
        observer: Told once.
        entry: What the result will say of this resumption; it grows.
        strict: Whether that ends the run: on a CPU it cannot be. A GPU may round otherwise.
    """

    def __init__(
        self, journal: Journal, observer: Observer, entry: dict[str, Any], *, strict: bool
    ) -> None:
        self._journal, self._observer, self._entry = journal, observer, entry
        self._strict = strict

    def __call__(self, name: str, number: int, found: list[Difference]) -> None:
        what = f"{_WHAT[name]} {number}"
        if self._strict:
            raise InputError(
                f"{what} comes out otherwise than {self._journal.folder / name} has it: "
                f"{listed(found, 3)}. --force takes the new line, which the result will say"
            )
        first = "differing" not in self._entry
        differing = self._entry.setdefault("differing", [])
        differing.append({"file": name, "line": number, **found[0]._asdict()})
        self._journal.event("differs", file=name, line=number, **found[0]._asdict())
        if first:
            self._observer.note(f"{what} comes out otherwise than before: {listed(found, 3)}")


def earlier_request(folder: Path, remains: Remains | None, places: dict[str, Any]) -> RunConfig:
    """Return the request of a run that was stopped.

    Args:
        folder: The run directory.
        remains: What is left of it.
        places: Fields that are given now; None stands for what was.

    Raises:
        InputError: it is no request.
    """
    request = read_request(folder)
    if request is None:
        if remains is None:
            raise InputError(f"{folder} does not say what was asked for: start the run anew")
        request = remains.config["request"]
    given = {name: value for name, value in places.items() if value is not None}
    try:
        config = RunConfig.model_validate({**request, **given, "output": folder})
    except ValidationError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{folder}: its request cannot be read: {reason}") from None
    if unnamed := sorted(set(config.code()) - set(given)):
        # Whoever made the run directory wrote this: what it leads to is not run unasked.
        what = config.code()[unnamed[0]]
        raise InputError(
            f"{folder} uses {'code of its model' if what is True else what}, which runs as you: "
            f"name it again, with {resume_command(folder, config.code())}"
        )
    return config


def keep_threads(then: dict[str, Any], config: RunConfig) -> None:
    """Compute with as many threads as before: sums over other parts round otherwise."""
    threads = then["provenance"].get("threads")
    on_cpu = config.device == "cpu" or (config.device is None and not torch.cuda.is_available())
    if on_cpu and isinstance(threads, int) and 1 <= threads <= 1024:
        torch.set_num_threads(threads)
