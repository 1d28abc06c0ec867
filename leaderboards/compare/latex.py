"""A comparison as LaTeX."""

from __future__ import annotations

import re

from .._one_line import one_line
from .grid import CURVE, Grid, Text


def as_latex(grid: Grid) -> str:
    """Return a grid as a `tabular` of booktabs; without small curves, no font has their letters."""
    columns = [at for at, heading in enumerate(grid.headings) if not heading.endswith(CURVE)]
    head = " & ".join(["editor", *(latex(grid.headings[at]) for at in columns)])
    lines = [
        "% \\usepackage{booktabs}",
        f"% {one_line(grid.title, ascii_only=True)}",
        f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
        "\\toprule",
        f"{head} \\\\",
        "\\midrule",
    ]
    for label, row in zip(grid.labels, grid.rows, strict=True):
        cells = [latex(label), *(_latex_cell(row[at]) for at in columns)]
        # A line that begins with a bracket would be an argument of the line end before it.
        lines.append(f"{{}}{' & '.join(cells)} \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"% {one_line(caption, ascii_only=True)}" for caption in grid.captions]
    return "\n".join(lines) + "\n"


def _latex_cell(text: Text) -> str:
    value = _latex_number(text.value)
    if text.mark == "best":
        value = f"\\textbf{{{value}}}"
    elif text.mark == "tied":
        value = f"\\underline{{{value}}}"
    if text.delta:
        value += f" {{\\scriptsize {_latex_number(text.delta)}}}"
    if text.interval:
        value += f" {{\\scriptsize ({_latex_number(text.interval)})}}"
    return value


def _latex_number(text: str) -> str:
    r"""Return a number or an interval with proper dashes.

    Example:
        >>> _latex_number("-0.5"), _latex_number("80.5-90.0"), _latex_number("-1…+2")
        ('$-$0.5', '80.5--90.0', '$-$1 to +2')
        >>> _latex_number("-")  # no number at all
        '--'
    """
    if text == "-":
        return "--"
    if not re.fullmatch(r"[-+<>…,.\de]*", text):
        return latex(text)
    text = re.sub(r"(?<=\d)-(?=\d)", "--", text) if "e" not in text else text
    text = re.sub(r"(?<!-)-(?!-)", "$-$", text).replace("…", " to ")
    return re.sub(r"[<>]", r"$\g<0>$", text)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",  # the upright one needs another font encoding
    "…": r"\dots{}",
    "-": "{-}",  # two of them would be one long one
    "'": "{'}",
    "`": "{`}",
    "?": "{?}",
    "!": "{!}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def latex(text: str) -> str:
    r"""Return text that LaTeX sets as it is; letters that it does not know become question marks.

    Example:
        >>> latex("a_b & 50%")
        'a\\_b \\& 50\\%'
    """
    text = "".join(
        letter if letter == "…" else _known_to_latex(letter) for letter in one_line(text)
    )
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _known_to_latex(letter: str) -> str:
    # Latin letters with accents are what every LaTeX of this century sets.
    if letter.isascii() or (letter.isalpha() and "\u00c0" <= letter <= "\u017e"):
        return letter
    return "?"
