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
    made = table(
        [*headings, *(f"{name}\nfrom" for name in asked), *(f"{name}\nto" for name in asked)]
    )
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
            *(percent(before["tasks"].get(name, {}).get(F1)) for name in asked),
            *(percent(after["tasks"].get(name, {}).get(F1)) for name in asked),
        )
    factor = summary["division_factor"]
    least = (
        ""
        if factor["least"] is None
        else (f"; least division factor {number(factor['least'])}, {factor['negative']} negative")
    )
    made.caption = (
        f"{summary['edited']} of {summary['facts']} facts edited: median ‖ΔW‖ "
        f"{number(summary['median_norm']['value'])}, {summary['spikes']} of ten times that, "
        f"{summary['disabling']} of a hundred times (disabling), the largest "
        f"{number(summary['largest_ratio'])} times{least}"
    )
    made.caption_justify = "left"
    return made
