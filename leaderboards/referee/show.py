"""What the referee says: in the terminal, and as markdown below a pull request."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rich.console import Group
from rich.text import Text

from ..entry import Entry
from ..show import number, percent, plain, seconds
from .folder import Validated, against
from .problem import Problem

_MOST = 50
"""Problems that a comment shows; the job's log has all."""


def verdict(validated: Validated) -> str:
    """Return what was found, in a few words."""
    entries, problems = len(validated.entries), len(validated.problems)
    found = f"{problems} problem{'s' * (problems != 1)}" if problems else "no problem"
    return f"{entries} entr{'ies' if entries != 1 else 'y'}, {found}"


def in_terminal(validated: Validated, base: Validated | None) -> Group:
    """Show every problem and every entry that is gone, one a line, and the verdict.

    Args:
        validated: What was found.
        base: The same of the folder before; None leaves the comparison out.
    """
    gone = against(validated, base)[2] if base is not None else []
    lines = [*map(str, validated.problems), *(f"{name}: removed" for name in gone)]
    return Group(*map(plain, lines), Text(verdict(validated)))


def as_markdown(validated: Validated, base: Validated | None) -> str:
    """Return what was found as markdown, with the entries that are not in another folder.

    Args:
        validated: What was found.
        base: The same of the folder before; None leaves the comparison out.
    """
    lines = ["### Leaderboard: entries", "", f"{verdict(validated)}.", ""]
    if validated.problems:
        lines += [_problem(each) for each in validated.problems[:_MOST]]
        more = len(validated.problems) - _MOST
        lines += [f"- and {more} more", ""] if more > 0 else [""]
    if base is not None:
        new, changed, gone = against(validated, base)
        lines += _entries("New", new, validated.entries)
        lines += _entries(
            "Changed, where entries should stay as they were", changed, validated.entries
        )
        lines += _entries("Removed", gone, base.entries)
        if not (new or changed or gone):
            lines += ["No entry is new."]
    return "\n".join(lines).rstrip() + "\n"


def _problem(problem: Problem) -> str:
    return f"- {code(problem.file)} {code(problem.field)}: {code(problem.text)}"


_COLUMNS: dict[str, Callable[[Entry], str]] = {
    "editor": lambda entry: entry.result.editor.name,
    "model": lambda entry: entry.result.model.name,
    "suite": lambda entry: entry.result.suite.versioned,
    "sample": lambda entry: str(entry.result.data.sample),
    "edits": lambda entry: entry.result.num_edits,
    "S": lambda entry: percent(entry.result.summary.immediate.get("s")),
    "kept": lambda entry: percent(_kept(entry)),
    "collapse": lambda entry: _collapse(entry),
    "s/edit": lambda entry: seconds(entry.result.seconds_per_edit),
    "GiB": lambda entry: number(entry.result.cost.peak_memory_bytes / 2**30),
    "team": lambda entry: entry.submission.team,
    "entry": lambda entry: entry.place,
}


def _kept(entry: Entry) -> float | None:
    """Return the share of exact successes that were left, or of what else was followed."""
    found = entry.result.summary.retention
    names = [name for name in ("es_exact", "efficacy_exact", *sorted(found)) if name in found]
    return found[names[0]].get("instant") if names else None


def _collapse(entry: Entry) -> str:
    found = entry.collapse
    return "-" if found.edit is None else f"{found.type}, edit {found.edit}"


def _entries(title: str, names: Sequence[str], entries: dict[str, Entry]) -> list[str]:
    if not names:
        return []
    rows = [
        "| " + " | ".join(code(read(entries[name])) for read in _COLUMNS.values()) + " |"
        for name in names
    ]
    heads = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    return [f"{title}: {len(names)}", "", *heads, *rows, ""]


def code(text: str) -> str:
    """Return text that can come from anyone as markdown that shows it and does nothing else.

    In `<code>` nobody is mentioned and nothing becomes a link; entities are no markup.

    Example:
        >>> code("<b>|@all")
        '<code>&#60;b&#62;&#124;&#64;all</code>'
    """
    escaped = re.sub(r"[^A-Za-z0-9 .,/+-]", lambda found: f"&#{ord(found[0])};", plain(text).plain)
    return f"<code>{escaped}</code>"
