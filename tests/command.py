"""The command line in-process, for the tests of several folders."""

from __future__ import annotations

import contextlib
import io
from typing import NamedTuple

from seqedit_bench.benchmark.cli import main


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def seqedit(*arguments: object) -> Done:
    """Run `seqedit-bench` with some arguments; nothing it prints goes to a terminal."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return Done(code, out.getvalue(), err.getvalue())
