"""The run directory: append-only journals, and files that are whole or not there."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from ..leaderboards.differences import Difference, differences
from ..leaderboards.results import LARGEST
from ..tasks.errors import InputError
from ..tasks.sources import file_sha256
from .lock import LOCK, RunLock
from .saves import CONFIG, STATE
from .storage import (
    Damaged,
    Digest,
    GrowingFile,
    append_to,
    beginning,
    cut,
    free_name,
    read_sealed,
    resume_command,
    storing,
    write_sealed,
    write_whole,
)

EDITS = "edits.jsonl"
CHECKPOINTS = "checkpoints.jsonl"
SINGLE_EDITS = "single_edits.jsonl"
JOURNALS: tuple[str, ...] = (EDITS, CHECKPOINTS, SINGLE_EDITS)
EVENTS = "events.jsonl"
RESULT = "leaderboard.json"
REQUEST = "request.json"
TIMINGS = "seconds"
"""The key of a line that is another each time."""

Differs = Callable[[str, int, list[Difference]], None]
"""Called with a file, a line's number, and how it came out otherwise than it stands there; what
returns takes the new line for the old one and all behind it."""


def finite(value: Any) -> Any:
    """Return `value` with every float that is not finite replaced by None: JSON has no NaN.

    So is what is nearly the largest float, as a wrecked model's perplexity may be: it cannot be
    added up.

    Example:
        >>> finite({"nll": [1.0, float("nan")], "perplexity": 1.7e308})
        {'nll': [1.0, None], 'perplexity': None}
    """
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if isinstance(value, float):
        return float(value) if abs(value) <= LARGEST else None
    return value


def as_line(line: dict[str, Any]) -> str:
    """Return a line as it is written, without its end."""
    clean = finite(line)
    text = json.dumps(clean, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, escaped in the data: it stays escaped
        return json.dumps(clean, separators=(",", ":"))
    return text


def without_timings(line: dict[str, Any]) -> str:
    """Return what of a line must be the same each time, as it is written."""
    return as_line({key: value for key, value in line.items() if key != TIMINGS})


class Journal:
    """The files of one run, which nobody else writes to meanwhile.

    Args:
        folder: The run directory.
        reopen: Whether it is that of a run that has begun; else it must be new or empty.

    Raises:
        InputError: the folder holds something already, or nothing to go on with, is in use by
            another process, or cannot be written.
    """

    def __init__(self, folder: Path, *, reopen: bool = False) -> None:
        self.folder = folder
        try:
            if not reopen:
                self._must_be_empty()
            self._made = [path for path in (folder, *folder.parents) if not path.exists()]
            if not reopen:
                folder.mkdir(parents=True, exist_ok=True)
            self.lock = RunLock(folder)
            if not reopen:
                try:
                    self._must_be_empty()  # two may have come this far at once
                except InputError:
                    self.close()
                    raise
                for name in (EDITS, CHECKPOINTS):
                    (folder / name).touch()
        except OSError as error:
            raise InputError(f"cannot write to output {folder}: {error.strerror}") from None
        self._files = {name: GrowingFile(folder / name) for name in JOURNALS}
        self._waiting: dict[str, deque[bytes]] = {name: deque() for name in JOURNALS}
        self._lines: dict[str, int] = dict.fromkeys(JOURNALS, 0)
        self._differs: Differs | None = None

    def _must_be_empty(self) -> None:
        folder = self.folder
        if has_run(folder) and not (folder / RESULT).exists():
            raise InputError(
                f"output {folder} holds a run that is not finished: {resume_command(folder)}, "
                "or choose another --output"
            )
        if folder.exists() and (not folder.is_dir() or not all(map(_is_ours, folder.iterdir()))):
            raise InputError(f"output {folder} is there already: choose another --output")

    def close(self) -> None:
        """Let other processes in."""
        self.lock.release()

    def discard(self) -> None:
        """Remove what the constructor made: for a run that was refused before it began."""
        for name in (EDITS, CHECKPOINTS, EVENTS):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / STATE, ignore_errors=True)
        self.close()
        with contextlib.suppress(OSError):  # another run has begun beside this one
            for path in self._made:
                path.rmdir()

    # --- Going on ---

    def begins_as(self, name: str, wanted: Digest) -> bool:
        """Return whether a file of the journal has this beginning."""
        return beginning(self.folder / name, wanted.length) == wanted

    def tail(self, name: str, start: int) -> tuple[list[bytes], bytes]:
        """Return the whole lines behind a place in a file, and what follows that is none."""
        path = self.folder / name
        data = path.read_bytes()[start:] if path.is_file() else b""
        lines, at = [], 0
        while (end := data.find(b"\n", at) + 1) and _is_line(data[at:end]):
            lines.append(data[at:end])
            at = end
        return lines, data[at:]

    def set_aside(self, name: str) -> Path:
        """Copy a file that is not what was written; return where it is kept."""
        place = free_name(self.folder / name, "damaged")
        with storing(str(place)):
            shutil.copyfile(self.folder / name, place)
        return place

    def go_on(self, starts: dict[str, int], differs: Differs) -> dict[str, list[dict[str, Any]]]:
        """Go on at a place in each file; return the lines before it.

        Lines behind it stay: each line that is appended is compared with the one that is there
        already, as long as there is one. What is no line is cut off.

        Args:
            starts: Bytes before the place, which have been checked.
            differs: Called where a line comes out otherwise.
        """
        self._differs = differs
        done = {}
        for name in JOURNALS:
            path, start = self.folder / name, starts[name]
            lines, _ = self.tail(name, start)
            cut(path, start + sum(map(len, lines)))
            self._files[name] = GrowingFile(path, at=start)
            self._waiting[name] = deque(lines)
            before = path.read_bytes()[:start] if start else b""
            done[name] = [json.loads(line) for line in before.splitlines()]
            self._lines[name] = len(done[name])
        for name in (EDITS, CHECKPOINTS):
            (self.folder / name).touch()
        return done

    @property
    def waiting(self) -> int:
        """Lines that are there already and have not been made again."""
        return sum(map(len, self._waiting.values()))

    def before(self) -> dict[str, Digest]:
        """Return the digest of each file up to where the run is."""
        return {name: file.before() for name, file in self._files.items()}

    def sync(self) -> None:
        """Bring all lines to the disk itself."""
        for file in self._files.values():
            file.sync()

    # --- Writing ---

    def _append(self, name: str, line: dict[str, Any]) -> dict[str, Any]:
        text = as_line(line)
        data = f"{text}\n".encode()
        self._lines[name] += 1
        if self._waiting[name] and (kept := self._same(name, json.loads(text))) is not None:
            return kept
        self._files[name].append(data)
        return json.loads(text)

    def _same(self, name: str, line: dict[str, Any]) -> dict[str, Any] | None:
        """Compare a line with the one that is there; return that one, or None if it gives way."""
        there = self._waiting[name].popleft()
        known = json.loads(there)
        then, now = without_timings(known), without_timings(line)
        if then == now:
            self._files[name].pass_over(there)
            return known
        found = differences(json.loads(then), json.loads(now))
        assert self._differs is not None
        self._differs(name, self._lines[name], found or [Difference("form", then, now)])
        self._waiting[name].clear()
        self._files[name].cut()
        return None

    def append_edit(self, line: dict[str, Any]) -> dict[str, Any]:
        """Add a line to `edits.jsonl`; return it as written."""
        return self._append(EDITS, line)

    def append_checkpoint(self, line: dict[str, Any]) -> dict[str, Any]:
        """Add a line to `checkpoints.jsonl`; return it as written."""
        return self._append(CHECKPOINTS, line)

    def append_single(self, line: dict[str, Any]) -> dict[str, Any]:
        """Add a line to `single_edits.jsonl`; return it as written."""
        return self._append(SINGLE_EDITS, line)

    def event(self, what: str, **details: Any) -> None:
        """Add a line to `events.jsonl`: what became of the run, and when."""
        path = self.folder / EVENTS
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        line = as_line({"event": what, "time": now, **details})
        there = path.read_bytes() if path.is_file() else b""
        whole = there.rfind(b"\n") + 1
        cut(path, whole)  # after a crash the last line may be half there
        append_to(path, f"{line}\n".encode(), size=whole)

    def end(self) -> None:
        """Cut off the lines that the run, gone on with otherwise than it began, did not come to."""
        for name, file in self._files.items():
            self._waiting[name].clear()
            file.cut()

    def write_request(self, request: dict[str, Any]) -> None:
        """Write down what was asked for, places of this machine included: only to go on."""
        with storing(str(self.folder)):
            (self.folder / STATE).mkdir(exist_ok=True)
        write_sealed(self.folder / STATE / REQUEST, request)

    def write_config(self, config: dict[str, Any]) -> None:
        """Write `config.json`: the request, all it was resolved to, and the provenance."""
        write_whole(self.folder / CONFIG, json.dumps(finite(config), indent=2) + "\n")

    def write_result(self, text: str) -> Path:
        """Write `leaderboard.json` and return its path."""
        write_whole(self.folder / RESULT, text)
        return self.folder / RESULT

    def sha256(self) -> dict[str, str]:
        """Return the digest of each journal file there is."""
        names = (CONFIG, *JOURNALS)
        return {
            name: file_sha256(self.folder / name)
            for name in names
            if (self.folder / name).is_file()
        }


def has_run(folder: Path) -> bool:
    """Return whether a run has begun in a folder."""
    return (folder / CONFIG).exists() or (folder / STATE / REQUEST).exists()


def read_request(folder: Path) -> dict[str, Any] | None:
    """Return what `write_request` wrote, if it is there and whole."""
    try:
        return read_sealed(folder / STATE / REQUEST)
    except Damaged:
        return None


def _is_ours(path: Path) -> bool:
    """Return whether this is what a run leaves that was stopped before it wrote anything."""
    if path.name == STATE and path.is_dir():
        return all(each.name == f"{REQUEST}.tmp" for each in path.iterdir())
    empty = path.name in (EDITS, CHECKPOINTS) and path.is_file() and not path.stat().st_size
    return empty or path.name == LOCK


def _is_line(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, RecursionError):
        return False
