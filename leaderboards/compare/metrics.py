"""What can be compared: the metrics that some runs have, by name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from ..curves import harmonic_mean
from ..headline import headline, is_known_of_task, is_unbounded
from ..show import label, number, percent, seconds
from .downstream import able_tasks
from .sources import Run

Kind = Literal[
    "edits", "score", "kept", "sticky", "retained", "task", "f1", "headroom", "single", "run"
]
Shape = Literal["share", "number", "seconds", "memory", "collapse"]

SCORES = (("es", "ps", "ns"), ("efficacy", "paraphrase", "specificity"))
"""What S is the harmonic mean of, all or some, by family of edits."""
_LOWER = re.compile(r"perplexity|bits_per|invalid|failure|loss|(?:es|ps)_nll_new|ns_nll_true")
_NEITHER = re.compile(r"constant_|entropy")
_LOWER_TOO = {"free_true", "efficacy_nll", "paraphrase_nll", "specificity_nll"}
_COSTS: tuple[tuple[str, str, Shape, int], ...] = (
    ("moved", "moved", "number", -1),
    ("collapse", "collapse", "collapse", 1),
    ("failed", "failed", "number", -1),
    ("seconds", "s/edit", "seconds", -1),
    ("seconds_evaluate", "s/edit eval", "seconds", -1),
    ("seconds_prepare", "s before", "seconds", -1),
    ("memory", "memory", "memory", -1),
)
_ALIASES = {
    "kept": "kept_es_exact",
    "kept_exact": "kept_es_exact",
    "exact": "es_exact",
    "perplexity": "heldout_perplexity.word_perplexity",
    "ppl": "heldout_perplexity.word_perplexity",
    "s/edit": "seconds",
}
_HEADINGS = {
    "es_exact": "exact",
    "kept_es_exact": "kept exact",
    "heldout_perplexity.word_perplexity": "perplexity",
    "kept_efficacy_exact": "kept exact",
    "downstream_kept": "downstream kept",
}
_DEFAULT = (
    *(("es", "efficacy"), ("ps", "paraphrase"), ("ns", "specificity"), ("s",)),
    *(("kept_es_exact", "kept_efficacy_exact"), ("f1",), ("seconds",)),
)
_MOST = (
    *("es", "ps", "ns", "efficacy", "paraphrase", "specificity", "s", "es_exact"),
    *("efficacy_exact", "free", "kept_es", "kept_es_exact", "kept_efficacy_exact", "f1"),
    *("downstream_kept", "heldout_perplexity.word_perplexity", "moved", "collapse"),
    *("seconds", "memory"),
)


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that runs have."""

    name: str
    """What it is called on the command line and in JSON."""
    heading: str
    kind: Kind
    """Where it is read from."""
    key: tuple[str, ...]
    """Its names there."""
    shape: Shape
    better: int
    """1 if more is better, -1 if less is, 0 if neither."""

    def text(self, value: float | None) -> str:
        """Show a value."""
        return shown(self.shape, value)

    @property
    def unit(self) -> str:
        """What the numbers are in."""
        units = {"share": "%", "seconds": "s", "memory": "GiB", "collapse": "edits"}
        return units.get(self.shape, "")


def shown(shape: Shape, value: float | None) -> str:
    """Show a value of some shape."""
    if value is None:
        return "-"
    if shape == "memory":
        return f"{value / 2**30:.2f}"
    if shape == "collapse":
        return f"{value:.0f}"
    shapes = {"share": percent, "number": number, "seconds": seconds}
    return shapes[shape](value)


def catalogue(runs: Iterable[Run]) -> dict[str, Metric]:
    """Return every metric that any of these runs has, by name."""
    found: dict[str, Metric] = {}

    def add(name: str, kind: Kind, key: tuple[str, ...], metric: str) -> None:
        if name not in found:
            heading = _HEADINGS.get(name) or _heading(name)
            # Of what nobody here knows, neither direction is the better one.
            alien = kind == "task" and not is_known_of_task(metric)
            shape: Shape = "number" if alien else _shape(metric)
            found[name] = Metric(name, heading, kind, key, shape, 0 if alien else _better(metric))

    runs = list(runs)
    scores = score_of(runs)
    for run in runs:
        summary = run.result.summary
        for name in summary.immediate:
            if name != "s":
                add(name, "edits", (name,), name)
            elif scores:
                add("s", "score", scores, "s")
            else:
                add("s", "edits", ("s",), "s")
        for name in summary.retention:
            add(f"kept_{name}", "kept", (name,), name)
            add(f"sticky_{name}", "sticky", (name,), name)
            add(f"retained_{name}", "retained", (name,), name)
        for task, metrics in summary.tasks.items():
            for metric in metrics:
                add(f"{task}.{metric}", "task", (task, metric), metric)
                if metric == "weighted_f1":
                    add("f1", "f1", (), "f1")
        if able_tasks(run.result):
            add("downstream_kept", "headroom", (), "f1")
        for name in summary.single_edits.edited if summary.single_edits else ():
            add(f"single.{name}", "single", (name,), name)
    for name, heading, shape, better in _COSTS:
        found[name] = Metric(name, heading, "run", (name,), shape, better)
    return found


def score_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the metrics that S is the harmonic mean of; none if they cannot be told.

    Suites choose them, and results do not repeat it: they are those that give the S of every run.
    """
    summaries = [run.result.summary.immediate for run in runs]
    summaries = [summary for summary in summaries if "s" in summary]
    for family in SCORES if summaries else ():
        for size in range(len(family), 0, -1):
            for names in combinations(family, size):
                if all(_gives(names, summary) for summary in summaries):
                    return names
    return ()


def _gives(names: Sequence[str], summary: Mapping[str, float]) -> bool:
    if any(name not in summary for name in names):
        return False
    found = harmonic_mean([summary[name] for name in names])
    # Entries have six digits.
    return math.isclose(found, summary["s"], rel_tol=1e-4, abs_tol=1e-6)


def canonical_name(text: str) -> str:
    """Return the name that is meant: case, spaces and a few short forms do not matter.

    Example:
        >>> canonical_name("kept exact"), canonical_name("perplexity")
        ('kept_es_exact', 'heldout_perplexity.word_perplexity')
    """
    name = re.sub(r"[\s]+", "_", text.strip())
    return _ALIASES.get(name.lower(), name.lower() if name.isascii() else name)


def find(name: str, known: dict[str, Metric]) -> Metric | None:
    """Return the metric of a name; a task's name alone means its headline."""
    for wanted in (name, canonical_name(name)):
        if wanted in known:
            return known[wanted]
        if headline := _headline(wanted, known):
            return headline
    folded = [metric for metric in known.values() if metric.name.lower() == name.lower()]
    return folded[0] if len(folded) == 1 else None


def _headline(task: str, known: dict[str, Metric]) -> Metric | None:
    tasks = (each for each in known.values() if each.kind == "task")
    metrics = {each.key[1]: each for each in tasks if each.key[0] == task}
    found = headline(metrics)
    return None if found is None else metrics[found]


def default_metrics(known: dict[str, Metric]) -> list[Metric]:
    """Return the metrics of a table if none are named."""
    return [known[name] for names in _DEFAULT for name in names if name in known]


def all_metrics(known: dict[str, Metric]) -> list[Metric]:
    """Return the metrics of the widest table."""
    return [known[name] for name in _MOST if name in known]


def _heading(name: str) -> str:
    """Return how a metric is written.

    Example:
        >>> _heading("kept_es"), _heading("f1"), _heading("sst2_ll.acc")
        ('kept ES', 'F1', 'sst2_ll.acc')
    """
    head, _, rest = name.partition("_")
    if head in ("kept", "sticky", "retained") and rest:
        return f"{head} {label(rest)}"
    return name if "." in name else label(name)


def _shape(metric: str) -> Shape:
    return "number" if is_unbounded(metric) else "share"


def _better(metric: str) -> int:
    if _NEITHER.search(metric):
        return 0
    return -1 if metric in _LOWER_TOO or _LOWER.search(metric) else 1
