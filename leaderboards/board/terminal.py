"""The board in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..show import plain
from .measures import BY_KEY
from .standings import NAMES, Ranked, Standing

_WIDE, _FULL = 116, 150
"""Columns of a terminal from which there is room for the parts of S, and for intervals."""
_PARTS = {"es", "ps", "ns", "kept_es"}

_Column = tuple[str, str, Callable[[Ranked], str]]


def _measure(key: str, intervals: bool) -> _Column:
    measure = BY_KEY[key]

    def read(ranked: Ranked) -> str:
        found = ranked.row.numbers[key]
        if not intervals or found.low is None or found.high is None:
            return measure.text(found.value)
        return f"{measure.text(found.value)} ({measure.text(found.low)}-{measure.text(found.high)})"

    return key, measure.heading, read


def _columns(width: int) -> list[_Column]:
    keys = [key for key in BY_KEY if width >= _WIDE or key not in _PARTS]
    measures = [_measure(key, key == "s" and width >= _FULL) for key in keys]
    costs = [each for each in measures if each[0] in ("seconds", "memory")]
    return [
        ("samples", "samples", lambda ranked: str(len(ranked.row.group.samples))),
        ("edits", "edits", lambda ranked: ranked.row.edits),
        *(each for each in measures if each not in costs),
        ("collapse", NAMES["collapse"], lambda ranked: ranked.row.survived_text),
        *costs,
    ]


def board_tables(standings: Sequence[Standing], width: int, sort: str) -> Group:
    """Show the rows of each protocol in a table.

    Args:
        standings: What to show.
        width: Columns of the terminal: where they are few, the parts of S are left out.
        sort: What rows are ordered by; its heading is marked.
    """
    tables = [_table(standing, width, sort) for standing in standings]
    return Group(*tables, _caption(sort))


def _table(standing: Standing, width: int, sort: str) -> Table:
    title = plain(f"{standing.title}: {standing.asked}, {standing.first.data.source} data")
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("rank", justify="right")
    table.add_column(_marked("editor", "editor", sort), overflow="fold", min_width=8)
    columns = _columns(width)
    for key, heading, _ in columns:
        word = max(map(len, heading.split()))
        # Narrow from the start: what rich takes back, it takes from names first.
        shown = heading if width >= _WIDE else heading.replace(" ", "\n")
        table.add_column(
            _marked(shown, key, sort), justify="right", overflow="fold", min_width=word
        )
    for ranked in standing.ranked:
        cells = (read(ranked) for _, _, read in columns)
        table.add_row(ranked.text, plain(ranked.row.label), *cells)
    return table


def _marked(heading: str, key: str, sort: str) -> Text:
    return Text(heading, style="bold" if key == sort else "")


def _caption(sort: str) -> Text:
    by = BY_KEY[sort].heading if sort in BY_KEY else "S"
    return plain(
        f"rank: one more than the rows whose {by} is better by more than chance (95 %; by the "
        "number alone where it has no interval), = where it is shared; percent; kept: of the "
        "edits that worked at once, those that still do at the end; downstream kept: (F1 - floor) "
        "/ (unedited F1 - floor); >N: no collapse in N edits"
    )
