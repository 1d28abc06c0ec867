"""One process at a time on a run directory."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
import weakref
from contextlib import suppress
from pathlib import Path

from ..tasks.errors import InputError

LOCK = "lock"
_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""What file systems that know no locks answer."""


class RunLock:
    """Held from its making until `release`, or until the process is gone, however it went.

    The lock is the kernel's, on a file that also says who holds it.

    Args:
        folder: The run directory; it must be there.

    Raises:
        InputError: another process holds it; says which, and since when.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self.works = True
        """False on a file system without locks."""
        descriptor = self._take()
        self._close = weakref.finalize(self, os.close, descriptor)
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        with suppress(OSError):  # a full disk: held all the same
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(owner).encode())

    def _take(self) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in _NO_LOCKS:
                    self.works = False
                    return descriptor
                os.close(descriptor)
                if isinstance(error, BlockingIOError):
                    raise InputError(f"{self.path.parent} is in use {self._owner()}") from None
                raise
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), self.path.stat()):
                    return descriptor
            os.close(descriptor)  # its last owner has removed the file meanwhile

    def _owner(self) -> str:
        try:
            owner = json.loads(self.path.read_text(encoding="utf-8"))
            age = max(0.0, time.time() - float(owner["since"]))
            return f"by process {int(owner['pid'])} on {owner['host']!s:.80}, for {duration(age)}"
        except (OSError, ValueError, KeyError, TypeError):
            return "by another process"

    def release(self) -> None:
        """Let others in; the file goes too."""
        if self._close.alive:
            with suppress(OSError):
                self.path.unlink()
            self._close()


def duration(seconds: float) -> str:
    """Return a time in the unit that fits it.

    Example:
        >>> duration(90), duration(7200)
        ('2 min', '2.0 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"
