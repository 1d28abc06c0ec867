"""The analysis of a run as a record: `analysis.json`."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict

from .constants import Constants

ANALYSIS_VERSION = 1


class _Record(BaseModel):
    # What is not finite is written as null.
    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, ser_json_inf_nan="null"
    )


class Estimate(_Record):
    """A number and its 95 % interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    count: int = 0
    """Of what it is a share or a mean."""


class Criterion(_Record):
    """One sign of a collapse at an edit."""

    name: Literal["es", "retention", "downstream"]
    met: bool | None
    """None: could not be judged."""
    before: float | None = None
    after: float | None = None
    at: int | None = None
    """Edits done when it was seen."""
    persists: float | None = None
    """Share of what comes after in which it still holds."""
    why: str = ""


class Confirmation(_Record):
    """Whether the model collapsed at an edit."""

    edit: int
    confirmed: bool | None
    """None: too little was measured after it to say."""
    horizon: int
    """Edits after it within which the criteria must be met."""
    criteria: list[Criterion]


class Spike(_Record):
    """An edit with an update far larger than those before it."""

    edit: int
    case_id: int
    prompt: str
    subject: str
    target_new: str
    norm: float | None
    """Largest Frobenius norm of a matrix's change; null where it is not finite."""
    ratio: float | None
    """To the median it was compared with."""
    severe: bool
    against: Literal["previous", "controls", "first"]
    division_factor: float | None
    worked: bool | None
    """Whether the fact was learned."""
    confirmation: Confirmation

    @property
    def size(self) -> float:
        """The ratio, infinite where it is not finite."""
        return math.inf if self.ratio is None else self.ratio


class ChangePoint(_Record):
    """The change of level that explains a series best, and whether there is one at all."""

    series: str
    points: int
    significant: bool
    p_value: float
    """How often a series without any change has one as clear: by permutation, for retention by runs
    of steady forgetting."""
    at: int | None = None
    """Last edit before the change; null where none is significant."""
    low: int | None = None
    """95 % interval, by bootstrap within the two segments."""
    high: int | None = None
    before: float | None = None
    after: float | None = None
    shape: Literal["step", "trend"] | None = None
    """Whether a step or a straight line explains the series better (least squares)."""
    all: list[int] = []
    """All changes of level that pay for themselves (PELT)."""


class Onset(_Record):
    """Where the distance of a matrix begins to grow faster."""

    matrix: str
    at: int | None
    """First edit from which the local log-log slope is above the threshold."""
    slope: float | None
    """There."""
    slope_before: float | None
    """Over all edits before it, or over the whole run."""
    chance: float | None
    """Share of random orders of the same steps, in unrelated directions, that have an onset."""
    walk_ratio: float | None
    """Distance at the end against that of unrelated steps: 1 if they are, more if they agree."""


class Phase(_Record):
    """A stretch of the run."""

    name: Literal["intact", "gradual", "collapsed"]
    first: int
    last: int
    first_low: int
    """The first edit lies between these, as closely as checkpoints can tell."""
    first_high: int


class Collapse(_Record):
    """Where the model broke, and how."""

    kind: Literal["none", "gradual", "catastrophic"]
    edit: int | None = None
    low: int | None = None
    """Where it must lie; for a catastrophic collapse the edit itself."""
    high: int | None = None
    confirmation: Confirmation | None = None
    undecided: list[int] = []
    """Spikes that too little was measured after to say."""


class Forgotten(_Record):
    """What became of edits of one kind: age, relation, length."""

    name: str
    retained: Estimate
    """Share of those that worked at once and work now."""


class Forgetting(_Record):
    """Immediate success against what is left."""

    metric: str
    edits: int
    """Done at the last checkpoint: T of retained@T."""
    immediate: Estimate
    """Of these edits, measured right after each."""
    retained: Estimate
    """Of the same edits, measured after all of them: retained@T."""
    forgetting: Estimate
    """Immediate minus retained@T."""
    kept: Estimate
    """Of those that worked at once: share that works at T (instant retention)."""
    by_age: list[Forgotten]
    by_relation: list[Forgotten]
    by_target_words: list[Forgotten]


class Overwriting(_Record):
    """An earlier fact that was lost, and the later edit most like it made meanwhile."""

    lost_edit: int
    lost: str
    last_kept: int
    """It still worked after this many edits, and no more after `found_lost`."""
    found_lost: int
    by_edit: int | None
    by: str
    reason: str
    score: float | None


class OverwritingSummary(_Record):
    """Lost facts, and whether likeness has to do with it."""

    measure: Literal["keys", "text"]
    """Keys of the edited layer, where they were computed (`--keys`); else words in common."""
    num_lost: int
    lost: list[Overwriting]
    """The first two hundred of them."""
    with_cause: int
    """Lost facts that a later edit resembles."""
    relation_share_lost: Estimate
    """Share of edits made while a fact was lost that are of its own relation ..."""
    relation_share_kept: Estimate
    """... and while a fact was kept: without overwriting the two are the same."""


class FirstEdit(_Record):
    """An edit of the run, made again as the first one of the pristine model."""

    edit: int
    case_id: int
    subject: str
    prompt: str
    target_new: str
    norm: float | None
    ratio: float | None
    """To the median of the controls."""
    distance: float | None
    """Largest normalised distance (l2 by entries of the matrix), the paper's."""
    division_factor: float | None
    mean_f1: float | None
    disabling: bool
    fresh: int
    """Fresh sets of templates it was tried with."""
    fresh_disabling: Estimate
    """Share of these with which it is disabling; null for an editor that draws none."""


class Disabling(_Record):
    """The paper's Table 2: first edits that disable the model, beside random ones."""

    candidates: list[FirstEdit]
    controls: int
    control_norm: Estimate
    """Median norm of random first edits."""
    normal_distance: Estimate
    """Mean normalised distance of random first edits."""
    disabling_distance: Estimate
    """The same of disabling ones."""
    orders_of_magnitude: float | None
    """log10 of their ratio."""
    controls_disabling: int
    """Random first edits that are disabling themselves."""


class Analysis(_Record):
    """What a run's journal says about forgetting and collapse."""

    analysis_version: Literal[1] = ANALYSIS_VERSION
    editor: str
    model: str
    edits: int
    finished: bool
    notes: list[str]
    constants: Constants
    spikes: list[Spike]
    collapse: Collapse
    change_points: list[ChangePoint]
    onsets: list[Onset]
    phases: list[Phase]
    forgetting: list[Forgetting]
    overwriting: OverwritingSummary | None
    disabling: Disabling | None
    """None until candidates were replayed (`--replay`)."""
    journal_sha256: dict[str, str]

    def to_json(self) -> str:
        """Return the analysis as indented JSON."""
        return self.model_dump_json(indent=2) + "\n"
