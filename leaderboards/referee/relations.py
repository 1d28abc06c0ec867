"""Numbers of one entry that bound each other, though neither follows from the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..entry import Entry
from ..results import Result, TaskRecord
from .problem import DRIFT, Problem, close, drifted, short

_PREFERRED = {"em": "es", "pm": "ps", "nm": "ns"}
"""Differences of two probabilities, and the share of prompts where it is above zero."""
_ROUNDING = 1e-5
_SCALE = 2.5e-5
"""How far two quotients of numbers with six digits can be apart, of what is one number: 2e-5."""
Values = Sequence[float | None]


def relations(entry: Entry) -> Iterator[Problem]:
    """Yield where two numbers of an entry cannot both be.

    The lists of the entry must fit each other (`ranges`).
    """
    retained = {name: each.values for name, each in entry.series.retained.items()}
    for part, values in (("immediate", entry.series.immediate), ("retained", retained)):
        for name in sorted(values):
            at = f"series.{part}.{name}"
            if (share := _PREFERRED.get(name)) in values:
                yield from _magnitudes(at, share, values[name], values[share])
            if (share := name.removesuffix("_exact")) != name and share in values:
                yield from _exact(at, share, values[name], values[share])
    for name, record in entry.result.curves.tasks.items():
        yield from _answers(f"result.curves.tasks.{name}", record)
    yield from _distance(entry.result)


def _magnitudes(at: str, share: str, magnitudes: Values, shares: Values) -> Iterator[Problem]:
    """A mean difference has the sign of its parts: with none above zero it is none itself."""
    for edit, (mean, part) in enumerate(zip(magnitudes, shares, strict=False), start=1):
        if mean is None or part is None:
            continue
        if not part - 1 - _ROUNDING <= mean <= part + _ROUNDING:
            yield Problem(
                at, f"edit {edit}: {short(mean)} cannot be where {share} is {short(part)}"
            )
            return


def _exact(at: str, share: str, exact: Values, shares: Values) -> Iterator[Problem]:
    """Who answers a target token for token nearly always finds it likelier than the other one.

    Not always: likelihoods are means over tokens, and the other one may end in sure ones.
    """
    pairs = [
        (one, other)
        for one, other in zip(exact, shares, strict=False)
        if one is not None and other is not None
    ]
    beyond = sum(max(0.0, one - other) for one, other in pairs)
    if beyond > DRIFT * len(pairs):
        yield Problem(at, f"is more often met than {share}, in {beyond:g} of {len(pairs)} edits")


def _answers(at: str, record: TaskRecord) -> Iterator[Problem]:
    """F1 is bound by accuracy, and what a constant answer gets is the same at every place."""
    found = record.metrics
    for name, other, most in (
        ("weighted_f1", "acc", lambda acc: 2 * acc / (1 + acc)),  # of each label: recall bounds F1
        ("acc", "invalid", lambda invalid: 1 - invalid),
    ):
        for value, bound in zip(found.get(name, ()), found.get(other, ()), strict=False):
            if value is not None and bound is not None and value > most(bound) + _ROUNDING:
                yield Problem(
                    f"{at}.{name}", f"{short(value)} cannot be where {other} is {short(bound)}"
                )
                break
    constant = found.get("constant_f1", [])
    if any(not close(value, constant[0]) for value in constant):
        yield Problem(f"{at}.constant_f1", "changes, and no model has a part in it")


def _distance(result: Result) -> Iterator[Problem]:
    """Weights that were edited have moved, and their three distances are one number, scaled."""
    at = "result.curves.distance"
    if result.editor.kind == "weights" and not result.curves.distance and _changed(result):
        yield Problem(at, "names no matrix, and the edits of weights have changed the model")
    for matrix, kinds in result.curves.distance.items():
        moved = kinds.get("l2", [])
        for kind, values in kinds.items():
            scales = [
                value / by
                for value, by in zip(values, moved, strict=False)
                if value is not None and by
            ]
            if any(abs(each - scales[0]) > _SCALE * scales[0] or not each for each in scales):
                yield Problem(f"{at}.{matrix}.{kind}", "does not go with l2")


def _changed(result: Result) -> bool:
    """Return whether any number says that the edited model is not the unedited one."""
    tasks = result.summary.tasks.values()
    pairs = [(each["unedited"], each["final"]) for task in tasks for each in task.values()]
    if (beside := result.summary.single_edits) is not None:
        pairs += [(beside.unedited.get(name), value) for name, value in beside.edited.items()]
    return any(drifted(one, other) for one, other in pairs)
