"""A comparison as Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from ..analysis.records import Estimate
from ..canonical import canonical
from .comparison import Cell, Comparison, Row
from .grid import CURVE, Grid, Text
from .metrics import Metric

FORMAT_VERSION = 1
"""Of the JSON and the columns of CSV; changes when a key changes its name or meaning."""

CSV_COLUMNS = (
    *("editor", "hparams", "run", "samples", "edits", "metric", "value", "low", "high", "count"),
    *("mark", "to_best", "to_best_low", "to_best_high", "to_best_pairs"),
    *("to_none", "to_none_low", "to_none_high", "to_none_pairs"),
)


def as_markdown(grid: Grid) -> str:
    """Return a grid as a table of Markdown, whatever letters are in the names."""
    lines = [
        _markdown(grid.title),
        "",
        _row(["editor", *map(_markdown, grid.headings)]),
        _row(["---", *("---:" for _ in grid.headings)]),
    ]
    for label, row in zip(grid.labels, grid.rows, strict=True):
        lines.append(_row([_markdown(label), *map(_markdown_cell, row)]))
    for caption in grid.captions:
        lines += ["", _markdown(caption)]
    return "\n".join(lines) + "\n"


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
    text = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = "".join(f"\\{letter}" if letter in r"\`*_{}[]()#|~!$" else letter for letter in text)
    # Addresses, people and issues become links and calls by themselves on some sites.
    text = text.replace("://", ":&#8203;//").replace("www.", "www&#8203;.")
    return re.sub(r"(?<!\w)@", "&#64;", text)


def as_latex(grid: Grid) -> str:
    """Return a grid as a `tabular` of booktabs; without small curves, no font has their letters."""
    columns = [at for at, heading in enumerate(grid.headings) if not heading.endswith(CURVE)]
    head = " & ".join(["editor", *(_latex(grid.headings[at]) for at in columns)])
    lines = [
        "% \\usepackage{booktabs}",
        f"% {clean(grid.title, ascii_only=True)}",
        f"\\begin{{tabular}}{{l{'r' * len(columns)}}}",
        "\\toprule",
        f"{head} \\\\",
        "\\midrule",
    ]
    for label, row in zip(grid.labels, grid.rows, strict=True):
        cells = [_latex(label), *(_latex_cell(row[at]) for at in columns)]
        # A line that begins with a bracket would be an argument of the line end before it.
        lines.append(f"{{}}{' & '.join(cells)} \\\\")
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"% {clean(caption, ascii_only=True)}" for caption in grid.captions]
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
    """
    if not re.fullmatch(r"[-+<>…,.\de]*", text):
        return _latex(text)
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
    '"': r"\textquotedbl{}",
    "…": r"\dots{}",
    "-": "{-}",  # two of them would be one long one
    "'": "{'}",
    "`": "{`}",
    "?": "{?}",
    "!": "{!}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def _latex(text: str) -> str:
    r"""Return text that LaTeX sets as it is; letters that it does not know become question marks.

    Example:
        >>> _latex("a_b & 50%")
        'a\\_b \\& 50\\%'
    """
    text = "".join(letter if letter == "…" else _known_to_latex(letter) for letter in clean(text))
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _known_to_latex(letter: str) -> str:
    # Latin letters with accents are what every LaTeX of this century sets.
    if letter.isascii() or (letter.isalpha() and "\u00c0" <= letter <= "\u017e"):
        return letter
    return "?"


def as_csv(comparison: Comparison) -> str:
    """Return a line for every editor and metric; shares are fractions.

    Text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for row in comparison.rows:
        about = [
            _csv(row.group.editor),
            _csv(canonical_line(row.group.shown_hparams)),
            _csv(row.group.told_apart),
            _csv(" ".join(map(str, row.group.samples))),
            str(row.done),
        ]
        for metric, cell in zip(comparison.metrics, row.cells, strict=True):
            number = cell.number
            writer.writerow(
                [
                    *about,
                    _csv(metric.name),
                    *map(_digits, (number.value, number.low, number.high)),
                    str(number.count),
                    cell.mark,
                    *_csv_difference(cell.to_best),
                    *_csv_difference(cell.to_control),
                ]
            )
    return stream.getvalue()


def _csv_difference(found: Estimate | None) -> list[str]:
    if found is None or found.value is None:
        return [""] * 4
    return [*map(_digits, (found.value, found.low, found.high)), str(found.count)]


def _digits(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _csv(text: str) -> str:
    """Return text that no spreadsheet computes.

    Example:
        >>> _csv("=1+1"), _csv("rome")
        ("'=1+1", 'rome')
    """
    text = clean(text)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@", "|", "%")) else text


def canonical_line(hparams: dict[str, Any]) -> str:
    """Return hyper-parameters as JSON on one line; nothing where there are none."""
    return " ".join(canonical(hparams).split()) if hparams else ""


def as_json(comparison: Comparison) -> str:
    """Return all numbers; docs/statistics.md says what each key means."""
    first = comparison.first
    return canonical(
        {
            "format_version": FORMAT_VERSION,
            "suite": first.suite.model_dump(mode="json"),
            "model": {
                "name": first.model.name,
                "weights_sha256": first.model.weights_sha256,
                "dtype": first.model.dtype,
            },
            "data": {"edits": first.data.edits, "files_sha256": first.data.files_sha256},
            "edits": comparison.edits,
            "bootstrap": {"draws": comparison.draws, "seed": comparison.seed, "level": 0.95},
            "metrics": [_json_metric(metric) for metric in comparison.metrics],
            "curve": comparison.curve.name,
            "rows": [_json_row(row, comparison.metrics) for row in comparison.rows],
            "notes": comparison.notes,
        }
    )


def _json_metric(metric: Metric) -> dict[str, Any]:
    better = {1: "higher", -1: "lower", 0: None}[metric.better]
    return {
        "name": metric.name,
        "better": better,
        "unit": "share" if metric.unit == "%" else metric.unit,
    }


def _json_row(row: Row, metrics: Sequence[Metric]) -> dict[str, Any]:
    group = row.group
    return {
        "editor": group.editor,
        "differing_hparams": group.shown_hparams,
        "hparams": group.members[0].run.result.editor.hparams,
        "runs": [
            {
                "name": member.run.name,
                "sample": member.sample,
                "seed": member.run.result.seed,
                "edits": member.edits,
            }
            for member in group.members
        ],
        "metrics": {
            metric.name: _json_cell(cell) for metric, cell in zip(metrics, row.cells, strict=True)
        },
        "curve": row.curve,
    }


def _json_cell(cell: Cell) -> dict[str, Any]:
    return {
        **cell.number.model_dump(),
        "mark": cell.mark or None,
        "open_ended": cell.open_ended,
        "to_best": _json_difference(cell.to_best),
        "to_none": _json_difference(cell.to_control),
    }


def _json_difference(found: Estimate | None) -> dict[str, Any] | None:
    if found is None or found.value is None:
        return None
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "pairs": found.count,
    }


def clean(text: str, *, ascii_only: bool = False) -> str:
    """Return text on one line, without what steers a terminal or turns the direction of writing."""
    spaced = " ".join(text.split())
    return "".join(
        letter
        if letter.isprintable() and not (ascii_only and not letter.isascii())
        else "?"
        if ascii_only or unicodedata.category(letter) == "Cs"
        else "\ufffd"
        for letter in spaced
    )
