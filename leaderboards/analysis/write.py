"""Files that are whole or not there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ..results import ResultError


def write_text(path: Path, text: str) -> Path:
    """Write a file; a crash leaves the old one or the new one.

    Raises:
        ResultError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ResultError(f"{path}: cannot be written: {error.strerror}") from None
    return path
