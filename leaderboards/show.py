"""One result in the terminal: what was measured after each edit, and what is left at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ._letters import visible
from .headline import headline, is_known_of_task, is_unbounded
from .results import Result, TransferRecord

_LONGEST = 400
"""Characters that are shown of a text."""
_LARGE = 1e6
"""What is written with all its digits is smaller."""


def plain(text: str) -> Text:
    """Make text that can come from anyone safe to show: no markup, no control characters, short."""
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
    return Text(visible(text))


def percent(value: float | None) -> str:
    """Show a share."""
    if value is None or abs(value) < _LARGE:
        return "-" if value is None else f"{round(100 * value, 1) + 0.0:.1f}"
    return number(100 * value)


def number(value: float | None) -> str:
    """Show three digits."""
    return "-" if value is None else f"{value:.3g}"


def seconds(value: float) -> str:
    """Show hundredths."""
    return f"{value:.2f}" if abs(value) < _LARGE else number(value)


def measured(metric: str, value: float | None) -> str:
    """Show a share as percent, what has no bound (perplexity, entropy) as it is.

    Example:
        >>> measured("acc", 0.5), measured("word_perplexity", 25.5)
        ('50.0', '25.5')
    """
    return number(value) if is_unbounded(metric) else percent(value)


def measured_by_task(metric: str, value: float | None) -> str:
    """Show what a task gives: a share or a correlation as percent, anything else as it is.

    Example:
        >>> measured_by_task("acc", 0.5), measured_by_task("bleu", 25.5)
        ('50.0', '25.5')
    """
    return measured(metric, value) if is_known_of_task(metric) else number(value)


def result_tables(result: Result) -> Group:
    """Show one run in a few small tables."""
    summary, protocol = result.summary, result.protocol
    batches = (
        "" if protocol.batch_size == 1 else f" ({protocol.mode}, {protocol.batch_size} a call)"
    )
    title = plain(
        f"{result.editor.name} on {result.model.name}: {result.num_edits} edits{batches}, "
        f"suite {result.suite.versioned}, {result.data.source} data"
    )
    tables = [_immediate(result), _final(result)]
    transfers = (
        ("in the sequence", summary.transfer),
        ("one edit at a time", summary.single_edits and summary.single_edits.transfer),
    )
    tables += [_transfer(where, found) for where, found in transfers if found]
    return Group(Text(), title, *_warnings(result), *tables, _cost(result))


def _warnings(result: Result) -> list[Text]:
    """Say what must be known before the numbers are read."""
    ending = result.ending
    said = []
    if ending.stopped is not None:
        said.append(f"not a full run: stopped at {ending.stopped}")
    elif ending.collapsed_at is not None:
        said.append(f"something is NaN or infinite since edit {ending.collapsed_at}")
    if ending.failed:
        said.append(f"{ending.failed} edits could not be made: edits.jsonl says why")
    return [plain(text) for text in said]


def _table(headings: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(
            heading, justify="right" if index else "left", min_width=10, overflow="fold"
        )
    return table


def _immediate(result: Result) -> Table:
    summary = result.summary
    unedited = f"unedited ({summary.baseline_records})"
    table = _table(["\nright after each edit", "\nall edits", "\nlast 50", f"\n{unedited}"])
    columns = (summary.immediate, summary.immediate_last_50, summary.baseline)
    for name in summary.immediate:
        if "_nll" not in name:
            cells = (measured(name, column.get(name)) for column in columns)
            table.add_row(plain(label(name)), *cells)
    return table


def _final(result: Result) -> Table:
    summary = result.summary
    table = _table([f"\nafter {result.ending.edits_done} edits", "\nnow", "\nunedited"])
    for name, kinds in summary.retention.items():
        for kind in ("instant", "sticky"):
            table.add_row(plain(f"retained {label(name)}, {kind}"), percent(kinds.get(kind)))
    for name, metrics in summary.tasks.items():
        metric = headline(metrics)
        if metric is None:
            continue
        cells = (
            measured_by_task(metric, metrics[metric].get(when)) for when in ("final", "unedited")
        )
        table.add_row(plain(f"{name} {metric}"), *cells)
    for name, kinds in summary.distance.items():
        table.add_row(plain(f"relative distance {name}"), number(kinds.get("l2_relative")), "0")
    return table


def _transfer(where: str, found: TransferRecord) -> Table:
    table = _table([f"\nquestion to statement, {where}", "\nedited", "\nunedited"])
    table.add_row(
        f"question answered, of {found.convertible}",
        percent(found.qa_success),
        percent(found.unedited_qa_success),
    )
    table.add_row(
        "statement completed",
        percent(found.completion_success),
        percent(found.unedited_completion_success),
    )
    table.add_row(f"of {found.learned} learned, statement fails", percent(found.failure_rate))
    if found.failure_rate is not None:
        interval = f"{percent(found.failure_low)} to {percent(found.failure_high)}"
        table.add_row("95 % interval", interval)
    return table


def _cost(result: Result) -> Table:
    table = _table(["\ncost", "\n"])
    table.add_row("seconds per edit", seconds(result.seconds_per_edit))
    table.add_row("seconds of evaluation per edit", seconds(result.evaluation_per_edit))
    table.add_row("peak memory", f"{result.cost.peak_memory_bytes / 2**30:.2f} GiB")
    return table


def label(name: str) -> str:
    """Return how a metric is written in a table.

    Example:
        >>> label("es"), label("es_exact"), label("efficacy")
        ('ES', 'ES exact', 'efficacy')
    """
    head, _, rest = name.partition("_")
    return " ".join([head.upper() if len(head) <= 2 else head, *rest.split("_")]).strip()
