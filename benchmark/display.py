"""How a run shows its progress: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from ..leaderboards.headline import headline

WINDOW = 50


class _Running:
    """Numbers shown while a run goes on."""

    def __init__(
        self, num_edits: int, score: Sequence[str], done: Sequence[dict[str, Any]] = ()
    ) -> None:
        self.num_edits, self.score = num_edits, score
        self.done = 0
        self._recent: deque[dict[str, Any]] = deque(maxlen=WINDOW)
        self._started = time.monotonic()
        self.retained: dict[str, float] = {}
        self.distance = 0.0
        for line in done:
            self.add(line)
        self._earlier = self.done

    def add(self, line: dict[str, Any]) -> None:
        self.done = line["edit"]
        self._recent.append(line["metrics"])
        distances = list(line["distance"].values())
        self.distance = math.nan if None in distances else max(distances, default=0.0)

    def measured(self, line: dict[str, Any], retained: dict[str, float]) -> None:
        self.retained |= retained
        if not line["edits"]:  # the unedited model is measured once: no part of an edit's pace
            self._started = time.monotonic()

    def text(self) -> str:
        """Return scores over the last fifty edits, retention, distance, pace and time left."""
        parts = []
        for name in self.score:
            values = [metrics[name] for metrics in self._recent if metrics.get(name) is not None]
            if values:
                parts.append(f"{name.upper()} {100 * sum(values) / len(values):.0f}")
        parts += [f"kept {name} {100 * share:.0f}" for name, share in self.retained.items()]
        parts.append(f"distance {self.distance:.3g}")
        if made := self.done - self._earlier:
            pace = (time.monotonic() - self._started) / made
            left = pace * (self.num_edits - self.done)
            parts.append(f"{pace:.1f} s/edit, {left / 60:.1f} min left")
        return "  ".join(parts)


def _tasks_text(line: dict[str, Any]) -> str:
    """Return the headline metric of each task of a checkpoint, in one line."""
    parts = []
    for name, metrics in line["tasks"].items():
        value = metrics.get(headline(metrics) or "")
        parts.append(f"{name} {'no number' if value is None else format(value, '.3g')}")
    return f"after {line['edits']} edits  {'  '.join(parts)}"


class LiveDisplay:
    """A progress bar with the running scores."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[status]}"),
            console=console,
        )
        self._working: TaskID | None = None
        self._editing: TaskID | None = None
        self._running = _Running(0, ())

    def __enter__(self) -> LiveDisplay:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def note(self, text: str) -> None:
        self._console.print(escape(text), highlight=False)

    def working(self, what: str, done: int, total: int) -> None:
        if self._working is None:
            self._working = self._progress.add_task(what, status="")
        self._progress.update(self._working, description=what, completed=done, total=total)

    def started(
        self, num_edits: int, score: Sequence[str], done: Sequence[dict[str, Any]] = ()
    ) -> None:
        self._running = _Running(num_edits, score, done)
        self._editing = self._progress.add_task("edits", total=num_edits, status="unedited model")
        if done:
            self._update()

    def _update(self) -> None:
        if self._editing is not None:
            self._progress.update(
                self._editing, completed=self._running.done, status=self._running.text()
            )

    def edited(self, line: dict[str, Any]) -> None:
        self._running.add(line)
        self._update()

    def measured(self, line: dict[str, Any], retained: dict[str, float]) -> None:
        self._running.measured(line, retained)
        if line["tasks"]:
            self.note(_tasks_text(line))
        self._update()


class PlainLines:
    """One line an edit, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._running = _Running(0, ())
        self._tenths = -1

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(self, *_: object) -> None: ...

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def working(self, what: str, done: int, total: int) -> None:
        if (tenths := 10 * done // total) != self._tenths:
            self._tenths = tenths
            self.note(f"{what}: {done} of {total}")

    def started(
        self, num_edits: int, score: Sequence[str], done: Sequence[dict[str, Any]] = ()
    ) -> None:
        self._running = _Running(num_edits, score, done)

    def edited(self, line: dict[str, Any]) -> None:
        self._running.add(line)
        self.note(f"edit {line['edit']} of {self._running.num_edits}  {self._running.text()}")

    def measured(self, line: dict[str, Any], retained: dict[str, float]) -> None:
        self._running.measured(line, retained)
        if line["edits"] == 0:
            self.note(f"unedited model measured on {len(line['baseline'])} records")
        if line["tasks"]:
            self.note(_tasks_text(line))


def display_for(console: Console) -> LiveDisplay | PlainLines:
    """Return the display that fits where the output goes."""
    return LiveDisplay(console) if console.is_terminal else PlainLines(console)
