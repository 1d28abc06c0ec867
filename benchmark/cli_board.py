"""The board of the entries: parse, call, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..leaderboards.entry import ENTRIES
from ..tasks.errors import InputError, unknown_name

if TYPE_CHECKING:
    from ..leaderboards.board.choose import Choice
    from ..leaderboards.board.filed import Filed

board_app = typer.Typer()


@board_app.command("leaderboard")
def leaderboard_command(
    entries: Annotated[
        Path, typer.Option(help="Folder of entries.", show_default="leaderboards/entries")
    ] = ENTRIES,
    suite: Annotated[
        str | None, typer.Option(help="Only this suite: name or name@version.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Only this model: name or name@revision.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only editors of this kind: weights, hooks or context.")
    ] = None,
    needs: Annotated[
        list[str] | None,
        typer.Option(help="Only editors that need this before the first edit; may be repeated."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="Only editors that do not need this, e.g. covariance; may be repeated."),
    ] = None,
    sort: Annotated[
        str, typer.Option(help="Column to rank by: s, es, ps, ns, kept_exact, collapse, ...")
    ] = "s",
    html: Annotated[
        Path | None, typer.Option(help="Write the board as a static site into this folder.")
    ] = None,
    files: Annotated[
        str | None,
        typer.Option(
            help="With --html: link to the entries there, a relative path or an https address, "
            "instead of copying them into the site."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Rank the entries of the leaderboard: in the terminal, as JSON, or as a static site."""
    from ..leaderboards.board.as_json import board_json
    from ..leaderboards.board.choose import Choice
    from ..leaderboards.board.filed import read_entries
    from ..leaderboards.board.standings import SORTS, standings
    from ..leaderboards.board.terminal import board_tables

    if sort not in SORTS:
        raise unknown_name("column", sort, SORTS)
    if files is not None and html is None:
        raise InputError("--files goes with --html")
    if sort != "s" and html is not None:
        raise InputError("--sort is for the terminal: the page can be sorted by every column")
    choice = Choice(suite, model, kind, tuple(needs or ()), tuple(without or ()))
    found = standings(_chosen(choice, read_entries(entries)), sort)
    if html is not None:
        from ..leaderboards.board.site import write_site

        index = write_site(found, html, files)
        sys.stderr.write(f"board: {index}\n") if json else sys.stdout.write(f"{index}\n")
    if json:
        sys.stdout.write(board_json(found))
    elif html is None:
        console = Console()
        console.print(board_tables(found, console.width, sort))


def _chosen(choice: Choice, filed: list[Filed]) -> list[Filed]:
    """Return the entries that are asked for.

    Raises:
        InputError: a name is not one that entries have, or no entry has all of them.
    """
    from ..leaderboards.board.choose import KINDS, known, model_names, suite_names

    given = [
        ("suite", choice.suite, known(filed, suite_names)),
        ("model", choice.model, known(filed, model_names)),
        ("kind", choice.kind, KINDS),
        *(
            ("need", name, known(filed, lambda result: result.editor.needs))
            for name in (*choice.needs, *choice.without)
        ),
    ]
    for what, name, names in given:
        if name is not None and name not in names:
            raise unknown_name(what, name, names)
    if not (chosen := choice.chosen(filed)):
        raise InputError(f"none of {len(filed)} entries has {choice}")
    return chosen
