"""The columns of the board: which metric each shows, and what it says in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..compare.downstream import HEADROOM
from ..compare.metrics import Metric, Shape, shown


@dataclass(frozen=True, slots=True)
class Measure:
    """A column."""

    key: str
    heading: str
    words: str
    """What it says, in plain words."""
    metrics: tuple[str, ...]
    """The metric that it shows, by family of edits."""
    shape: Shape = "share"
    more_is_better: bool = True

    def text(self, value: float | None) -> str:
        """Write a value as the column shows it."""
        return shown(self.shape, value)

    def metric(self, known: Mapping[str, Metric]) -> Metric | None:
        """Return the metric that the column shows of runs which have these."""
        return next((known[name] for name in self.metrics if name in known), None)


MEASURES = (
    Measure(
        "s",
        "S",
        "Proficiency: the harmonic mean of ES, PS and NS, each measured right after its edit and "
        "averaged over all edits. It is only high where all three are.",
        ("s",),
    ),
    Measure(
        "es",
        "ES",
        "Efficacy: on the edit's own prompt the new object is likelier than the old one (of zsRE: "
        "share of the answer's tokens).",
        ("es", "efficacy"),
    ),
    Measure("ps", "PS", "Paraphrase: so it is in other words.", ("ps", "paraphrase")),
    Measure(
        "ns", "NS", "Neighborhood: other subjects keep their own object.", ("ns", "specificity")
    ),
    Measure(
        "kept_exact",
        "kept exact",
        "Retention: of the edits whose target the model gave word for word at once, the share that "
        "it still gives at the end of the sequence.",
        ("kept_es_exact", "kept_efficacy_exact"),
    ),
    Measure(
        "kept_es",
        "kept ES",
        "Retention by likelihood: of the edits whose new object was likelier at once, the share of "
        "which it still is at the end.",
        ("kept_es", "kept_efficacy"),
    ),
    Measure(
        "downstream",
        "downstream kept",
        "What is left of other abilities: (F1 at the end - F1 of a constant answer) / (F1 of the "
        "unedited model - F1 of a constant answer), mean over tasks. Tasks that the unedited model "
        f"does not do {100 * HEADROOM:.0f} points better than a constant answer are left out.",
        ("downstream_kept",),
    ),
    Measure(
        "seconds",
        "s/edit",
        "Seconds an edit takes, evaluation aside, on the machine that its page names.",
        ("seconds",),
        "seconds",
        more_is_better=False,
    ),
    Measure(
        "memory",
        "peak GiB",
        "Largest memory of the process, or of the GPU where one is used.",
        ("memory",),
        "memory",
        more_is_better=False,
    ),
)
BY_KEY = {measure.key: measure for measure in MEASURES}
