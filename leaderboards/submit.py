"""From a run to its entry: checked against its journal, refused with the reason, or written."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from ._files import write_whole
from .entry import ENTRIES, MAX_BYTES, Card, Entry, Submission
from .known import Known
from .recompute import Ran, mismatches, series_and_collapse
from .referee.folder import entry_problems, run_name
from .referee.rules import refusals
from .results import ResultError


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a run."""

    entry: Entry
    path: Path
    text: str
    written: bool
    """False where the same file was there already, or nothing was to be written."""


def entry_of(ran: Ran, card: Card, known: Known, *, team: str, paper: str | None) -> Entry:
    """Make the entry of a run.

    Args:
        ran: The run.
        card: What its editor is.
        known: What entries are judged by.
        team: Who made it.
        paper: What to cite for its numbers.

    Raises:
        ResultError: the run is not what its journal says, or is none for the leaderboard; says why,
            and what to do.
    """
    folder, result = ran.folder, ran.result
    for mismatch in mismatches(ran):
        raise ResultError(f"{folder}: {mismatch}: what was measured has been changed; run it again")
    for problem in refusals(result, known):
        raise ResultError(f"{folder}: {problem.field}: {problem.text}")
    try:
        submission = Submission(team=team, paper=paper, card=card)
    except ValidationError as error:
        first = error.errors()[0]
        raise ResultError(f"--{first['loc'][0]} {first['input']!r}: {first['msg']}") from None
    series, collapse = series_and_collapse(ran)
    entry = Entry(
        run=run_name(result),
        submission=submission,
        result=result,
        series=series,
        collapse=collapse,
    )
    # As it will be read: with six digits.
    entry = Entry.model_validate_json(entry.to_json())
    for problem in entry_problems(entry, known):
        raise ResultError(f"{folder}: {problem.field}: {problem.text}")
    return entry


def place_entry(entry: Entry, entries: Path, *, check: bool) -> Submitted:
    """Write an entry to its place.

    Args:
        entry: The entry.
        entries: The folder of entries.
        check: Write nothing.

    Raises:
        ResultError: another entry of the same run is there, it is too large, or cannot be written.
    """
    path, text = entries / entry.place, entry.to_json()
    if (size := len(text.encode())) > MAX_BYTES:
        raise ResultError(f"{path}: {size >> 20} MiB are too large for an entry")
    if path.is_symlink() or path.exists():
        there = path.read_text(encoding="utf-8") if path.is_file() else ""
        if there == text:
            return Submitted(entry, path, text, written=False)
        if not check:
            raise ResultError(
                f"{path}: an entry of this run is there already and says other things: to replace "
                "it, remove it first"
            )
    if not check:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultError(f"{path}: cannot be written: {error.strerror}") from None
        write_whole(path, text)
    return Submitted(entry, path, text, written=not check)


def default_entries(here: Path) -> Path:
    """Return the folder of entries of the checkout that a folder lies in, or of this package's.

    Raises:
        ResultError: neither is a checkout.
    """
    for parent in (here, *here.parents):
        if _is_checkout(parent):
            return parent / "leaderboards" / "entries"
    if _is_checkout(ENTRIES.parent.parent):
        return ENTRIES
    raise ResultError(
        "no checkout of seqedit-bench here to put the entry into: clone it, or name a folder with "
        "--entries"
    )


def _is_checkout(folder: Path) -> bool:
    return (folder / "pyproject.toml").is_file() and (
        folder / "leaderboards" / "suites.json"
    ).is_file()


def to_commit(submitted: Submitted) -> Iterator[str]:
    """Yield the commands that bring an entry into a pull request."""
    entry, path = submitted.entry, submitted.path.resolve()
    root = next((each for each in path.parents if (each / ".git").exists()), None)
    if root is None:
        yield f"# {submitted.path} lies in no git checkout: copy it to leaderboards/entries of one"
        return
    result = entry.result
    title = (
        f"Add {result.editor.name} on {result.model.name}, {result.suite.versioned}, "
        f"sample {result.data.sample}"
    )
    git = f"git -C {shlex.quote(str(root))}"
    yield f"{git} switch -c {shlex.quote(f'entry-{entry.run}')}"
    yield f"{git} add {shlex.quote(path.relative_to(root).as_posix())}"
    yield f"{git} commit -m {shlex.quote(title)}"
    yield f"{git} push -u origin HEAD    # then open a pull request"
