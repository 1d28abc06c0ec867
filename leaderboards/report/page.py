"""The report: one HTML file that holds everything it shows."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..analysis.constants import Constants
from ..analysis.journal import RunJournal
from ..analysis.properties import ensure_same_protocol, properties
from . import chart as geometry
from .cite import BIBTEX
from .content import card, shown_triangle
from .course import ages, charts, sample, tell
from .tables import (
    chart_table,
    constants_table,
    costs_table,
    disabling_tables,
    numbers_table,
    properties_table,
)

_GEOMETRY = {
    "width": geometry.WIDTH,
    "height": geometry.HEIGHT,
    "left": geometry.LEFT,
    "right": geometry.RIGHT,
    "top": geometry.TOP,
    "bottom": geometry.BOTTOM,
}


def report(runs: Sequence[RunJournal], constants: Constants | None = None) -> str:
    """Return the report of one or several runs as HTML.

    Args:
        runs: Of the same suite, model and data.
        constants: Thresholds of the analysis.

    Raises:
        ResultError: the runs cannot be shown together.
    """
    constants = constants or Constants()
    ensure_same_protocol(runs)
    told = tell(runs, constants)
    longest = max(len(run.edits) for run in runs)
    cards = [card(at, each, longest) for at, each in enumerate(told)]
    drawn, by_age = charts(told), ages(told)
    triangles = [each for at, run in enumerate(told) if (each := shown_triangle(at, run))]
    tables = [
        numbers_table(told),
        properties_table(properties(runs, constants, [each.found for each in told])),
        *disabling_tables(told),
    ]
    for_script = {
        "geometry": _GEOMETRY,
        "charts": [each.for_script() for each in (*drawn, *([by_age] if by_age else []))],
        "triangles": {each.index: each.for_script() for each in triangles},
    }
    script = _file("report.js")
    return (
        _environment()
        .get_template("report.html")
        .render(
            title=_title(runs),
            setting=_setting(runs),
            cards=cards,
            charts=drawn,
            ages=by_age,
            triangles=triangles,
            tables=tables,
            costs=costs_table(told),
            constants=constants_table(constants),
            chart_table=chart_table,
            geometry=_GEOMETRY,
            short=geometry.short,
            bibtex=BIBTEX,
            version=version("seqedit-bench"),
            style=Markup(_file("report.css")),
            script=Markup(script),
            script_hash=Markup(_hash(script)),
            data=embedded(for_script),
        )
    )


def _title(runs: Sequence[RunJournal]) -> str:
    editors = list(dict.fromkeys(run.editor for run in runs))
    edits = max(len(run.edits) for run in runs)
    what = plain(editors[0]) if len(editors) == 1 else f"{len(editors)} editors"
    return f"What {edits:,} edits by {what} do to {plain(runs[0].model)}"


def _setting(runs: Sequence[RunJournal]) -> str:
    suite, data, model = (runs[0].part(part) for part in ("suite", "data", "model"))
    samples = sorted({str(sample(run)) for run in runs})
    started = sorted(str(run.part("provenance").get("started", ""))[:10] for run in runs)
    parts = [
        f"suite {suite.get('name', '?')}@{suite.get('version', '?')}",
        f"{data.get('edits', '?')} edits from {data.get('source', '?')} data",
        f"order {', '.join(samples)}",
        f"{model.get('dtype', '?')}",
        f"measured {started[0]}" if started[0] else "",
    ]
    return " · ".join(part for part in parts if part)


def plain(text: object) -> str:
    """Replace what a page must not show: control characters, direction overrides.

    Example:
        >>> plain("a" + chr(27) + "[2J") == "a" + chr(0xFFFD) + "[2J"
        True
    """
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in str(text)
    )


def embedded(value: object) -> Markup:
    r"""Return JSON that can stand inside a script element: nothing in it ends the element.

    Example:
        >>> print(embedded(["</script>", "&"]))
        ["\u003c/script\u003e","\u0026"]
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _environment() -> Environment:
    folder = files("seqedit_bench.leaderboards.report") / "templates"
    made = Environment(
        loader=FileSystemLoader(str(folder)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["plain"] = plain
    return made


def _file(name: str) -> str:
    return (files("seqedit_bench.leaderboards.report") / "templates" / name).read_text("utf-8")


def _hash(script: str) -> str:
    """Return what the page's content policy knows our script by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
