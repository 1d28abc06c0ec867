"""Files that survive a crash: grown line by line, or whole or not there, with digests of both."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

MAX_SEALED = 16 << 20


class StorageError(OSError):
    """A write failed: says what and why. What was there before is intact."""


class Damaged(ValueError):
    """A file is not what was once written: says which and how."""


class Digest(NamedTuple):
    """What a file, or the beginning of one, must be."""

    length: int
    sha256: str


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn what the system says of a failed write into a `StorageError` that names the file."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {what}: {error.strerror or error}") from error


def resume_command(folder: Path, code: Mapping[str, object] | None = None) -> str:
    """Return the command that goes on with a run, to be copied from a message.

    Args:
        folder: The run directory.
        code: Fields of the request that have code run, which must be given again.
    """
    given = [
        f" --{name.replace('_', '-')}" + ("" if value is True else f" {shlex.quote(str(value))}")
        for name, value in (code or {}).items()
    ]
    return f"seqedit-bench resume {shlex.quote(str(folder))}{''.join(given)}"


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a crash leaves the old one or the new one, never half of it."""
    temporary = path.with_name(path.name + ".tmp")
    with storing(str(path)):
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                _write_all(descriptor, text.encode())
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            temporary.replace(path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync(path.parent)


def free_name(path: Path, ending: str) -> Path:
    """Return a name beside a path that nothing has yet: `edits.jsonl.damaged`, `.damaged2`, ..."""
    names = (f"{path.name}.{ending}{number if number > 1 else ''}" for number in count(1))
    return next(place for name in names if not (place := path.with_name(name)).exists())


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_of(path: Path) -> int:
    """Return the length of a file; 0, if it is not there."""
    return path.stat().st_size if path.is_file() else 0


def cut(path: Path, at: int) -> None:
    """Remove what stands behind a place in a file."""
    if size_of(path) > at:
        with storing(str(path)):
            os.truncate(path, at)


def digest_of(path: Path) -> Digest:
    """Return the digest of a whole file; of nothing, if it is not there."""
    return beginning(path, size_of(path))


def beginning(path: Path, length: int) -> Digest:
    """Return the digest of a file's first bytes: of all it has, if those are fewer."""
    digest, read = hashlib.sha256(), 0
    if length and path.is_file():
        for piece in _pieces(path, length):
            digest.update(piece)
            read += len(piece)
    return Digest(read, digest.hexdigest())


def _pieces(path: Path, length: int) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while piece := stream.read(min(1 << 20, length)):
            length -= len(piece)
            yield piece


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that knows its own digest."""
    text = json.dumps({"content": content, "sha256": _seal(content)}, indent=1)
    write_whole(path, text + "\n")


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote.

    Raises:
        Damaged: the file is missing, empty, cut, or changed.
    """
    if not path.is_file():
        raise Damaged(f"{path.name} is missing")
    if size_of(path) > MAX_SEALED:
        raise Damaged(f"{path.name} is far too large")
    try:
        whole = json.loads(path.read_bytes())
        content = whole["content"]
        if isinstance(content, dict) and _seal(content) == whole["sha256"]:
            return content
    except (ValueError, KeyError, TypeError, RecursionError, OSError):
        pass
    raise Damaged(f"{path.name} is damaged")


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def append_to(path: Path, data: bytes, *, size: int) -> None:
    """Add bytes to a file of a known size, or leave it as it is.

    Raises:
        StorageError: they could not be written.
    """
    with storing(str(path)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            _write_all(descriptor, data)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
        finally:
            os.close(descriptor)


class GrowingFile:
    """A file that is only ever appended to, and the digest of what stands before a place in it.

    The place is the end, except while lines that are there already are gone through again.
    """

    def __init__(self, path: Path, *, at: int = 0) -> None:
        """Take a file up at a place that was checked before: the digest is that of what is there.

        Args:
            path: The file; it need not be there.
            at: Bytes before the place.
        """
        self.path = path
        self.place = at
        self._digest = hashlib.sha256()
        if at:
            for piece in _pieces(path, at):
                self._digest.update(piece)

    def pass_over(self, data: bytes) -> None:
        """Move the place behind a line that is there already."""
        self.place += len(data)
        self._digest.update(data)

    def append(self, data: bytes) -> None:
        """Add a line at the place, which must be the end.

        Raises:
            StorageError: it could not be written; the file is as before.
        """
        append_to(self.path, data, size=self.place)
        self.pass_over(data)

    def cut(self) -> None:
        """Remove all that stands behind the place."""
        cut(self.path, self.place)

    def before(self) -> Digest:
        """Return the digest of what stands before the place."""
        return Digest(self.place, self._digest.copy().hexdigest())

    def sync(self) -> None:
        """Bring what was written to the disk itself: a loss of power takes nothing of it."""
        if self.path.is_file():
            with storing(str(self.path)):
                sync(self.path)
