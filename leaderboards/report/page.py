"""The report: one HTML file that holds everything it shows."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from markupsafe import Markup

from .._html import embedded, environment, plain, policy_hash, template_file
from ..analysis.constants import Constants
from ..analysis.journal import RunJournal
from ..analysis.properties import ensure_same_protocol, properties
from .chart import GEOMETRY, short
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
        "geometry": GEOMETRY,
        "charts": [each.for_script() for each in (*drawn, *([by_age] if by_age else []))],
        "triangles": {each.index: each.for_script() for each in triangles},
    }
    script = _joined("charts.js", "report.js")
    return (
        environment("report")
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
            geometry=GEOMETRY,
            short=short,
            bibtex=BIBTEX,
            version=version("seqedit-bench"),
            style=Markup(_joined("look.css", "report.css")),
            script=Markup(script),
            script_hash=Markup(policy_hash(script)),
            data=embedded(for_script),
        )
    )


def _joined(*names: str) -> str:
    return "".join(template_file("report", name) for name in names)


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
