"""BibTeX of a table: the suite, the paper behind it, and the editors by what their cards say."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .._one_line import one_line
from ..compare.latex import latex
from ..report.cite import HARNESS, PAPER, software

_ARXIV = re.compile(r"arXiv[ :]?(\d{4}\.\d{4,5})")
_AUTHOR = re.compile(r"(\w[\w'-]*) et al\.,? (\d{4}) \(arXiv[ :]?(\d{4}\.\d{4,5})")
_OURS = ("2401.07453",)
"""Papers that are cited in full anyway."""


@dataclass(frozen=True, slots=True)
class Credit:
    """Who is to be cited for what."""

    what: str
    """An editor, or the results of a team."""
    paper: str
    """As its card says, or the address of a paper; "-" for none."""


def bibtex(credits: Iterable[Credit], version: str) -> str:
    """Return what to cite.

    Nothing is added to what cards say: where one has a name, a year and a number on arXiv, that is
    what stands there, and the title is left to be looked up.

    Args:
        credits: Of editors and results; those without a paper are left out.
        version: Of this package.
    """
    blocks = [PAPER, software(f"Version {version}"), HARNESS]
    by_paper: dict[str, list[str]] = {}
    for credit in credits:
        if credit.paper.strip() not in ("", "-"):
            whats = by_paper.setdefault(credit.paper, [])
            whats += [credit.what] * (credit.what not in whats)
    on_arxiv: dict[str, dict[str, list[str]]] = {}
    elsewhere = []
    for paper in sorted(by_paper):
        numbers = [number for number in _ARXIV.findall(paper) if number not in _OURS]
        for number in numbers:
            on_arxiv.setdefault(number, {})[paper] = by_paper[paper]
        if not _ARXIV.search(paper):
            elsewhere.append(_elsewhere(paper, by_paper[paper], len(elsewhere) + 1))
    blocks += [_on_arxiv(number, on_arxiv[number]) for number in sorted(on_arxiv)]
    return "\n".join([*blocks, *elsewhere])


def _on_arxiv(number: str, cards: dict[str, list[str]]) -> str:
    fields = {}
    for paper in cards:
        for author, year, its_number in _AUTHOR.findall(paper):
            if its_number == number:
                fields = {"author": f"{author} and others", "year": year}
    whats = sorted({what for named in cards.values() for what in named})
    fields |= {
        "eprint": number,
        "archiveprefix": "arXiv",
        "url": f"https://arxiv.org/abs/{number}",
        "note": f"Cited for {', '.join(whats)}",
    }
    return _block("misc", f"arxiv_{number.replace('.', '_')}", fields)


def _elsewhere(paper: str, whats: list[str], number: int) -> str:
    note = f"Cited for {', '.join(sorted(whats))}"
    if re.fullmatch(r"https://[!-~]+", paper):
        return _block("misc", f"paper_{number}", {"url": paper, "note": note})
    return _block("misc", f"paper_{number}", {"howpublished": paper, "note": note})


def _block(kind: str, key: str, fields: dict[str, str]) -> str:
    wide = max(map(len, fields))
    lines = [f"  {name:<{wide}} = {{{_value(name, text)}}},\n" for name, text in fields.items()]
    return f"@{kind}{{{key},\n{''.join(lines)}}}\n"


def _value(name: str, text: str) -> str:
    """Return a value between braces: none of its own, which would end it."""
    text = one_line(text).replace("{", "(").replace("}", ")")
    return re.sub(r"[\\%]", "", text) if name == "url" else latex(text)
