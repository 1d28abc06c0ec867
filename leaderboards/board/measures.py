"""The columns of the board: what each says in plain words, and how it is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..analysis.constants import Constants
from ..analysis.intervals import mean_of_runs
from ..analysis.records import Estimate
from ..analysis.series import EFFICACY, EXACT, headroom_left, with_headroom
from ..entry import Entry
from ..show import percent, seconds
from .sampling import Statistic, drawn, harmonic, kept_of, mean_of, once

HEADROOM = Constants().headroom
Unit = Literal["percent", "amount"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A column: computed of all edits of a row's runs together, or of each run."""

    key: str
    heading: str
    words: str
    """What it says, in plain words."""
    unit: Unit = "percent"
    more_is_better: bool = True
    of_edits: Statistic | None = None
    of_run: Callable[[Entry], float | None] | None = None

    def text(self, value: float | None) -> str:
        """Write a value as the column shows it."""
        if self.unit == "percent":
            return percent(value)
        return "-" if value is None else seconds(value)

    def estimate(self, entries: Sequence[Entry]) -> Estimate:
        """Return the value of a row with its 95 % interval, if one can be given."""
        if self.of_edits is None:
            return _finite(mean_of_runs(self.by_run(entries)))
        value = float(self.of_edits(entries, once(entries))[0])
        low, high = interval(self.draws(entries))
        count = sum(len(entry.series.case_ids) for entry in entries)
        return _finite(Estimate(value=value, low=low, high=high, count=count))

    def draws(self, entries: Sequence[Entry]) -> np.ndarray:
        """Return the values of a row had other edits been drawn; empty where it has no such."""
        if self.of_edits is None:
            return np.empty(0)
        return self.of_edits(entries, drawn(entries))

    def by_run(self, entries: Sequence[Entry]) -> list[float]:
        """Return the value of each run that has one."""
        found = [self.one_run(entry) for entry in entries]
        return [value for value in found if value is not None]

    def one_run(self, entry: Entry) -> float | None:
        """Return the value of one run; None where it was not measured or is not finite."""
        if self.of_run is not None:
            return _known(self.of_run(entry))
        assert self.of_edits is not None
        return _known(float(self.of_edits([entry], once([entry]))[0]))


def interval(draws: np.ndarray) -> tuple[float | None, float | None]:
    """Return what 95 % of some draws lie between; nothing where one is not a number."""
    if not len(draws) or not np.isfinite(draws).all():
        return None, None
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _finite(found: Estimate) -> Estimate:
    low, high = _known(found.low), _known(found.high)
    return Estimate(value=_known(found.value), low=low, high=high, count=found.count)


def downstream_kept(entry: Entry) -> float | None:
    """Return how much of what the unedited model can do is left at the end.

    The mean over tasks of (final F1 - floor) / (unedited F1 - floor), the floor being the F1 of a
    constant answer. Tasks on which the unedited model is not at least `Constants.headroom` above
    the floor have nothing to lose and are left out; None where all are.
    """

    def at(when: str) -> dict[str, dict[str, float | None]]:
        tasks = entry.result.summary.tasks.items()
        return {
            task: {metric: values.get(when) for metric, values in metrics.items()}
            for task, metrics in tasks
        }

    unedited = at("unedited")
    able = with_headroom(unedited, HEADROOM)
    return headroom_left(at("final"), unedited, able) if able else None


def able_tasks(entry: Entry) -> list[str]:
    """Return the tasks that `downstream_kept` is about."""
    tasks: Mapping[str, Mapping[str, Mapping[str, float | None]]] = entry.result.summary.tasks
    unedited = {
        task: {metric: values.get("unedited") for metric, values in metrics.items()}
        for task, metrics in tasks.items()
    }
    return with_headroom(unedited, HEADROOM)


def edit_seconds(entry: Entry) -> float:
    """Return the seconds that an edit took, evaluation aside."""
    return entry.result.cost.seconds_edit / entry.result.ending.edits_done


ES, PS, NS = mean_of(*EFFICACY), mean_of("ps", "paraphrase"), mean_of("ns", "specificity")

MEASURES = (
    Measure(
        "s",
        "S",
        "Proficiency: the harmonic mean of ES, PS and NS, each measured right after its edit and "
        "averaged over all edits. It is only high where all three are.",
        of_edits=harmonic(ES, PS, NS),
    ),
    Measure(
        "es",
        "ES",
        "Efficacy: on the edit's own prompt the new object is likelier than the old one (of zsRE: "
        "share of the answer's tokens).",
        of_edits=ES,
    ),
    Measure("ps", "PS", "Paraphrase: so it is in other words.", of_edits=PS),
    Measure(
        "ns",
        "NS",
        "Neighborhood: other subjects keep their own object.",
        of_edits=NS,
    ),
    Measure(
        "kept_exact",
        "kept exact",
        "Retention: of the edits whose target the model gave word for word at once, the share that "
        "it still gives at the end of the sequence.",
        of_edits=kept_of(*EXACT),
    ),
    Measure(
        "kept_es",
        "kept ES",
        "Retention by likelihood: of the edits whose new object was likelier at once, the share of "
        "which it still is at the end.",
        of_edits=kept_of(*EFFICACY),
    ),
    Measure(
        "downstream",
        "downstream kept",
        "What is left of other abilities: (F1 at the end - F1 of a constant answer) / (F1 of the "
        "unedited model - F1 of a constant answer), mean over tasks. Tasks that the unedited model "
        f"does not do {100 * HEADROOM:.0f} points better than a constant answer are left out.",
        of_run=downstream_kept,
    ),
    Measure(
        "seconds",
        "s/edit",
        "Seconds an edit takes, evaluation aside, on the machine that its page names.",
        unit="amount",
        more_is_better=False,
        of_run=edit_seconds,
    ),
    Measure(
        "memory",
        "peak GiB",
        "Largest memory of the process, or of the GPU where one is used.",
        unit="amount",
        more_is_better=False,
        of_run=lambda entry: entry.result.cost.peak_memory_bytes / 2**30,
    ),
)
BY_KEY = {measure.key: measure for measure in MEASURES}
