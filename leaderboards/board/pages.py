"""What the pages of the board say; the templates say how it looks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import combinations
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from .._html import embedded, environment, plain, policy_hash, template_file
from ..canonical import rounded
from ..compare.downstream import able_tasks
from ..report.chart import GEOMETRY
from ..report.tables import chart_table
from .curves import SPARK_HEIGHT, SPARK_WIDTH, collapses, row_charts, rows_charts, sparkline
from .filed import Filed
from .measures import BY_KEY, MEASURES, Measure
from .page_tables import costs_table, hparams_table, provenance_table
from .rows import SURVIVED, Row
from .standings import Ranked, Standing, clearly_better

COLLAPSE_WORDS = (
    "Edits made before the model was broken, as seqedit-bench analyze finds it, or before "
    "something was not finite; >N: not seen in N edits. Two numbers: the runs differ."
)


class Pages:
    """The pages of a board, one text each; equal standings make equal texts."""

    def __init__(self, standings: Sequence[Standing], files: str) -> None:
        """Prepare.

        Args:
            standings: What to show.
            files: Where the entries are, seen from the index.
        """
        self._standings = standings
        self._files = files
        self._environment = environment("board", "report")
        self._style = template_file("report", "look.css") + template_file("board", "board.css")
        self._theme = template_file("board", "theme.js")

    def index(self) -> str:
        """Return the page with the tables."""
        return self._page("index.html", ["index.js"], None, facets=self._facets)

    def compare(self) -> str:
        """Return the page on which two rows are put side by side."""
        charts = [rows_charts(_rows(each), f"{at}-") for at, each in enumerate(self._standings)]
        data = {
            "geometry": GEOMETRY,
            "charts": [chart.for_script() for group in charts for chart in group],
            **_pairs(self._standings),
        }
        return self._page(
            "compare.html",
            ["charts.js", "compare.js"],
            rounded(data),
            charts=charts,
            marks=[_marks(_rows(each)) for each in self._standings],
            better=_Better(),
        )

    def row(self, row: Row) -> str:
        """Return the page of a row."""
        standing, ranked = next(
            (standing, ranked)
            for standing in self._standings
            for ranked in standing.ranked
            if ranked.row is row
        )
        charts = row_charts(row)
        return self._page(
            "row.html",
            ["charts.js", "row.js"],
            {"geometry": GEOMETRY, "charts": [chart.for_script() for chart in charts]},
            root="../",
            standing=standing,
            ranked=ranked,
            row=row,
            charts=charts,
            marks=[(0, edit, words) for edit, words in collapses(row)],
            sentence=_sentence(ranked, standing),
            baseline=_baseline(row),
            able=able_tasks(row.first.result),
            hparams=hparams_table(row),
            costs=costs_table(row),
            provenance=provenance_table(row),
        )

    def _page(
        self, template: str, scripts: Sequence[str], data: object, root: str = "", **more: Any
    ) -> str:
        script = "".join(
            template_file("report" if name == "charts.js" else "board", name) for name in scripts
        )
        return self._environment.get_template(template).render(
            standings=self._standings,
            measures=MEASURES,
            geometry=GEOMETRY,
            collapse=SURVIVED,
            collapse_words=COLLAPSE_WORDS,
            spark_size=(SPARK_WIDTH, SPARK_HEIGHT),
            sparkline=sparkline,
            chart_table=chart_table,
            version=version("seqedit-bench"),
            measured=self._measured,
            root=root,
            file_of=lambda run: self._link(run, root),
            search_text=_search_text,
            style=Markup(self._style),
            style_hash=Markup(policy_hash(self._style)),
            theme=Markup(self._theme),
            theme_hash=Markup(policy_hash(self._theme)),
            script=Markup(script),
            script_hash=Markup(policy_hash(script)),
            data=None if data is None else embedded(data),
            **more,
        )

    def _link(self, run: Filed, root: str) -> str:
        there = self._files if self._files.startswith("https://") else root + self._files
        return f"{there}/{quote(run.place)}"

    @cached_property
    def _measured(self) -> str:
        """From which day to which the entries were measured, as they say."""
        days = sorted(
            str(run.entry.result.provenance.get("started", ""))[:10]
            for standing in self._standings
            for row in _rows(standing)
            for run in row.runs
        )
        known = [day for day in days if day]
        return " to ".join(dict.fromkeys((known[0], known[-1]))) if known else ""

    @cached_property
    def _facets(self) -> dict[str, list[str]]:
        """What rows can be filtered by."""
        editors = [row.first.result.editor for each in self._standings for row in _rows(each)]
        return {
            "model": sorted({each.model for each in self._standings}),
            "suite": sorted({each.suite for each in self._standings}),
            "kind": sorted({editor.kind for editor in editors}),
            "needs": sorted({need for editor in editors for need in editor.needs}),
        }


def _rows(standing: Standing) -> list[Row]:
    return [ranked.row for ranked in standing.ranked]


def _search_text(row: Row, standing: Standing) -> str:
    """Return what the search looks in."""
    parts = (row.label, row.card.name, row.card.summary, row.card.paper, row.teams, standing.title)
    return plain(" ".join(parts)).lower()


def _marks(rows: Sequence[Row]) -> list[tuple[int, int, str]]:
    """Return where rows were broken: which row, at which edit, and that in words."""
    return [
        (at, edit, f"{row.label}, {words}")
        for at, row in enumerate(rows)
        for edit, words in collapses(row)
    ]


def _sentence(ranked: Ranked, standing: Standing) -> str:
    """Say the most important in one sentence."""
    row = ranked.row
    shared = ", shared," if ranked.tied else ""
    s, kept = row.numbers["s"], row.numbers["kept_exact"]
    parts = [f"Rank {ranked.rank}{shared} of {len(standing.ranked)}"]
    if s.value is not None:
        parts.append(f"S {BY_KEY['s'].text(s.value)}")
    if kept.value is not None:
        parts.append(f"keeps {BY_KEY['kept_exact'].text(kept.value)} % of what it wrote exactly")
    if any(each.collapsed for each in row.survived):
        parts.append(f"the model breaks after {row.survived_text} edits")
    else:
        parts.append(f"no collapse in {row.edits} edits")
    return "; ".join(parts) + "."


def _baseline(row: Row) -> dict[str, str]:
    """Return what the unedited model has of the measures made of single edits."""
    return {
        key: measure.text(row.unedited(measure.metrics))
        for key, measure in BY_KEY.items()
        if key in ("s", "es", "ps", "ns")
    }


def _pairs(standings: Sequence[Standing]) -> dict[str, Any]:
    """Return rows and differences between all that may be compared, for the script."""
    rows, pairs = [], []
    for at, standing in enumerate(standings):
        for run, row in enumerate(_rows(standing)):
            values = {m.key: row.numbers[m.key] for m in MEASURES}
            rows.append(
                {
                    "id": row.identity,
                    "label": plain(row.label),
                    "page": f"rows/{row.page}",
                    "standing": at,
                    "run": run,
                    "survived": row.survived_text,
                    "values": {key: [e.value, e.low, e.high] for key, e in values.items()},
                }
            )
        pairs.append(
            {
                f"{i}-{j}": [_difference(a, b, measure) for measure in MEASURES]
                for (i, a), (j, b) in combinations(enumerate(_rows(standing)), 2)
            }
        )
    return {
        "rows": rows,
        "pairs": pairs,
        "parts": [{k: plain(v) for k, v in each.parts.items()} for each in standings],
        "measures": [
            {"key": m.key, "heading": m.heading, "shape": m.shape, "more": m.more_is_better}
            for m in MEASURES
        ],
    }


def _difference(a: Row, b: Row, measure: Measure) -> list[float | None]:
    found = a.difference(b, measure)
    return [found.value, found.low, found.high]


class _Better:
    """All pairs of a table by S, for the page without its script."""

    def __call__(self, a: Row, b: Row) -> tuple[str, str]:
        """Return how far a row is above another, and whether that is more than chance."""
        found = a.difference(b, BY_KEY["s"])
        if found.value is None:
            return "-", ""
        text = f"{100 * found.value:+.1f}".replace("-", "\N{MINUS SIGN}")
        if clearly_better(a, b, BY_KEY["s"]):
            return text, "ahead"
        return text, "behind" if clearly_better(b, a, BY_KEY["s"]) else "even"
