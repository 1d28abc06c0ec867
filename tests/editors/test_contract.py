"""What holds for every editor of ours: the checks of `seqedit-bench check-editor`, and more."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from seqedit_bench.benchmark.check_editor import check_outcome
from seqedit_bench.benchmark.contract import CHECKS, state_round_trip
from seqedit_bench.benchmark.tiny_models import MAIN_FAMILIES
from seqedit_bench.benchmark.trial import MIDDLE, Trial, differing
from seqedit_bench.editors import ModelShape, about_editor, available_editors, get_editor

EDITORS = available_editors()
COMPOSED = ["rect+memit", "prune+ft_c", "nas+memit"]


@pytest.mark.parametrize("family", MAIN_FAMILIES)
@pytest.mark.parametrize("name", [*EDITORS, *COMPOSED])
def test_contract(name: str, family: str, cache_dir: Path) -> None:
    trial = Trial(name, get_editor(name), family, cache_dir=cache_dir)
    outcomes = [check_outcome(check, trial) for check in CHECKS.values()]
    assert [outcome for outcome in outcomes if outcome.verdict == "FAIL"] == []
    _declares_just_what_changes(trial)
    state_round_trip(trial, seed=99)  # the old editor's state wins over the new one's seed
    learns = trial.editor_class.kind != "context"
    if learns and "edits_in_place" not in trial.editor_class.out_of_scope:
        _reports_losses(trial)


def _declares_just_what_changes(trial: Trial) -> None:
    """Ours declare no parameter that an edit may leave alone, and report the norm of each."""
    seen = trial.after([MIDDLE])
    (report,) = seen.reports
    assert len(report.per_request) == 1
    if "edits_in_place" not in trial.editor_class.out_of_scope:
        assert differing(trial.unedited.tensors, seen.tensors) == sorted(
            seen.declared, key=list(seen.tensors).index
        )
    assert set(report.update_norms) == set(seen.declared)


def _reports_losses(trial: Trial) -> None:
    """The report must say that a model is broken."""
    attempt = trial.prepared()
    attempt.poison()
    (report,) = attempt.edit([MIDDLE]).per_request
    assert math.isnan(report["loss"])


@pytest.mark.parametrize("name", EDITORS)
def test_card_equals_class(name: str) -> None:
    """`list editors` reads the card, without importing the class."""
    about, cls = about_editor(name), get_editor(name)
    assert about["kind"] == cls.kind
    assert about["batched"] is cls.batched
    assert set(about["needs"]) == cls.needs


@pytest.mark.parametrize("name", EDITORS)
@pytest.mark.parametrize("depth", [1, 2, 4, 28, 48])
def test_derived_hparams_fit_any_depth(name: str, depth: int) -> None:
    cls = get_editor(name)
    values = cls.Hparams.model_validate(cls.Hparams.derive(ModelShape(depth, 1024, 4096)))
    assert all(0 <= layer < depth for layer in getattr(values, "layers", []))
