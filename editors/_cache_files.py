"""Files of the cache, which other processes may read and write at the same time."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError

from ..tasks.errors import InputError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Hand out a name to write a file or a folder to, which takes the place of `path` at the end.

    Readers see the old one or the whole new one; nothing is left of what was interrupted. Where
    another process was faster with a folder, its is kept.

    Raises:
        InputError: it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if not (temporary.is_dir() and path.is_dir()):
            temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"cannot write {path} ({error}): make room, or choose another --cache-dir"
        ) from None
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                temporary.unlink()
