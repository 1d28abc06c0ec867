"""The paper's Table 3: what kind of editor each is, by rules instead of by hand."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ..comparable import ensure_alike
from ..results import ResultError
from .analyse import analyse
from .constants import Constants
from .intervals import bootstrap, mean_of_runs, share
from .journal import RunJournal
from .records import Analysis, Estimate
from .series import EFFICACY, EXACT, downstream, first_of, followed, immediate

LOCALITY = (("very high", 0.02), ("high", 0.1), ("low", 0.25), ("very low", 1.0))
FORGETTING = (("very low", 0.02), ("low", 0.1), ("high", 0.5), ("very high", 1.0))
DOWNSTREAM = (("none", 0.02), ("low", 0.1), ("medium", 0.4), ("high", float("inf")))
"""Words for a loss, each with the largest that it stands for."""
_ENOUGH_RUNS = 3
"""From so many on, what is drawn are runs; of fewer an interval over runs says next to nothing."""
_LOCAL = ("ns", "specificity")

Unit = Literal["runs", "edits"]


class PropertyRow(BaseModel):
    """One editor, over all its runs."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    editor: str
    runs: int
    samples: list[int]
    """The edit orders of its runs."""
    edits: list[int]
    """Edits of each run."""
    over: Unit
    """What was drawn for the intervals: runs, or edits within them."""
    efficacy: Estimate
    """Mean ES right after each edit, until the collapse."""
    efficacy_word: str
    locality: Estimate
    """Mean NS right after each edit, until the collapse."""
    locality_lost: float | None
    """NS of the unedited model minus that."""
    locality_word: str
    collapsed: int
    """Runs that did."""
    before_collapse: list[int | None]
    """Edits each run made before it collapsed; null of one that did not."""
    before_collapse_between: list[tuple[int, int] | None]
    """Fewest and most that may have been, as closely as the run was measured."""
    before_collapse_mean: Estimate
    """Of the runs that did."""
    downstream_loss: Estimate
    """Of what the unedited model does better than a constant answer, the share that is gone at the
    last checkpoint before the collapse."""
    downstream_word: str
    forgetting: Estimate
    """Share of learned facts that are lost there."""
    forgetting_word: str
    disabling: bool | None
    """Whether a single first edit disables the model; null where none was replayed."""
    disabling_tried: int


def properties(
    runs: Sequence[RunJournal],
    constants: Constants | None = None,
    found: Sequence[Analysis] | None = None,
) -> list[PropertyRow]:
    """Derive the table of properties.

    Args:
        runs: Runs of the same suite, model, data and protocol, of any length; those of one editor
            differ in sample or seed.
        constants: Thresholds of the analysis.
        found: The runs' analyses, if they have been made.

    Raises:
        ResultError: the runs cannot share a table.
    """
    constants = constants or Constants()
    ensure_same_protocol(runs)
    groups: dict[str, list[int]] = {}
    for at, run in enumerate(runs):
        groups.setdefault(editor_label(run), []).append(at)
    for name, members in groups.items():
        _ensure_one_editor(name, [runs[at] for at in members])
        requests = [runs[at].part("request") for at in members]
        draws = {(each.get("sample"), each.get("seed")) for each in requests}
        if len(draws) < len(members):
            raise ResultError(f"{name}: two runs of the same sample and seed are one, not two")
    found = found or [analyse(run, constants) for run in runs]
    return [
        _row(name, [runs[at] for at in members], [found[at] for at in members], constants)
        for name, members in groups.items()
    ]


def ensure_same_protocol(runs: Sequence[RunJournal]) -> None:
    """Refuse runs whose numbers mean different things.

    Raises:
        ResultError: they differ in suite, model, data, or in what was asked and when.
    """
    parts = [
        {name: run.part(name) for name in ("suite", "model", "data", "protocol")} for run in runs
    ]
    ensure_alike(parts, [run.folder.name for run in runs], protocol=True)


def _ensure_one_editor(label: str, runs: Sequence[RunJournal]) -> None:
    """Refuse runs under one name whose hyper-parameters are not the same."""
    hparams = [run.part("editor").get("hparams") or {} for run in runs]
    for run, other in zip(runs[1:], hparams[1:], strict=True):
        for name in sorted({*hparams[0], *other}):
            if hparams[0].get(name) != other.get(name):
                raise ResultError(
                    f"{label}: {name} is {hparams[0].get(name)} in {runs[0].folder.name} and "
                    f"{other.get(name)} in {run.folder.name}; leave one out"
                )


def editor_label(run: RunJournal) -> str:
    """Return the editor's name with the hyper-parameters that were set by hand."""
    hand_set = run.part("request").get("hparams")
    extra = [str(each) for each in hand_set] if isinstance(hand_set, list) else []
    return " ".join([run.editor, *extra])


def _row(
    name: str, runs: list[RunJournal], found: list[Analysis], constants: Constants
) -> PropertyRow:
    ends = [each.collapse.edit - 1 if each.collapse.edit else each.edits for each in found]
    over: Unit = "runs" if len(runs) >= _ENOUGH_RUNS else "edits"
    es = [_known(run, EFFICACY, end) for run, end in zip(runs, ends, strict=True)]
    ns = [_known(run, _LOCAL, end) for run, end in zip(runs, ends, strict=True)]
    kept = [_kept(run, end) for run, end in zip(runs, ends, strict=True)]
    losses = [_loss(run, end, constants) for run, end in zip(runs, ends, strict=True)]
    known_losses = [loss for loss in losses if loss is not None]
    efficacy = _mean(es, over, constants)
    locality = _mean(ns, over, constants)
    unedited = [value for run in runs if (value := _unedited(run, _LOCAL)) is not None]
    lost = _below(sum(unedited) / len(unedited), locality) if unedited else Estimate(value=None)
    forgotten = _mean([[float(not each) for each in run] for run in kept], over, constants)
    downstream_loss = mean_of_runs(known_losses)
    places = [each.collapse.edit for each in found]
    tried = [each.disabling for each in found if each.disabling is not None]
    disabling = [
        table.controls_disabling > 0 or any(each.disabling for each in table.candidates)
        for table in tried
    ]
    return PropertyRow(
        editor=name,
        runs=len(runs),
        samples=[
            sample for run in runs if isinstance(sample := run.part("request").get("sample"), int)
        ],
        edits=[len(run.edits) for run in runs],
        over=over,
        efficacy=efficacy,
        efficacy_word=_efficacy_word(efficacy, any(places)),
        locality=locality,
        locality_lost=lost.value,
        locality_word=_word(lost, LOCALITY),
        collapsed=sum(place is not None for place in places),
        before_collapse=[place - 1 if place else None for place in places],
        before_collapse_between=[_between(each) for each in found],
        before_collapse_mean=mean_of_runs([place - 1.0 for place in places if place]),
        downstream_loss=downstream_loss,
        downstream_word=_word(downstream_loss, DOWNSTREAM),
        forgetting=forgotten,
        forgetting_word=_word(forgotten, FORGETTING),
        disabling=any(disabling) if tried else None,
        disabling_tried=sum(len(table.candidates) + table.controls for table in tried),
    )


def _between(found: Analysis) -> tuple[int, int] | None:
    collapse = found.collapse
    if collapse.edit is None:
        return None
    return (collapse.low or collapse.edit) - 1, (collapse.high or collapse.edit) - 1


def _efficacy_word(efficacy: Estimate, collapses: bool) -> str:
    if efficacy.value is None:
        return "-"
    word = "100" if efficacy.value >= 0.995 else "<100"
    return f"{word} until collapse" if collapses else word


def _below(unedited: float, kept: Estimate) -> Estimate:
    """Return how far something is below what it was."""
    if kept.value is None:
        return Estimate(value=None)
    low, high = (None if end is None else unedited - end for end in (kept.high, kept.low))
    return Estimate(value=unedited - kept.value, low=low, high=high)


def _word(loss: Estimate, words: Sequence[tuple[str, float]]) -> str:
    """Return the word for a loss; `unclear` where its interval reaches over a whole one.

    Example:
        >>> _word(Estimate(value=0.05), LOCALITY), _word(Estimate(value=None), LOCALITY)
        ('high', '-')
        >>> _word(Estimate(value=0.05, low=0.01, high=0.09), LOCALITY)
        'high'
        >>> _word(Estimate(value=0.05, low=-0.9, high=0.95), LOCALITY)
        'unclear'
    """
    if loss.value is None:
        return "-"
    ends = [_place(end, words) for end in (loss.low, loss.high) if end is not None]
    if ends and ends[-1] - ends[0] > 1:
        return "unclear"
    return words[_place(loss.value, words)][0]


def _place(loss: float, words: Sequence[tuple[str, float]]) -> int:
    reaches = (at for at, (_, largest) in enumerate(words) if loss <= largest + 1e-12)
    return next(reaches, len(words) - 1)


def _known(run: RunJournal, names: Sequence[str], end: int) -> list[float]:
    """Return a metric right after each edit up to one, where it was measured."""
    name = first_of(run, names)
    values = immediate(run, name)[:end] if name else []
    return [value for value in values if value is not None]


def _kept(run: RunJournal, end: int) -> list[bool]:
    """Return, for each fact learned by the last checkpoint before the end, whether it is there."""
    name = first_of(run, EXACT)
    asked = [each for each in followed(run, name) if each[0] <= end] if name else []
    if name is None or not asked:
        return []
    done, now = asked[-1]
    return [now[at] for at, value in enumerate(immediate(run, name)[:done]) if value]


def _loss(run: RunJournal, end: int, constants: Constants) -> float | None:
    """Return the share of downstream ability that is gone at the last checkpoint before the end."""
    found = downstream(run.checkpoints, constants.headroom)
    if found is None:
        return None
    left = [value for done, value in zip(*found.headroom, strict=True) if 0 < done <= end]
    return 1 - left[-1] if left else None


def _unedited(run: RunJournal, names: Sequence[str]) -> float | None:
    baseline = run.checkpoints[0].baseline if run.checkpoints else []
    for name in names:
        values = [line[name] or 0.0 for line in baseline if name in line]
        if values:
            return sum(values) / len(values)
    return None


def _mean(groups: Sequence[Sequence[float]], over: Unit, constants: Constants) -> Estimate:
    """Return a mean over runs; or over edits: Wilson's interval of successes, else a bootstrap."""
    groups = [group for group in groups if group]
    if over == "runs":
        return _clipped(mean_of_runs([fmean(group) for group in groups]))
    values = [value for group in groups for value in group]
    if all(value in (0.0, 1.0) for value in values):
        return share(round(sum(values)), len(values))
    return bootstrap(
        groups, lambda rows: rows.mean(axis=1), draws=constants.bootstrap, seed=constants.seed
    )


def _clipped(found: Estimate) -> Estimate:
    """Keep the interval of a share between 0 and 1."""
    if found.low is None or found.high is None:
        return found
    low, high = max(0.0, found.low), min(1.0, found.high)
    return found.model_copy(update={"low": low, "high": high})
