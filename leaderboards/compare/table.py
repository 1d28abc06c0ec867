"""A comparison in the terminal, as wide as that is."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text as Styled

from ..show import plain
from .grid import CURVE, Grid, Text

_SPACE = 1
_LABEL = 24
"""Widest column of editors; longer names go on below."""
_MARKS = {"best": "*", "tied": "~", "": ""}


class ComparisonTable:
    """A grid that fits any terminal.

    What does not fit is left out or put below, in this order: curves, differences to `none`, then
    the last columns make another table below.
    """

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay it out for a console."""
        width = options.max_width
        grid = self._grid
        yield plain(grid.title)
        columns = list(range(len(grid.headings)))
        without_curve = [at for at in columns if not grid.headings[at].endswith(CURVE)]
        layouts = [(columns, True), (without_curve, True), (without_curve, False)]
        for chosen, deltas in layouts:
            if self._width(chosen, deltas) <= width:
                yield self._table(chosen, deltas)
                break
        else:
            tables = [self._table(block, True) for block in self._blocks(without_curve, width)]
            yield Group(*(part for table in tables for part in (table, Styled())))
        for caption in grid.captions:
            yield plain(caption)

    def _blocks(self, columns: Sequence[int], width: int) -> list[list[int]]:
        """Split columns into tables below each other."""
        blocks: list[list[int]] = []
        for at in columns:
            if blocks and self._width([*blocks[-1], at], True) <= width:
                blocks[-1].append(at)
            else:
                blocks.append([at])
        return blocks

    def _width(self, columns: Sequence[int], deltas: bool) -> int:
        first = max(cell_len(label) for label in ("editor", *self._grid.labels))
        return min(first, _LABEL) + sum(_SPACE + self._wide(at, deltas) for at in columns)

    def _wide(self, at: int, deltas: bool) -> int:
        """Return the width that a column needs; headings may break between words."""
        words = self._grid.headings[at].split()
        texts = [line for row in self._grid.rows for line in _lines(row[at], deltas)]
        return max(map(cell_len, [*words, *texts]), default=1)

    def _table(self, columns: Sequence[int], deltas: bool) -> Table:
        table = Table(box=None, padding=(0, _SPACE, 0, 0), pad_edge=False)
        table.add_column("editor", overflow="fold", max_width=_LABEL, min_width=6)
        for at in columns:
            # Headings can be a task's name: only text, never markup.
            table.add_column(
                plain(self._grid.headings[at]),
                justify="left" if self._grid.headings[at].endswith(CURVE) else "right",
                overflow="fold",
                min_width=min(self._wide(at, deltas), 40),
            )
        for label, row in zip(self._grid.labels, self._grid.rows, strict=True):
            table.add_row(plain(label), *(_styled(row[at], deltas) for at in columns))
        return table


def _lines(text: Text, deltas: bool) -> list[str]:
    value = f"{text.value}{_MARKS[text.mark]}"
    first = f"{value} {text.delta}" if deltas and text.delta else value
    return [first, text.interval] if text.interval else [first]


def _styled(text: Text, deltas: bool) -> Styled:
    first, *rest = _lines(text, deltas)
    value = f"{text.value}{_MARKS[text.mark]}"
    styled = Styled(value, style="bold" if text.mark == "best" else "")
    styled.append(first[len(value) :], style="cyan")
    for line in rest:
        styled.append(f"\n{line}", style="dim")
    return styled
