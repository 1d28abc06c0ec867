"""What is left of earlier edits: by metric, by age, by relation, by length of the target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .constants import Constants
from .intervals import bootstrap, share
from .journal import RunJournal
from .records import Estimate, Forgetting, Forgotten
from .series import followed, immediate

METRICS = ("es_exact", "es", "efficacy_exact", "efficacy")
AGES = (0, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)
"""Bounds of classes of age, in edits made since."""
_LONGEST = 4
"""Words of a target, from which on all are one class."""


def forgetting(run: RunJournal, constants: Constants) -> list[Forgetting]:
    """Compare success right after each edit with success at checkpoints."""
    return [found for name in METRICS if (found := _of_metric(run, name, constants)) is not None]


def _of_metric(run: RunJournal, name: str, constants: Constants) -> Forgetting | None:
    asked = followed(run, name)
    # Only what is a success or a failure can be lost: of questions, the share of tokens is neither.
    if not asked or any(line.metrics.get(name) not in (0.0, 1.0, None) for line in run.edits):
        return None
    done, now = asked[-1]
    first = [bool(value) for value in immediate(run, name)[:done]]
    learned = [at for at in range(done) if first[at]]
    words = [min(_LONGEST, len(run.edits[at].target_new.split())) for at in range(done)]
    return Forgetting(
        metric=name,
        edits=done,
        immediate=share(len(learned), done),
        retained=share(sum(now), done),
        forgetting=_difference(first, now, constants),
        kept=share(sum(now[at] for at in learned), len(learned)),
        by_age=_by_age(first, asked, constants),
        by_relation=_by_class(
            [run.edits[at].relation_id or "unknown" for at in range(done)], learned, now
        ),
        by_target_words=_by_class([_words(count) for count in words], learned, now),
    )


def _words(count: int) -> str:
    """Return the name of a class of targets."""
    if count >= _LONGEST:
        return f"{_LONGEST} words or more"
    return f"{count} word{'s' * (count != 1)}"


def _difference(first: Sequence[bool], now: Sequence[bool], constants: Constants) -> Estimate:
    """Return the mean loss of an edit, an edit being what is drawn."""
    losses = [float(before) - float(after) for before, after in zip(first, now, strict=True)]
    return bootstrap(
        [losses], lambda rows: rows.mean(axis=1), draws=constants.bootstrap, seed=constants.seed
    )


def _by_age(
    first: Sequence[bool], asked: Sequence[tuple[int, Sequence[bool]]], constants: Constants
) -> list[Forgotten]:
    """Return the share that works, by edits made since, over all checkpoints.

    An edit is asked again at every checkpoint: what is drawn in the bootstrap is the edit with
    all its answers, or intervals would be far too narrow.
    """
    learned = np.flatnonzero(first)
    kept = np.zeros((len(first), len(AGES)))
    total = np.zeros_like(kept)
    for done, now in asked:
        there = learned[learned < done]
        columns = np.searchsorted(AGES, done - 1 - there, side="right") - 1
        kept[there, columns] += np.asarray(now)[there]
        total[there, columns] += 1
    generator = np.random.default_rng(constants.seed)
    found = []
    for column, low in enumerate(AGES):
        there = np.flatnonzero(total[:, column])
        if not len(there):
            continue
        value = float(kept[there, column].sum() / total[there, column].sum())
        if value in (0.0, 1.0):
            # Draws of equal values are equal: they would say that one knows for sure.
            estimate = share(round(value * len(there)), len(there))
        else:
            drawn = generator.choice(there, size=(constants.bootstrap, len(there)))
            shares = kept[drawn, column].sum(axis=1) / total[drawn, column].sum(axis=1)
            low_share, high_share = map(float, np.quantile(shares, (0.025, 0.975)))
            estimate = Estimate(value=value, low=low_share, high=high_share, count=len(there))
        last = column + 1 == len(AGES)
        name = f"{low} or more" if last else f"{low} to {AGES[column + 1] - 1}"
        found.append(Forgotten(name=name, retained=estimate))
    return found


def _by_class(
    classes: Sequence[str], learned: Sequence[int], now: Sequence[bool]
) -> list[Forgotten]:
    """Return the share that works now in each class of edits, the most frequent class first."""
    members: dict[str, list[bool]] = {}
    for at in learned:
        members.setdefault(classes[at], []).append(now[at])
    order = sorted(members, key=lambda name: (-len(members[name]), name))
    return [
        Forgotten(name=name, retained=share(sum(members[name]), len(members[name])))
        for name in order
    ]
