"""How a run is asked to stop, and how it does."""

from __future__ import annotations

import contextlib
import signal
import threading
from types import FrameType
from typing import Any

from .observer import Observer

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop, and has: all it did is saved.

    Args:
        command: What goes on with the run.
        signum: The signal that asked.
        done: How far the run has come, in words.
    """

    def __init__(self, command: str, signum: int, done: str) -> None:
        super().__init__(f"stopped after {done}; go on with: {command}")
        self.status = 128 + signum
        """What a shell expects of a process that this signal ended."""


class Stopper:
    """While entered, turns the first SIGINT or SIGTERM into a request; the second acts at once.

    Signals that are ignored stay so. Outside the main thread nothing is changed.
    """

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._before: dict[int, Any] = {}
        self.asked: int | None = None
        """The signal that came, if one did."""

    def __enter__(self) -> Stopper:
        if threading.current_thread() is threading.main_thread():
            for signum in _SIGNALS:
                if signal.getsignal(signum) not in (signal.SIG_IGN, None):
                    self._before[signum] = signal.signal(signum, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for signum, before in self._before.items():
            signal.signal(signum, before)
        self._before = {}

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        self.asked = signum
        self.__exit__()
        with contextlib.suppress(RuntimeError):  # it came in the middle of a print
            self._observer.note("stopping when this edit is saved; a second signal stops at once")
