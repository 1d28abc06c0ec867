"""The outcome of a hunt in the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from ..leaderboards.analysis.series import F1, largest
from ..leaderboards.analysis.show import table
from ..leaderboards.show import number, percent, plain


def hunt_table(summary: dict[str, Any]) -> Table:
    """Show the facts at the top, and how many of all stand out."""
    lines = summary["top"]
    tasks = dict.fromkeys(name for line in lines for name in line["edited"]["tasks"])
    asked = [name for name in tasks if any(F1 in line["edited"]["tasks"][name] for line in lines)]
    headings = ["fact", "‖ΔW‖", "times median", "division factor", "ES", "NS"]
    made = table([*headings, *(f"{name}, from\nand to" for name in asked)])
    made.columns[0].min_width = 24
    for line in lines:
        after, before = line["edited"], line["unedited"]
        text = f"{line['case_id']}: {line['prompt'].replace('{}', line['subject'])}"
        made.add_row(
            plain(f"{text} {line['target_new'].strip()}"),
            number(largest(line["update_norm"])),
            number(line["ratio"]),
            number(line["editor"].get("division_factor")),
            percent(after["metrics"].get("es", after["metrics"].get("efficacy"))),
            percent(after["metrics"].get("ns", after["metrics"].get("specificity"))),
            *(f"{_f1(before, name)} {_f1(after, name)}" for name in asked),
        )
    factor = summary["division_factor"]
    least = (
        ""
        if factor["least"] is None
        else (f"; least division factor {number(factor['least'])}, {factor['negative']} negative")
    )
    made.caption = (
        f"{summary['edited']} of {summary['facts']} facts edited: median ‖ΔW‖ "
        f"{number(summary['median_norm']['value'])} (of {summary['normal']} not picked by their "
        f"keys), {summary['spikes']} of ten times that, "
        f"{summary['disabling']} of a hundred times (disabling), the largest "
        f"{number(summary['largest_ratio'])} times{least}"
    )
    made.caption_justify = "left"
    return made


def _f1(answers: dict[str, Any], name: str) -> str:
    return percent(answers["tasks"].get(name, {}).get(F1))
