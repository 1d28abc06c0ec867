"""Commands that put results on the leaderboard and judge what is there: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .options import CacheDir, DataDir, Device, EditorPath, TrustRemoteCode, refuse_beside

leaderboard_app = typer.Typer()

_OF_REPLAY = ("data_dir", "device", "cache_dir", "editor_path", "model", "trust_remote_code")
"""Options of `verify` that say with what edits are made again."""

Entries = Annotated[
    Path | None,
    typer.Option(help="Folder of entries; default: leaderboards/entries of the checkout."),
]


@leaderboard_app.command("submit")
def submit_command(
    run: Annotated[Path, typer.Argument(help="Run directory of a finished run.")],
    team: Annotated[
        str | None, typer.Option(help="Who made it, as the board shall say; published.")
    ] = None,
    paper: Annotated[
        str | None, typer.Option(help="https link to what to cite for these numbers.")
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            help="YAML file that says what the editor is, where it is not of this project; "
            "default: beside the editor's file, as NAME.yaml."
        ),
    ] = None,
    entries: Entries = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what would be written; write nothing.")
    ] = False,
) -> None:
    """Make an entry of the leaderboard out of a run, checked against its journal."""
    from ..leaderboards.board.stands import where_it_stands
    from ..leaderboards.recompute import read_ran
    from ..leaderboards.submit import default_entries, entry_of, place_entry, to_commit
    from ..tasks.errors import InputError
    from .cards import card_for
    from .protocols import known

    if team is None and not check:
        raise InputError("--team is missing: the name of a person or group, which is published")
    ran, judged_by = read_ran(run), known()
    entry = entry_of(
        ran,
        card_for(ran, card, judged_by),
        judged_by,
        team="nobody yet" if team is None else team,
        paper=paper,
    )
    folder = entries or default_entries(Path.cwd())
    done = place_entry(entry, folder, check=check)
    rank = f"rank: {where_it_stands(entry, folder)}\n"
    size = f"{len(done.text.encode()) / 1024:.0f} KiB"
    if check:
        sys.stdout.write(f"good: would write {done.path} ({size}); nothing was written\n{rank}")
        return
    sys.stdout.write(f"{'wrote' if done.written else 'is there already'}: {done.path} ({size})\n")
    sys.stdout.write(rank)
    for line in to_commit(done):
        sys.stdout.write(f"{line}\n")


@leaderboard_app.command("verify")
def verify_command(
    context: typer.Context,
    entry: Annotated[Path, typer.Argument(help="Entry file.")],
    run: Annotated[
        Path | None, typer.Option(help="Run directory that it was made of: recompute all of it.")
    ] = None,
    replay: Annotated[
        int | None, typer.Option(min=1, help="Make the first so many edits again.")
    ] = None,
    data_dir: DataDir = None,
    device: Device = None,
    cache_dir: CacheDir = None,
    editor_path: EditorPath = None,
    model: Annotated[
        str | None, typer.Option(help="Where the model is here: folder, hub id or alias.")
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Hold an entry against its run, or make its first edits again; status 1 if it differs."""
    from ..leaderboards.entry import read_entry
    from ..leaderboards.recompute import read_ran
    from ..leaderboards.verify import checks_table, of_entry, of_run
    from ..tasks.errors import InputError
    from .protocols import known

    if run is None and replay is None:
        raise InputError("verify against what? --run RUN, --replay K, or both")
    if replay is None:
        refuse_beside(context, "--replay", _OF_REPLAY, word="without")
    read, console = read_entry(entry), Console()
    checks = [of_entry(read, known())]
    if run is not None:
        checks += of_run(read, read_ran(run))
    if replay is not None:
        from .again import Places, again
        from .display import display_for

        places = Places(data_dir, device, cache_dir, editor_path, model, trust_remote_code)
        with display_for(console) as display:
            checks += again(read, replay, places, display)
    console.print(checks_table(checks))
    if any(each.differs for each in checks):
        raise SystemExit(1)


@leaderboard_app.command("validate")
def validate_command(
    folder: Annotated[
        Path, typer.Argument(help="Folder with `entries` in it, or that folder itself.")
    ] = Path("leaderboards"),
    markdown: Annotated[
        Path | None, typer.Option(help="Also write what was found as markdown to this file.")
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            help="The same folder before: its entries must be as they were, or be removed; the "
            "markdown says which are new."
        ),
    ] = None,
) -> None:
    """Judge every entry of a leaderboard; status 1 if anything is wrong."""
    from ..leaderboards._files import write_whole
    from ..leaderboards.referee import untouched, validate
    from ..leaderboards.referee.show import as_markdown, in_terminal
    from .protocols import known

    judged_by = known()
    before = validate(base, judged_by) if base is not None else None
    found = validate(folder, judged_by, before.entries if before is not None else {})
    if before is not None:
        found.problems.extend(untouched(found, before))
    if markdown is not None:
        write_whole(markdown, as_markdown(found, before))
    Console().print(in_terminal(found, before), soft_wrap=True)
    if found.problems:
        raise SystemExit(1)
