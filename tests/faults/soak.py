"""`make soak`: kill runs until enough have been killed, and see that nothing is lost.

    python tests/faults/soak.py --kills 50 --seconds 0 --editors rome,mend --long memit_seq

Exit status 1 if an edit is lost, a line differs, or anything else is not as promised.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from faults.harness import Harness, Tally, in_child
from faults.stage import EDITORS, Stage


def import_everything() -> None:
    """Load all code once: processes are forked from here, and nothing may have run before."""
    import seqedit_bench.benchmark.runner  # noqa: F401 (imported to be there)
    from seqedit_bench.editors import get_editor

    for editor in EDITORS:
        get_editor(editor)


def build(stage: Stage) -> None:
    """Build the stage in a process of its own."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            stage.build()
            status = 0
        finally:
            os._exit(status)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit("the stage could not be built")


def soak(
    harness: Harness, editors: Sequence[str], kills: int, seconds: float, console: Console
) -> dict[str, Tally]:
    """Hurt runs of all editors in turn, until there were enough kills and enough time."""
    tallies = {editor: Tally() for editor in editors}
    started = time.monotonic()
    columns = (TextColumn("kills"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("kills", total=kills)
        turn = 0
        while (done := sum(each.kills for each in tallies.values())) < kills or (
            time.monotonic() - started < seconds
        ):
            editor = editors[turn % len(editors)]
            harness.hurt_one(editor, tallies[editor], max(1, kills - done))
            turn += 1
            progress.update(task, completed=min(kills, done))
            if not console.is_terminal and turn % len(editors) == 0:
                console.print(f"{sum(each.kills for each in tallies.values())} kills so far")
    return tallies


def long_run(harness: Harness, editor: str, stops: int, tally: Tally) -> None:
    """Stop a run of 300 edits several times, in processes of their own, and compare it.

    A new interpreter each time: other hash seeds, nothing left in memory.
    """
    stage, drawn = harness.stage, harness.drawn
    twin, run = harness.folder / f"long-twin-{editor}", harness.folder / f"long-{editor}"
    log = harness.folder / "long.log"
    ended = in_child(stage.long_arguments(editor, twin), log, limit=3600)
    if ended.status:
        raise SystemExit(f"the long run does not run at all:\n{ended.err}")
    command = [sys.executable, "-c", "from seqedit_bench.benchmark.cli import main; main()"]
    places = sorted(drawn.sample(range(10, 290), stops))
    tally.runs += 1
    status = 0
    for number, place in enumerate([*places, None]):
        arguments = ["resume", str(run)] if number else stage.long_arguments(editor, run)
        with log.open("wb") as out:
            child = subprocess.Popen([*command, *arguments], stdout=out, stderr=out)
            while place is not None and child.poll() is None and _edits(run) < place:
                time.sleep(0.01)
            if place is not None:
                child.kill()
                tally.kills += 1
            status = child.wait()
    if status:
        text = log.read_text(encoding="utf-8", errors="replace")
        tally.wrong.append(f"the long run does not go on: {text[-300:]}")
        return
    harness.compare(twin, run, tally, editor)


def _edits(run: Path) -> int:
    path = run / "edits.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def report(tallies: dict[str, Tally]) -> Table:
    """Return what happened, a row an editor."""
    table = Table("editor")
    headings = ("runs", "kills survived", "other faults", "lines made again")
    for heading in (*headings, "edits lost", "lines differing", "other complaints"):
        table.add_column(heading, justify="right", min_width=max(map(len, heading.split())))
    rows = [(name, *numbers(each)) for name, each in tallies.items()]
    for row in rows:
        table.add_row(*map(str, row))
    table.add_section()
    table.add_row("all", *(str(sum(column)) for column in zip(*(r[1:] for r in rows), strict=True)))
    return table


def numbers(tally: Tally) -> tuple[int, ...]:
    """Return what is counted of an editor, in the order of the table."""
    return (
        tally.runs,
        tally.kills,
        tally.failures,
        tally.again,
        tally.lost,
        tally.differing,
        len(tally.wrong),
    )


def main() -> None:
    """Parse, hurt, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=0.0, help="go on at least as long")
    parser.add_argument("--editors", default=",".join(EDITORS))
    parser.add_argument("--long", default="", help="an editor to make 300 edits with, too")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--json", action="store_true", help="print numbers instead of a table")
    given = parser.parse_args()
    console = Console(stderr=given.json)
    if not console.is_terminal:
        console = Console(stderr=given.json, width=120)
    seed = random.randrange(10**6) if given.seed is None else given.seed
    console.print(f"seed {seed}")
    editors = given.editors.split(",")
    with tempfile.TemporaryDirectory(prefix="seqedit-soak-") as folder:
        stage = Stage(Path(folder) / "stage")
        stage.folder.mkdir()
        import_everything()
        build(stage)
        harness = Harness(stage, Path(folder), random.Random(seed))
        tallies = soak(harness, editors, given.kills, given.seconds, console)
        if given.long:
            tally = tallies[f"{given.long}, 300 edits"] = Tally()
            long_run(harness, given.long, 5, tally)
    if given.json:
        sys.stdout.write(json.dumps({name: vars(each) for name, each in tallies.items()}) + "\n")
    else:
        console.print(report(tallies))
    for each in tallies.values():
        for complaint in each.wrong:
            console.print(complaint, markup=False, highlight=False, soft_wrap=True)
    if not all(each.good for each in tallies.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
