"""Runs in forked processes, hurt and taken up again, and compared with runs that were not."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from . import inject
from .stage import Stage

JOURNALS = ("edits.jsonl", "checkpoints.jsonl", "single_edits.jsonl")


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    """Its exit status; minus the signal that killed it."""
    err: str
    seconds: float


class Hurt(NamedTuple):
    """One thing that goes wrong."""

    kind: str
    inside: Callable[[], None] | None = None
    """Called in the process before it starts."""
    after: float | None = None
    """Seconds until a signal is sent."""
    signum: int = signal.SIGKILL


@dataclass
class Tally:
    """What was seen of one editor."""

    runs: int = 0
    kills: int = 0
    failures: int = 0
    """Writes that failed, and polite signals."""
    again: int = 0
    """Lines that were made again and compared."""
    lost: int = 0
    """Edits that are not in the end, or not as they were once written."""
    differing: int = 0
    """Lines that are not those of the run that nothing happened to."""
    wrong: list[str] = field(default_factory=list)
    """Everything that should not be, in words."""

    @property
    def good(self) -> bool:
        return not (self.lost or self.differing or self.wrong)


def in_child(
    arguments: Sequence[str], log: Path, hurt: Hurt | None = None, limit: float = 300
) -> Ended:
    """Run the command line in a forked process."""
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _be_child(arguments, log, hurt)
    with contextlib.suppress(ProcessLookupError):
        if hurt is not None and hurt.after is not None:
            time.sleep(hurt.after)
            os.kill(child, hurt.signum)
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() - started > limit:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.005)
    text = log.read_text(encoding="utf-8", errors="replace")
    return Ended(os.waitstatus_to_exitcode(status), text, time.monotonic() - started)


def _be_child(arguments: Sequence[str], log: Path, hurt: Hurt | None) -> None:
    """Be the process that runs; never returns."""
    status = 70
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        import torch

        from seqedit_bench.benchmark.cli import main

        torch.set_num_threads(1)
        if hurt is not None and hurt.inside is not None:
            hurt.inside()
        try:
            main(list(arguments))
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


class Harness:
    """Hurts runs of one stage.

    Args:
        stage: Its files.
        folder: Where runs go.
        drawn: Draws what happens and when.
    """

    def __init__(self, stage: Stage, folder: Path, drawn: random.Random) -> None:
        self.stage, self.folder, self.drawn = stage, folder, drawn
        self._twins: dict[str, tuple[Path, float]] = {}
        self._number = self._resumed = 0

    def twin(self, editor: str) -> tuple[Path, float]:
        """Return a run that nothing happens to, and how long it took."""
        if editor not in self._twins:
            run = self.folder / f"twin-{editor}"
            ended = in_child(self.stage.arguments(editor, run), self._log())
            if ended.status:
                raise RuntimeError(f"{editor} does not run at all:\n{ended.err}")
            self._twins[editor] = run, ended.seconds
        return self._twins[editor]

    def _log(self) -> Path:
        self._number += 1
        return self.folder / f"{self._number:05d}.log"

    def hurt_one(self, editor: str, tally: Tally, kills: int) -> None:
        """Start a run, hurt it again and again, let it end, and compare it with its twin.

        Args:
            editor: Which.
            tally: What was seen so far; it grows.
            kills: The most kills; after as many, the run is left in peace.
        """
        twin, seconds = self.twin(editor)
        run = self.folder / f"run-{self._number:05d}-{editor}"
        known: dict[str, list[bytes]] = {name: [] for name in JOURNALS}
        tally.runs += 1
        self._resumed = 0
        killed, arguments = 0, [*self.stage.arguments(editor, run), "--resume"]
        for _ in range(self.drawn.randint(1, 4)):
            if killed == kills:
                break
            hurt = self._draw(seconds)
            ended = in_child(arguments, self._log(), hurt)
            if ended.status == 0:
                break  # it was faster
            killed += ended.status == -signal.SIGKILL
            self._note(hurt, ended, tally)
            self._look(run, known, tally, editor)
            if self.drawn.random() < 0.5 and (run / "config.json").exists():
                arguments = ["resume", str(run)]
        ended = in_child(arguments, self._log())
        tally.kills += killed
        if ended.status:
            tally.wrong.append(f"{editor}: does not go on: {ended.err.strip()[-300:]}")
            return
        self._look(run, known, tally, editor)
        self.compare(twin, run, tally, editor)
        shutil.rmtree(run)

    def _draw(self, seconds: float) -> Hurt:
        kind = self.drawn.choice(
            ["time", "operation", "operation", "edit", "clock", "signal", "full", "broken"]
        )
        at, operation = self.drawn.uniform(0, seconds), self.drawn.randint(1, 160)
        if kind == "operation":
            return Hurt(kind, lambda: inject.kill_at(operation))
        if kind == "edit":
            line = self.drawn.randint(1, 8)
            return Hurt(kind, lambda: inject.kill_at_line(line))
        if kind == "clock":
            return Hurt(kind, lambda: inject.jumping_clocks(operation), at)
        if kind == "signal":
            return Hurt(kind, None, at, self.drawn.choice([signal.SIGTERM, signal.SIGINT]))
        if kind in ("full", "broken"):
            code = {"full": 28, "broken": 5}[kind]  # ENOSPC, EIO
            return Hurt(kind, lambda: inject.fail_from(operation, code))
        return Hurt(kind, None, at)

    def _note(self, hurt: Hurt, ended: Ended, tally: Tally) -> None:
        """Count what happened, and see that the process ended as it should."""
        expected = {
            "signal": (130, 143, -signal.SIGTERM, -signal.SIGINT),
            "full": (1, 2),
            "broken": (1, 2),
        }.get(hurt.kind, (-signal.SIGKILL,))
        if ended.status not in expected:
            tally.wrong.append(f"{hurt.kind}: ended with {ended.status}: {ended.err[-500:]}")
        if hurt.kind in ("signal", "full", "broken"):
            tally.failures += 1
        if hurt.kind in ("full", "broken") and "Traceback" in ended.err:
            tally.wrong.append(f"{hurt.kind}: {ended.err[-500:]}")

    def _look(self, run: Path, known: dict[str, list[bytes]], tally: Tally, editor: str) -> None:
        """See that every line that was once whole is still there, byte for byte."""
        for name in JOURNALS:
            lines = whole_lines(run / name)
            before = known[name]
            if lines[: len(before)] != before:
                tally.lost += sum(a != b for a, b in zip(before, lines, strict=False))
                tally.lost += max(0, len(before) - len(lines))
                tally.wrong.append(f"{editor}: {name} has lost what it had")
            known[name] = lines
        if (run / "events.jsonl").exists():
            events = [json.loads(line) for line in whole_lines(run / "events.jsonl")]
            again = [event["replayed"] for event in events if event["event"] == "resumed"]
            tally.again += sum(again[self._resumed :])
            self._resumed = len(again)

    def compare(self, twin: Path, run: Path, tally: Tally, editor: str) -> None:
        """Compare a run that ended with its twin."""
        for name in JOURNALS:
            wanted, found = without_timings(twin / name), without_timings(run / name)
            if name == "edits.jsonl":
                tally.lost += max(0, len(wanted) - len(found))
            differing = sum(a != b for a, b in zip(wanted, found, strict=False))
            tally.differing += differing + abs(len(wanted) - len(found))
        wanted, found = result_of(twin), result_of(run)
        if wanted != found:
            tally.wrong.append(f"{editor}: the result is another")
        if left := sorted(path.name for path in run.glob("*") if path.name in ("state", "lock")):
            tally.wrong.append(f"{editor}: left behind: {left}")


def whole_lines(path: Path) -> list[bytes]:
    """Return the lines of a file that have an end."""
    data = path.read_bytes() if path.is_file() else b""
    return data.splitlines(keepends=True)[: data.count(b"\n")]


def without_timings(path: Path) -> list[str]:
    """Return the lines of a journal as they must be each time."""
    lines = [json.loads(line) for line in whole_lines(path)]
    for line in lines:
        line.pop("seconds", None)
    return [json.dumps(line) for line in lines]


def result_of(run: Path) -> dict[str, Any]:
    """Return what of a result must be the same each time."""
    result = json.loads((run / "leaderboard.json").read_text(encoding="utf-8"))
    kept = {key: result[key] for key in ("curves", "summary", "editor", "data", "protocol")}
    return {**kept, "tokens": result["cost"]["tokens_scored"]}
