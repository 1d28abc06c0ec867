"""The numbers that decide: every threshold of the analysis, by name, with its reason.

They go into the output, so that anyone can see what was decided by what, and decide otherwise.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..results import ResultError


class Constants(BaseModel):
    """Thresholds, in edits, shares and multiples; `--set name=value` changes one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    spike_factor: float = Field(default=10.0, gt=1)
    """An update this many times the median of those before it is a spike."""
    severe_factor: float = Field(default=100.0, gt=1)
    """And this many times: a severe one; the paper's disabling edits are a thousand times."""
    spike_window: int = Field(default=100, ge=1)
    """Edits before a spike whose median it is compared with."""
    spike_min: int = Field(default=20, ge=2)
    """Of these there must be so many; before that, first edits of the pristine model stand in."""

    es_before: int = Field(default=100, ge=1)
    """Edits before the point, for the level of ES that was lost."""
    es_before_min: int = Field(default=10, ge=1)
    """Fewer say nothing about that level."""
    es_after: int = Field(default=50, ge=1)
    """Edits after the point, for the level it fell to."""
    es_after_min: int = Field(default=20, ge=1)
    """Fewer left in the run: undecided."""
    es_ceiling: float = Field(default=0.7, ge=0, le=1)
    """Mean ES after a collapse is at most this: a broken model scores about one half by chance."""
    es_drop: float = Field(default=0.2, ge=0, le=1)
    """And at least this much lower than before."""
    retention_drop: float = Field(default=0.5, ge=0, le=1)
    """Instant retention falls by this much from the last checkpoint before ..."""
    retention_floor: float = Field(default=0.1, ge=0, le=1)
    """... or below this."""
    retention_min: int = Field(default=10, ge=1)
    """Edits that worked at first, below which a checkpoint's retention says nothing."""
    f1_floor: float = Field(default=0.2, ge=0, le=1)
    """Mean weighted F1 of generated answers: a constant answer has 1/3, unparsable ones 0."""
    headroom: float = Field(default=0.1, ge=0, le=1)
    """Answers by likelihood are never unparsable: of these, tasks the unedited model does this
    much better than a constant answer are looked at ..."""
    headroom_lost: float = Field(default=0.8, ge=0, le=1)
    """... and have collapsed when this share of the difference is gone."""
    criteria_needed: int = Field(default=2, ge=1, le=3)
    """Of ES, retention and downstream."""
    horizon: int = Field(default=50, ge=1)
    """Edits after a spike within which the criteria must be met ..."""
    horizon_checkpoints: int = Field(default=2, ge=1)
    """... or so many checkpoints, whichever is more."""
    persist_share: float = Field(default=0.9, ge=0, le=1)
    """A criterion counts only if it holds in this share of what comes after it, to the end."""

    retained_from: float = Field(default=0.95, ge=0, le=1)
    """Gradual forgetting has begun where instant retention is below this, and stays there."""
    onset_slope: float = Field(default=1.0, gt=0)
    """Log-log slope of the distance at which growth is no longer diffusive (about 0.5)."""
    onset_span: float = Field(default=1.5, gt=1)
    """The slope at n is taken over [n, this times n]."""
    onset_from: int = Field(default=20, ge=2)
    """No onset before: the slope over a few edits is the luck of their norms."""
    onset_orders: int = Field(default=400, ge=50)
    """Random orders of the run's own steps an onset is held against."""

    bucket: int = Field(default=5, ge=1)
    """Edits to a point of the series in which changes of level are looked for."""
    min_points: int = Field(default=8, ge=4)
    """Points a series must have for that."""
    alpha: float = Field(default=0.01, gt=0, lt=1)
    """Level of the permutation tests that there is any change at all: of all series of a run."""
    permutations: int = Field(default=999, ge=99)
    """Of that test."""
    bootstrap: int = Field(default=1000, ge=100)
    """Draws of each bootstrapped interval."""
    penalty: float = Field(default=3.0, gt=0)
    """Each further change of level costs this times variance times log n (PELT)."""

    disabling_factor: float = Field(default=100.0, gt=1)
    """A first edit this many times the median of random first edits is disabling ..."""
    disabling_f1: float = Field(default=0.2, ge=0, le=1)
    """... or one after which mean weighted F1 is below this."""
    seed: int = Field(default=0, ge=0)
    """Of permutations, bootstraps and random orders."""

    @classmethod
    def with_settings(cls, settings: Sequence[str]) -> Constants:
        """Return the constants with some set by hand.

        Args:
            settings: Each `name=value`.

        Raises:
            ResultError: an unknown name, or a value that is not allowed.

        Example:
            >>> Constants.with_settings(["spike_factor=5"]).spike_factor
            5.0
        """
        values: dict[str, str] = {}
        for setting in settings:
            name, equals, value = setting.partition("=")
            if not equals:
                raise ResultError(f"--set {setting!r}: write name=value")
            if name not in cls.model_fields:
                near = difflib.get_close_matches(name, cls.model_fields, n=1, cutoff=0.4)
                hint = f" did you mean {near[0]!r}?" if near else ""
                known = ", ".join(cls.model_fields)
                raise ResultError(f"unknown constant {name!r}:{hint} (known: {known})")
            values[name] = value
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            raise ResultError(f"--set {name}={values[name]}: {first['msg']}") from None
