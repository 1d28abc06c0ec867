"""A folder of entries: each of them by itself, and all of them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from ..entry import Entry, read_entry
from ..known import Known
from ..results import Result, ResultError
from .complete import complete
from .consistency import consistency
from .given import bundled
from .problem import Problem, short
from .ranges import ranges
from .relations import relations
from .rules import card_problems, refusals, text_problems
from .together import together

_DEPTH = 4
"""Parts of an entry's path: suite, model, editor, file."""
_NOTICE = "README.md"


@dataclass(frozen=True, slots=True)
class Validated:
    """What the referee has seen."""

    entries: dict[str, Entry] = field(default_factory=dict)
    """Entries that could be read, by their path below the folder."""
    problems: list[Problem] = field(default_factory=list)


def entries_folder(folder: Path) -> Path:
    """Return where the entries are: the folder itself, or `entries` in it.

    Raises:
        ResultError: there is no such folder, or it is a link.
    """
    inside = folder / "entries"
    for named in (folder, inside):
        if named.is_symlink():
            # Whoever sent it chose where it leads.
            raise ResultError(f"{named}: is a link: name the folder itself")
    if inside.is_dir():
        return inside
    if folder.name == "entries" and folder.is_dir():
        return folder
    raise ResultError(f"{folder}: has no folder 'entries': name the one that does, or it itself")


def validate(
    folder: Path, known: Known, before: Mapping[str, Entry] = MappingProxyType({})
) -> Validated:
    """Check every file of a folder of entries.

    Args:
        folder: With `entries` in it, or itself.
        known: What entries are judged by.
        before: Entries that were there before, by their paths: where two entries do not go
            together, it is the new one that is wrong.

    Raises:
        ResultError: there is no such folder, or it is a link.
    """
    root = entries_folder(folder)
    seen = Validated()
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            # Not followed: it could show a file of the machine that this runs on.
            seen.problems.append(Problem("file", "is a link, not a file", name))
        elif path.is_dir() or name == _NOTICE:
            continue
        elif path.suffix != ".json" or len(PurePosixPath(name).parts) != _DEPTH:
            seen.problems.append(
                Problem("file", "is no entry: <suite>/<model>/<editor>/<run>.json", name)
            )
        else:
            _read(path, name, known, seen)
    is_new = {name: before.get(name) != entry for name, entry in seen.entries.items()}
    older_first = sorted(seen.entries, key=is_new.__getitem__)
    seen.problems.extend(together({name: seen.entries[name] for name in older_first}))
    return seen


def _read(path: Path, name: str, known: Known, seen: Validated) -> None:
    try:
        entry = read_entry(path)
        text = path.read_bytes()
    except ResultError as error:
        reason = str(error).removeprefix(f"{path}: ")
        where, _, what = reason.removeprefix("field ").partition(": ")
        is_field = reason.startswith("field ")
        seen.problems.append(
            Problem(where if is_field else "file", what if is_field else reason, name)
        )
        return
    try:
        found = [*_form(entry, text, name), *entry_problems(entry, known)]
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        # All others are still judged.
        reason = f"cannot be judged: {type(error).__name__} {error}"
        seen.problems.append(Problem("file", reason, name))
        return
    seen.problems.extend(each._replace(file=name) for each in found)
    seen.entries[name] = entry


def entry_problems(entry: Entry, known: Known) -> list[Problem]:
    """Return all that is wrong with what an entry says, wherever it lies."""
    result = entry.result
    found = [each._replace(field=f"result.{each.field}") for each in refusals(result, known)]
    found += card_problems(entry.submission.card, result, known)
    found += text_problems(entry.submission)
    broken = list(ranges(entry))
    found += broken
    if not broken:  # lists that do not fit each other cannot be computed with
        found += consistency(entry, known)
        found += complete(entry, known)
        found += relations(entry)
        found += bundled(entry, known)
    return found


def run_name(result: Result) -> str:
    """Return the name of a run: unique, and the same each time."""
    digest = result.journal_sha256.get("edits.jsonl", "")[:10]
    return f"sample{result.data.sample}-seed{result.seed}-{digest}"


def _form(entry: Entry, text: bytes, name: str) -> Iterator[Problem]:
    """The file is the one text, at the one place, that an entry of this content has."""
    if entry.run != (expected := run_name(entry.result)):
        yield Problem("run", f"is {short(entry.run)}, and its content says {expected}")
    if name != entry.place:
        yield Problem("file", f"lies at the wrong place: its content says {entry.place}")
    canonical = entry.to_json().encode()
    if text != canonical:
        pairs = enumerate(zip(text.split(b"\n"), canonical.split(b"\n"), strict=False), start=1)
        line = next((number for number, (is_, shall) in pairs if is_ != shall), "the last")
        yield Problem("file", f"is not as `seqedit-bench submit` writes it, from line {line} on")


def untouched(validated: Validated, base: Validated) -> Iterator[Problem]:
    """Yield the entries that were there before and are others now: results do not change.

    One that is gone is no problem, but for all to see: `show` says which are.
    """
    _, changed, _ = against(validated, base)
    for name in changed:
        yield Problem(
            "file",
            "was another entry before: to correct one, remove it, and once that is merged submit "
            "the run again",
            name,
        )


def against(validated: Validated, base: Validated) -> tuple[list[str], list[str], list[str]]:
    """Return which entries are new, which are others than before, and which are gone."""
    here, there = validated.entries, base.entries
    new = [name for name in here if name not in there]
    changed = [name for name in here if name in there and here[name] != there[name]]
    return new, changed, [name for name in there if name not in here]
