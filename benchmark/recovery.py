"""What is left of a run that stopped: where it can go on, and what of it is damaged.

Looking changes nothing. What is damaged is set aside, never removed, and only once it is certain
that the run goes on.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..tasks.errors import InputError
from .journal import CONFIG, EVENTS, JOURNALS, Journal
from .saves import Manifest, Position, Save, Saves
from .storage import Damaged, Digest, cut, digest_of, resume_command, size_of, write_whole


@dataclass(slots=True)
class Remains:
    """Where a run goes on, and what was found on the way."""

    config: dict[str, Any]
    """Its `config.json`."""
    config_text: str
    save: Save | None = None
    """The newest save that is whole and fits the journal; None: from the first edit on."""
    manifest: Manifest | None = None
    damaged: list[tuple[Save, str]] = field(default_factory=list)
    """Newer saves, and what is wrong with them."""
    passed_over: list[Save] = field(default_factory=list)
    """Whole saves that are not wanted."""
    doubtful: list[str] = field(default_factory=list)
    """Journal files that are not what a save says of them."""
    torn: dict[str, int] = field(default_factory=dict)
    """Bytes of a last line that was not finished, by journal file."""
    spoilt: list[str] = field(default_factory=list)
    """Journal files with something that is no line, behind the save."""
    notes: list[str] = field(default_factory=list)
    """What the user should know, a line each."""

    @property
    def position(self) -> Position:
        """How far the run has come at its save."""
        return self.manifest.position if self.manifest else _START

    @property
    def starts(self) -> dict[str, int]:
        """Bytes of each journal file before that position."""
        lengths = {name: 0 for name in JOURNALS}
        if self.manifest:
            lengths |= {name: digest.length for name, digest in self.manifest.journal.items()}
        return lengths


_START = Position(edits=0, checkpoints=0, single_edits=0)
_NOTHING = Digest(0, hashlib.sha256().hexdigest())


def look(journal: Journal, saves: Saves, *, from_start: bool) -> Remains | None:
    """Find where a run goes on; None if it was stopped before anything was written down.

    Args:
        journal: Its run directory.
        saves: Its saves.
        from_start: Whether to make all edits again, whatever is saved.

    Raises:
        InputError: nothing that is left can be relied on; says what is wrong.
    """
    remains = Remains({}, "")
    for save in saves.newest_first():
        problem = _problem(journal, save, remains)
        if problem is not None:
            remains.damaged.append((save, problem))
        elif from_start:
            remains.passed_over.append(save)
        else:
            remains.save, remains.manifest = save, save.manifest()
            break
    if remains.damaged and remains.save is None and not from_start:
        raise InputError(
            f"{remains.damaged[0][1]}, and no other save can be relied on: "
            f"{resume_command(journal.folder)} --from-start makes all edits again and compares "
            "them with the journal"
        )
    for name in JOURNALS:
        if name not in remains.doubtful:
            rest = journal.tail(name, remains.starts[name])[1]
            if b"\n" in rest:
                remains.spoilt.append(name)
            elif rest:
                remains.torn[name] = len(rest)
    if not (journal.folder / CONFIG).exists() and not saves.newest_first() and _is_empty(journal):
        return None
    _find_config(journal, saves, remains)
    _describe(journal, remains)
    return remains


def _problem(journal: Journal, save: Save, remains: Remains) -> str | None:
    """Return what is wrong with a save or with the journal before it."""
    try:
        manifest = save.manifest()
    except Damaged as error:
        return str(error)
    wrong = [
        name
        for name in JOURNALS
        if not journal.begins_as(name, manifest.journal.get(name, _NOTHING))
    ]
    remains.doubtful += [name for name in wrong if name not in remains.doubtful]
    try:
        save.check()
    except Damaged as error:
        return str(error)
    if wrong:
        digest = manifest.journal.get(wrong[0], _NOTHING)
        there = size_of(journal.folder / wrong[0])
        how = f"has {there} bytes of {digest.length}" if there < digest.length else "was changed"
        return f"{wrong[0]} {how} since the save of {manifest.position.edits} edits"
    return None


def _is_empty(journal: Journal) -> bool:
    return not any(size_of(journal.folder / name) for name in JOURNALS)


def _find_config(journal: Journal, saves: Saves, remains: Remains) -> None:
    """Read `config.json`, or the copy of it in a save."""
    path = journal.folder / CONFIG
    wanted = _digests_of_config(journal, saves, remains)
    if path.is_file() and (not wanted or digest_of(path) in wanted):
        candidate = path.read_bytes()
    elif (copy := next((s for s in saves.newest_first() if _copy_is_whole(s)), None)) is not None:
        candidate = copy.config().encode()
        remains.notes.append(f"{CONFIG} {_how(path)}: it is taken from a save")
    else:
        raise InputError(f"{path} {_how(path)}, and no save has a whole copy of it")
    try:
        remains.config_text = candidate.decode()
        remains.config = json.loads(candidate)
        parts = [remains.config, remains.config["provenance"], remains.config["request"]]
        if not all(isinstance(part, dict) for part in parts):
            raise ValueError("not what a run writes")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} is damaged: {' '.join(str(error).split())}") from None


def _how(path: Path) -> str:
    return "is damaged" if path.is_file() else "is missing"


def _copy_is_whole(save: Save) -> bool:
    try:
        return digest_of(save.folder / CONFIG) == save.manifest().files.get(CONFIG)
    except Damaged:
        return False


def _digests_of_config(journal: Journal, saves: Saves, remains: Remains) -> list[Digest]:
    """Return what `config.json` must be, as far as anything that is left says so."""
    found = []
    for save in saves.newest_first():
        try:
            found.append(save.manifest().files[CONFIG])
        except (Damaged, KeyError):
            continue
    for line in journal.tail(EVENTS, 0)[0]:
        event = json.loads(line)
        if event.get("event") == "started" and isinstance(event.get("config"), list):
            found.append(Digest(*event["config"][:2]))
    return found


def _describe(journal: Journal, remains: Remains) -> None:
    for _, problem in remains.damaged:
        remains.notes.append(f"{problem}: the save is set aside")
    for name in remains.doubtful:
        remains.notes.append(f"{name} is cut after the save that fits it, and kept as it was found")
    for name in remains.spoilt:
        remains.notes.append(f"{name} has a line that is none: it is cut there, and kept as it was")
    for name, count in remains.torn.items():
        remains.notes.append(
            f"{name}: its last line was not finished ({count} bytes), it is cut off"
        )


def settle(journal: Journal, saves: Saves, remains: Remains) -> None:
    """Set aside what is damaged, so that the run can go on.

    Raises:
        StorageError: there is no room for it.
    """
    for name in remains.doubtful:
        if (journal.folder / name).is_file():
            journal.set_aside(name)
            cut(journal.folder / name, remains.starts[name])
    for name in remains.spoilt:
        journal.set_aside(name)
    path = journal.folder / CONFIG
    if not path.is_file() or path.read_bytes() != remains.config_text.encode():
        if path.is_file():
            journal.set_aside(CONFIG)
        write_whole(path, remains.config_text)
    # Last: until now another attempt would find all that this one has found.
    for save, _ in remains.damaged:
        save.set_aside("damaged")
    for save in remains.passed_over:
        save.set_aside("before")
    saves.clean()
