"""What goes wrong: in the process that it happens to, at the moment that was drawn."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

_OPERATIONS = ("write", "fsync", "rename", "replace", "truncate", "ftruncate", "mkdir")


def kill_at(operation: int) -> None:
    """Kill this process at a certain operation on files, a write in the middle of its bytes."""

    def act(name: str, arguments: tuple[Any, ...], perform: Callable[..., Any]) -> None:
        if name == "write":
            perform(arguments[0], arguments[1][: len(arguments[1]) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    _watch(lambda count: count == operation, act)


def fail_from(operation: int, code: int) -> None:
    """Let operations that need room fail from one on: a disk that is full, or broken."""

    def act(name: str, arguments: tuple[Any, ...], perform: Callable[..., Any]) -> None:
        if name == "write" and code == errno.ENOSPC and len(arguments[1]) > 1:
            perform(arguments[0], arguments[1][: len(arguments[1]) // 2])
        raise OSError(code, os.strerror(code))

    _watch(lambda count: count >= operation, act, names={"write", "fsync", "mkdir"})
    from seqedit_bench.benchmark import saves

    real = saves.save_file

    def save_file(*arguments: Any) -> None:
        if _count[0] >= operation:
            raise OSError(code, os.strerror(code))
        real(*arguments)

    saves.save_file = save_file


_count = [0]


def _watch(
    due: Callable[[int], bool],
    act: Callable[[str, tuple[Any, ...], Callable[..., Any]], None],
    names: set[str] | None = None,
) -> None:
    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            _count[0] += 1
            if due(_count[0]):
                act(name, arguments, real)
            return real(*arguments, **keywords)

        return call

    for name in names or _OPERATIONS:
        setattr(os, name, wrap(name, getattr(os, name)))


def kill_at_line(wanted: int) -> None:
    """Kill this process when it has written its n-th line of an edit."""
    from seqedit_bench.benchmark.journal import Journal

    real = Journal.append_edit

    def append_edit(self: Journal, line: dict[str, Any]) -> dict[str, Any]:
        kept = real(self, line)
        _count[0] += 1
        if _count[0] == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
        return kept

    Journal.append_edit = append_edit


def jumping_clocks(seed: int) -> None:
    """Let the clocks of this process jump by up to a day, back and forth, at every look."""
    drawn = random.Random(seed)
    real = {name: getattr(time, name) for name in ("time", "monotonic")}

    def jump(name: str) -> Callable[[], float]:
        return lambda: real[name]() + drawn.uniform(-86_400, 86_400)

    for name in real:
        setattr(time, name, jump(name))
