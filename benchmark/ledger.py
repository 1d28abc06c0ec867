"""A file of lines that long work adds to, so that it can go on where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..tasks.errors import InputError
from .journal import as_line
from .storage import append_to, size_of


class Ledger:
    """An append-only JSONL file.

    A last line that was cut off is removed: it will be written again.

    Args:
        path: The file; it need not be there yet, its folder must.

    Raises:
        InputError: a line other than the last is not JSON, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.touch()
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                with path.open("r+b") as stream:
                    stream.truncate(whole)
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}") from None
        self.lines = _decode(path, content[:whole])
        """What is there."""

    def append(self, line: dict[str, Any]) -> dict[str, Any]:
        """Add a line; return it as written.

        Raises:
            StorageError: it could not be written; the file is as before.
        """
        text = as_line(line)
        append_to(self.path, f"{text}\n".encode(), size=size_of(self.path))
        self.lines.append(json.loads(text))
        return self.lines[-1]


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a ledger, which may be growing, and leave it as it is.

    Raises:
        InputError: a line is not JSON.
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    return _decode(path, content[: content.rfind(b"\n") + 1])


def _decode(path: Path, content: bytes) -> list[dict[str, Any]]:
    lines = []
    for number, text in enumerate(content.splitlines(), start=1):
        try:
            lines.append(json.loads(text))
        except (ValueError, RecursionError):
            raise InputError(f"{path}: line {number} is not JSON: remove it") from None
    return lines
