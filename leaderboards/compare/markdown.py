"""A comparison as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .._one_line import one_line
from .grid import Grid, Text


def as_markdown(grid: Grid) -> str:
    """Return a grid as a table of Markdown, whatever letters are in the names."""
    rows = [
        [_markdown(label), *map(_markdown_cell, row)]
        for label, row in zip(grid.labels, grid.rows, strict=True)
    ]
    table = _lines(["editor", *map(_markdown, grid.headings)], rows, "---:")
    captions = [f"\n{_markdown(caption)}\n" for caption in grid.captions]
    return f"{_markdown(grid.title)}\n\n{table}{''.join(captions)}"


def as_markdown_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, code: bool = False
) -> str:
    """Return a small table of Markdown.

    Args:
        headings: Of the columns; plain words.
        rows: Texts, with whatever letters.
        code: Whether the first column holds names of ours, to be set as code.
    """

    def cells(row: Sequence[str]) -> list[str]:
        first, *rest = row
        return [f"`{first}`" if code else _markdown(first), *map(_markdown, rest)]

    return _lines(headings, map(cells, rows), "---")


def _lines(headings: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    rule = ["---", *(align for _ in headings[1:])]
    return "".join(f"{_row(cells)}\n" for cells in (headings, rule, *rows))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cell(text: Text) -> str:
    value = _markdown(text.value)
    if text.mark == "best":
        value = f"**{value}**\\*"
    elif text.mark == "tied":
        value += "\\~"
    parts = [value, *([f"({text.interval})"] * bool(text.interval)), _markdown(text.delta)]
    return " ".join(part for part in parts if part.strip())


def _markdown(text: str) -> str:
    r"""Return text that Markdown shows as it is: on one line, no markup, cells, HTML or links.

    Example:
        >>> print(_markdown("rect_all | <b>"))
        rect\_all \| &lt;b&gt;
    """
    text = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = "".join(f"\\{letter}" if letter in r"\`*_{}[]()#|~!$" else letter for letter in text)
    # Addresses, people and issues become links and calls by themselves on some sites.
    text = text.replace("://", ":&#8203;//").replace("www.", "www&#8203;.")
    return re.sub(r"(?<!\w)@", "&#64;", text)
