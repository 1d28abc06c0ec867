"""The table of properties: for the terminal, for a README, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from .._letters import visible
from ..show import plain
from .properties import PropertyRow
from .records import Estimate
from .show import interval, table

HEADINGS = (
    "editor",
    "runs",
    "efficacy",
    "locality",
    "edits before collapse",
    "downstream loss",
    "forgetting",
    "single disabling edit",
)
CAPTION = (
    "percent, with 95 % intervals over {over}. efficacy: ES right after each edit; locality: NS "
    "likewise, and a word for how far it is below the unedited model's; downstream loss: of what "
    "the unedited model does better than a constant answer; forgetting: of facts learned; all of "
    "them up to the collapse, or the end. edits before collapse: one number a run, in brackets "
    "what it may be where no change of level says more closely."
)

_SPACE = 1
_LABEL = 24
"""Widest column of editors; longer names go on below."""


def cells(row: PropertyRow, *, stacked: bool = False) -> list[str]:
    """Return a row as text: number, interval and word beside or below each other."""

    def worded(found: Estimate, word: str) -> str:
        number = interval(found)
        if stacked:
            number = number.replace(" (", "\n").removesuffix(")")
        return number if word == "-" else number + ("\n" if stacked else ", ") + word

    return [
        row.editor,
        str(row.runs),
        worded(row.efficacy, row.efficacy_word),
        worded(row.locality, row.locality_word),
        before_collapse(row),
        worded(row.downstream_loss, row.downstream_word),
        worded(row.forgetting, row.forgetting_word),
        disabling(row),
    ]


def before_collapse(row: PropertyRow) -> str:
    """Return how many edits an editor makes before the model breaks, run by run.

    Behind it stands between which numbers it must be, where the run cannot tell more closely. A run
    that did not break says that it takes more edits than it had.
    """
    parts = []
    for before, between, edits in zip(
        row.before_collapse, row.before_collapse_between, row.edits, strict=True
    ):
        if before is None or between is None:
            parts.append(f">{edits}")
        else:
            low, high = between
            parts.append(str(before) if low == high else f"{before} ({low}-{high})")
    return ", ".join(parts)


def disabling(row: PropertyRow) -> str:
    """Return whether a single edit disables the model, and of how many that were tried."""
    if row.disabling is None:
        return "not tried"
    return f"{'yes' if row.disabling else 'no'}, of {row.disabling_tried} tried"


def _caption(rows: Sequence[PropertyRow]) -> str:
    kinds = sorted({row.over for row in rows}, reverse=True)
    return CAPTION.format(
        over=" (or, of fewer than three runs, ".join(kinds) + ")" * (len(kinds) - 1)
    )


class PropertiesTable:
    """The table for the terminal: what is too wide goes on below, and no number is broken."""

    def __init__(self, rows: Sequence[PropertyRow]) -> None:
        self._rows = [cells(row, stacked=True) for row in rows]
        self._caption = _caption(rows)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay it out for a console."""
        for columns in self._blocks(options.max_width):
            yield self._table(columns)
        yield Text(self._caption, style="dim")

    def _blocks(self, width: int) -> list[list[int]]:
        """Part the columns after the first so that each block fits, as far as one column does."""
        first = max(map(cell_len, (HEADINGS[0], *(row[0] for row in self._rows))))
        left = width - min(first, _LABEL)
        blocks: list[list[int]] = [[]]
        for at in range(1, len(HEADINGS)):
            if blocks[-1] and sum(_SPACE + self._wide(each) for each in [*blocks[-1], at]) > left:
                blocks.append([])
            blocks[-1].append(at)
        return blocks

    def _wide(self, at: int) -> int:
        """Return the width of a column: that of its longest word."""
        words = " ".join([HEADINGS[at], *(row[at] for row in self._rows)]).split()
        return max(map(cell_len, words))

    def _table(self, columns: Sequence[int]) -> Table:
        made = table([HEADINGS[0], *(HEADINGS[at] for at in columns)])
        made.padding = (0, _SPACE, 0, 0)
        made.columns[0].max_width = _LABEL
        for column, at in zip(made.columns[1:], columns, strict=True):
            column.width = self._wide(at)
        for row in self._rows:
            texts = (row[at].split("\n") for at in (0, *columns))
            made.add_row(*(Text("\n").join(map(plain, text)) for text in texts), end_section=True)
        return made


def as_markdown(rows: Sequence[PropertyRow]) -> str:
    """Return the table in Markdown."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *map(cells, rows)]
    body = "\n".join(f"| {' | '.join(_escaped(cell) for cell in line)} |" for line in lines)
    return f"{body}\n\n{_caption(rows)}\n"


def _escaped(cell: str) -> str:
    return visible(cell).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def as_json(rows: Sequence[PropertyRow]) -> str:
    """Return the rows as JSON."""
    return json.dumps([row.model_dump() for row in rows], indent=2) + "\n"
