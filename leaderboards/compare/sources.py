"""What is compared: run directories, result files, entries, and folders of entries."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._files import file_sha256
from ..analysis.journal import CHECKPOINTS, EDITS, HUNTED, SCREENED, read_run
from ..canonical import canonical
from ..entry import MAX_BYTES, Entry, Series, read_entry
from ..results import Result, ResultError, read_result
from ..series import misfits, series_of

_RESULT = "leaderboard.json"
_HUNT = {SCREENED, HUNTED}
_NAMED = 3
"""Reasons that a message gives, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One run, from wherever it was read."""

    name: str
    """As messages call it: the path it was read from."""
    result: Result
    series: Series | None
    """Numbers of single edits; None where there is only a result."""
    entry: Entry | None = None
    """The entry, where it is one."""
    folder: Path | None = None
    """The run directory, where there is one with a journal."""
    missing: str = ""
    """Why there are no numbers of single edits."""

    @property
    def identity(self) -> tuple[str, str, int, int, str]:
        """What two copies of one run have in common, be it an entry or a run directory."""
        result = self.result
        # Curves, which are long, follow from the journal; the rest differs between any two runs.
        rest = result.model_dump(mode="json", exclude={"curves", "cost", "provenance"})
        return (
            result.editor.name,
            hparams_key(result),
            result.data.sample,
            result.seed,
            canonical(rest),
        )


def hparams_key(result: Result) -> str:
    """Return the hyper-parameters as one text, with all digits: entries have them too."""
    return json.dumps(result.editor.hparams, sort_keys=True)


def read_runs(paths: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """Read everything that these paths name.

    Returns:
        The runs, each once, in an order that is not that of the paths; and what was left out.

    Raises:
        ResultError: a path names no result, or a file cannot be used.
    """
    runs: dict[Any, Run] = {}
    notes = []
    for path in paths:
        for run in _read(path):
            if isinstance(run, str):
                notes.append(run)
                continue
            known = runs.get(run.identity)
            if known is None:
                runs[run.identity] = run
                continue
            # Of two copies the one that knows more is used.
            if known.series is None and run.series is not None:
                runs[run.identity], run, known = run, known, run
            if run.name != known.name:
                notes.append(f"{run.name} is the same run as {known.name}: it counts once")
    if notes and not runs:
        raise ResultError(f"no result is left: {'; '.join(notes[:_NAMED])}")
    return sorted_runs(runs.values()), notes


def sorted_runs(runs: Iterable[Run]) -> list[Run]:
    """Return runs in an order of their own: no number may depend on how they were named."""
    return sorted(runs, key=lambda run: (run.identity, run.name))


def _read(path: Path) -> Iterator[Run | str]:
    """Yield what lies at a path; a text says what was passed over."""
    if not path.is_dir():
        yield _file(path)
    elif not (path / _RESULT).is_file() and (path / EDITS).is_file():
        raise ResultError(
            f"{path}: the run is not finished, and has no result to compare; {_resume(path)}"
        )
    else:
        found = False
        for each in _below(path):
            found = True
            yield each
        if not found:
            raise ResultError(f"{path}: no such result: no run and no entry lies in this folder")


def _below(folder: Path) -> Iterator[Run | str]:
    """Find run directories and entries in a folder, links aside; say what has no result."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        if _RESULT in files:
            folders.clear()
            yield _directory(here)
        elif EDITS in files:
            folders.clear()
            yield f"{here} is not finished, and is left out; {_resume(here)}"
        elif _HUNT & {*files}:
            folders.clear()
            yield f"{here} is a hunt and no run: it is left out"
        else:
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield from (_entry(here / name) for name in sorted(files) if _is_entry(here / name))


def _resume(folder: Path) -> str:
    return f"go on with it: seqedit-bench resume {folder}"


def _is_entry(path: Path) -> bool:
    """Return whether a file says that it is an entry; whether it is one its reader decides."""
    try:
        if path.suffix != ".json" or not path.is_file() or path.stat().st_size > MAX_BYTES:
            return False
        text = path.read_bytes()
    except OSError:  # the reader of results says why
        return False
    return b'"entry_version"' in text and _top_level_key(text, "entry_version")


def _top_level_key(text: bytes, key: str) -> bool:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and key in found


def _file(path: Path) -> Run:
    if path.is_file() and _is_entry(path):
        return _entry(path)
    if path.name == _RESULT and (path.parent / EDITS).is_file():
        return _directory(path.parent)
    return Run(str(path), read_result(path), None, missing="a result file has none")


def _entry(path: Path) -> Run:
    entry = read_entry(path)
    _check(entry.series, entry.result, path)
    return Run(str(path), entry.result, entry.series, entry)


def _directory(path: Path) -> Run:
    result = read_result(path)
    reason = _journal_missing(path, result)
    if reason:
        return Run(str(path), result, None, missing=reason)
    journal = read_run(path)
    series = series_of(
        [{"case_id": line.case_id, "metrics": line.metrics} for line in journal.edits],
        [{"edits": line.edits, "edited": line.edited} for line in journal.checkpoints],
    )
    _check(series, result, path)
    return Run(str(path), result, series, folder=path)


def _journal_missing(path: Path, result: Result) -> str:
    for name in (EDITS, CHECKPOINTS):
        if not (path / name).is_file():
            return f"{name} is not there"
        try:
            digest = file_sha256(path / name)
        except OSError as error:
            return f"{name} cannot be read ({error.strerror})"
        if result.journal_sha256.get(name) != digest:
            return f"{name} is not the one that the result was computed from"
    return "" if (path / "config.json").is_file() else "config.json is not there"


def _check(series: Series, result: Result, path: Path) -> None:
    """Refuse numbers of single edits that do not fit each other.

    Raises:
        ResultError: a list is too short or too long.
    """
    for name, wanted, found in misfits(series, result.ending.edits_done):
        raise ResultError(f"{path}: {name[:60]} has {found} values, and should have {wanted}")


def without_edits(runs: Iterable[Run]) -> list[str]:
    """Say of which runs there are no numbers of single edits, and why; a line a reason."""
    reasons: dict[str, list[str]] = {}
    for run in runs:
        if run.series is None:
            reasons.setdefault(run.missing, []).append(run.name)
    return [
        f"no intervals from single edits for {', '.join(names)}: {reason}"
        for reason, names in reasons.items()
    ]
