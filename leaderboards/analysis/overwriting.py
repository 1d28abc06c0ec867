"""Which later edit overwrote which earlier fact: what can be said, and how sure it is.

A checkpoint says that a fact is lost, and the one before that it was not: the edits between the
two are the suspects. Which of them did it is not measured. Two measures of likeness point at one:

* keys (`analyze --keys` computes them on the model): a rank-one update answers to a key k with
  (k . u) / (k_edit . u) of what it writes for its own, u being its direction. This is how a
  locate-then-edit editor disturbs an earlier fact.
* text, where there are no keys: the share of words in common, and the relation. It is a guess.

Whether likeness matters at all is a question for all facts at once: if a relation overwrites its
own, suspects of lost facts share their fact's relation more often than edits after kept facts do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from .constants import Constants
from .intervals import share
from .journal import EditLine, RunJournal
from .records import Estimate, Overwriting, OverwritingSummary
from .series import EXACT, first_of, followed, immediate, success

_WORD = re.compile(r"\w+")
_LISTED = 200
_SAME_RELATION = 0.25
"""Added to the share of common words: two facts of a relation are alike beyond their words."""
_SIMILAR = 0.2
"""Likeness, or overlap of keys, from which on a suspect is named."""


class _Loss(NamedTuple):
    at: int
    """Index of the fact."""
    kept: int
    """It worked after so many edits, or when it was made."""
    lost: int
    """And no more after so many."""


def overwriting(run: RunJournal, constants: Constants) -> OverwritingSummary | None:
    """Name the likeliest cause of each loss; None where nothing was followed."""
    name = first_of(run, EXACT)
    if name is None or not (asked := followed(run, name)):
        return None
    first = [bool(value) for value in immediate(run, name)]
    losses, kept = _losses(first, asked)
    likeness, measure = _likeness(run)
    found = [_cause(run, loss, likeness, measure) for loss in losses]
    return OverwritingSummary(
        measure=measure,
        num_lost=len(found),
        lost=found[:_LISTED],
        with_cause=sum(each.by_edit is not None for each in found),
        relation_share_lost=_relation_share(run, losses, constants),
        relation_share_kept=_relation_share(run, kept, constants),
    )


def _losses(
    first: list[bool], asked: list[tuple[int, list[bool]]]
) -> tuple[list[_Loss], list[_Loss]]:
    """Return for each learned fact when it was first lost; and all stretches it was kept over."""
    losses, kept = [], []
    for at, learned in enumerate(first):
        if not learned:
            continue
        before = at + 1
        for done, now in asked:
            if done <= at + 1:
                continue
            if not now[at]:
                losses.append(_Loss(at, before, done))
                break
            kept.append(_Loss(at, before, done))
            before = done
    return losses, kept


_Likeness = Callable[[int, int], float]


def _likeness(run: RunJournal) -> tuple[_Likeness, Literal["keys", "text"]]:
    """Return how like an earlier fact (by index) a later edit is."""
    if len(run.overlaps) == len(run.edits):
        return (
            lambda earlier, later: abs(success(run.overlaps[later].overlaps[earlier])),
            "keys",
        )
    words = [set(_WORD.findall(_text(line).lower())) for line in run.edits]

    def common(earlier: int, later: int) -> float:
        union = words[earlier] | words[later]
        same = run.edits[earlier].relation_id is not None and (
            run.edits[earlier].relation_id == run.edits[later].relation_id
        )
        jaccard = len(words[earlier] & words[later]) / len(union) if union else 0.0
        return jaccard + _SAME_RELATION * same

    return common, "text"


def _text(line: EditLine) -> str:
    return f"{line.prompt.replace('{}', line.subject)} {line.target_new.strip()}"


def _cause(
    run: RunJournal, loss: _Loss, likeness: _Likeness, measure: Literal["keys", "text"]
) -> Overwriting:
    suspects = range(max(loss.kept, loss.at + 1), loss.lost)
    best = max(suspects, key=lambda later: likeness(loss.at, later), default=None)
    score = likeness(loss.at, best) if best is not None else None
    line = run.edits[loss.at]
    named = best is not None and score is not None and score >= _SIMILAR
    by = run.edits[best] if named and best is not None else None
    return Overwriting(
        lost_edit=loss.at + 1,
        lost=_text(line),
        last_kept=loss.kept,
        found_lost=loss.lost,
        by_edit=by.edit if by else None,
        by=_text(by) if by else "",
        reason=_reason(line, by, measure) if by else f"none of {len(suspects)} edits is like it",
        score=score,
    )


def _reason(lost: EditLine, by: EditLine, measure: Literal["keys", "text"]) -> str:
    """Return what two facts have in common."""
    shared = set(_WORD.findall(lost.subject.lower())) & set(_WORD.findall(by.subject.lower()))
    common = [
        ("relation", lost.relation_id is not None and lost.relation_id == by.relation_id),
        ("target", lost.target_new == by.target_new),
        (f"subject words {' '.join(sorted(shared))}", bool(shared)),
    ]
    named = [what for what, holds in common if holds]
    return (
        f"same {', '.join(named)}"
        if named
        else ("keys overlap" if measure == "keys" else "words in common")
    )


def _relation_share(run: RunJournal, stretches: list[_Loss], constants: Constants) -> Estimate:
    """Return the share of edits in these stretches that are of the fact's own relation.

    What is drawn for the interval are facts, each with all edits made meanwhile: these are the same
    edits for many facts, and are not independent.
    """
    counts: dict[int, list[int]] = {}
    for stretch in stretches:
        own = run.edits[stretch.at].relation_id
        count = counts.setdefault(stretch.at, [0, 0])
        for later in range(max(stretch.kept, stretch.at + 1), stretch.lost):
            count[0] += own is not None and run.edits[later].relation_id == own
            count[1] += 1
    pairs = np.array([count for count in counts.values() if count[1]]).reshape(-1, 2)
    same, total = (int(count) for count in pairs.sum(axis=0))
    if not total:
        return Estimate(value=None)
    if same in (0, total):
        found = share(len(pairs) * (same > 0), len(pairs))
        return found.model_copy(update={"count": total})
    generator = np.random.default_rng(constants.seed)
    drawn = pairs[generator.integers(len(pairs), size=(constants.bootstrap, len(pairs)))].sum(
        axis=1
    )
    low, high = map(float, np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975)))
    return Estimate(value=same / total, low=low, high=high, count=total)
