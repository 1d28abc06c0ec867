"""The tables of a report, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..analysis.constants import Constants
from ..analysis.journal import RunJournal
from ..analysis.properties import PropertyRow
from ..analysis.properties_table import CAPTION, HEADINGS, cells
from ..analysis.records import Disabling, Estimate
from ..analysis.series import distances, downstream, finite, first_of, immediate, retained
from ..analysis.show import interval
from ..show import number, percent
from .chart import Chart, short
from .course import Told

_ROWS_OF_CHART = 12


@dataclass(frozen=True, slots=True)
class Table:
    """Headings and rows of text."""

    title: str
    headings: Sequence[str]
    rows: list[list[str]]
    caption: str = ""
    notes: list[str] = field(default_factory=list)


def chart_table(chart: Chart) -> Table:
    """Return the values of a chart at about a dozen places."""
    places = sorted({edit for line in chart.lines for edit in line.edits})
    step = max(1, len(places) // _ROWS_OF_CHART)
    chosen = [*places[:-1:step], *places[-1:]]
    rows = []
    for place in chosen:
        row = [chart.x_names[int(place)] if chart.x_names else f"{place:,.0f}"]
        for line in chart.lines:
            found = dict(zip(line.edits, line.values, strict=True))
            row.append(chart.text(found[place]) if place in found else "")
        rows.append(row)
    return Table(
        f"{chart.title} as a table", [chart.x_label, *(line.label for line in chart.lines)], rows
    )


def numbers_table(told: Sequence[Told]) -> Table:
    """Return the numbers that `compare` shows, from the journals."""
    rows = []
    for label, run, found in told:
        asked = downstream(run.checkpoints, found.constants.headroom)
        moved = [values[-1] for values in distances(run).values()]
        rows.append(
            [
                label,
                str(len(run.edits)),
                *(_mean(run, name) for name in ("es", "ps", "ns", "free")),
                _kept(run, "es"),
                _kept(run, "es_exact"),
                percent(asked.points.values[-1]) if asked else "-",
                percent(asked.unedited) if asked else "-",
                number(max(moved)) if moved else "-",
            ]
        )
    headings = [
        "editor", "edits", "ES", "PS", "NS", "free", "kept ES", "kept exact", "F1", "F1 unedited",
        "moved",
    ]  # fmt: skip
    caption = (
        "percent. ES, PS, NS, free: right after each edit, mean over all; kept: share of edits "
        "that worked at once and still do at the end; F1: mean of the downstream tasks at the end; "
        "moved: Frobenius norm of the furthest matrix's change."
    )
    return _without_empty(Table("Side by side", headings, rows, caption))


def _mean(run: RunJournal, name: str) -> str:
    known = [value for value in immediate(run, name) if value is not None]
    return percent(sum(known) / len(known)) if known else "-"


def _kept(run: RunJournal, name: str) -> str:
    points = retained(run, name) if first_of(run, [name]) else None
    return percent(points.values[-1]) if points and points.values else "-"


def _without_empty(table: Table) -> Table:
    """Leave out columns that no run has a value in."""
    full = [at for at in range(len(table.headings)) if any(row[at] != "-" for row in table.rows)]
    return Table(
        table.title,
        [table.headings[at] for at in full],
        [[row[at] for at in full] for row in table.rows],
        table.caption,
    )


def properties_table(rows: Sequence[PropertyRow]) -> Table:
    """Return the paper's Table 3."""
    units = " or ".join(sorted({row.over for row in rows}))
    return Table(
        "Properties (the paper's Table 3, by rules)",
        HEADINGS,
        [cells(row, stacked=True) for row in rows],
        CAPTION.format(over=units),
    )


def disabling_tables(told: Sequence[Told]) -> Iterator[Table]:
    """Return the paper's Table 2 of each run whose candidates were replayed."""
    for label, _, found in told:
        if found.disabling is not None:
            yield _disabling(label, found.disabling)


def _disabling(label: str, found: Disabling) -> Table:
    rows = [
        [
            f"edit {each.edit}: {each.subject}",
            number(each.norm),
            number(each.ratio),
            number(each.distance),
            number(each.division_factor),
            percent(each.mean_f1),
            "yes" if each.disabling else "no",
            f"{interval(each.fresh_disabling)} of {each.fresh}" if each.fresh else "-",
        ]
        for each in found.candidates
    ]
    headings = [
        "first edit", "‖ΔW‖", "times median", "distance", "division factor", "F1", "disabling",
        "with fresh templates, %",
    ]  # fmt: skip
    orders = found.orders_of_magnitude
    caption = (
        f"{found.controls} random first edits: median ‖ΔW‖ {_with(found.control_norm)}, mean "
        f"distance {_with(found.normal_distance)}; disabling ones {_with(found.disabling_distance)}"
        + (f", {orders:.1f} orders of magnitude more" if orders is not None else "")
    )
    return Table(f"Single first edits, {label} (the paper's Table 2)", headings, rows, caption)


def _with(found: Estimate) -> str:
    return interval(found, number)


def costs_table(told: Sequence[Told]) -> Table:
    """Return what the runs cost."""
    rows = []
    for label, run, _ in told:
        edit = [value for line in run.edits if (value := line.seconds.get("edit")) is not None]
        evaluate = [
            value
            for line in (*run.edits, *run.checkpoints)
            if (value := line.seconds.get("evaluate")) is not None
        ]
        cost = run.result.cost if run.result else None
        rows.append(
            [
                label,
                short(sum(edit) / len(edit)) if edit else "-",
                short(sum(evaluate) / len(run.edits)) if evaluate else "-",
                short(cost.seconds_prepare) if cost else "-",
                f"{cost.peak_memory_bytes / 2**30:.2f}" if cost else "-",
                f"{cost.tokens_scored:,}" if cost else "-",
                str(run.part("provenance").get("device", "?")),
            ]
        )
    headings = [
        "cost", "s an edit", "s of evaluation an edit", "s before the first", "peak GiB",
        "tokens scored", "device",
    ]  # fmt: skip
    return _without_empty(Table("Costs", headings, rows))


def provenance_table(told: Told) -> Table:
    """Return all that a run's configuration says of where its numbers come from."""
    rows = [["notes", note] for note in told.run.notes]
    for part in ("model", "data", "suite", "protocol", "provenance"):
        rows += [[f"{part}.{key}", text(value)] for key, value in told.run.part(part).items()]
    editor = told.run.part("editor")
    rows += [["editor.hparams_source", text(editor.get("hparams_source"))]]
    if isinstance(hparams := editor.get("hparams"), dict):
        rows += [[f"hparams.{key}", text(value)] for key, value in hparams.items()]
    rows += [["editor.code_sha256", text(editor.get("code_sha256"))]]
    rows += [[f"sha256 {name}", digest] for name, digest in told.found.journal_sha256.items()]
    return Table(f"Provenance of {told.label}", ["what", "value"], rows)


def text(value: Any, most: int = 600) -> str:
    """Write a value of a configuration in a line or a few.

    Example:
        >>> print(text({"a": 1, "b": [2, 3]}))
        a: 1
        b: 2, 3
    """
    if isinstance(value, dict):
        written = "\n".join(f"{key}: {text(item)}" for key, item in value.items())
    elif isinstance(value, list):
        written = ", ".join(text(item) for item in value)
    elif isinstance(value, float):
        written = short(value) if finite(value) is not None else str(value)
    else:
        written = str(value)
    return written if len(written) <= most else written[:most] + "…"


def constants_table(constants: Constants) -> Table:
    """Return the thresholds, with their reasons."""
    rows = [
        [name, f"{getattr(constants, name):g}", " ".join((field.description or "").split())]
        for name, field in Constants.model_fields.items()
    ]
    return Table("Thresholds", ["name", "value", "meaning"], rows)
