"""Files: written whole or not at all, and known by their digests."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from .results import ResultError


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file; a crash leaves the old one or the new one.

    Raises:
        ResultError: it cannot be written.
    """
    if not path.name:
        raise ResultError(f"{path}: not the name of a file")
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        # A new file: a link of this name in a folder from somebody else is not followed.
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as stream:
            stream.write(data)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise ResultError(f"{path}: cannot be written: {error.strerror}") from None
    return path


def file_sha256(path: Path) -> str:
    """Return the digest of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
