"""Thresholds: all changeable by name, none by mistake."""

from __future__ import annotations

import pytest

from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.analysis import Constants


def test_each_has_a_reason() -> None:
    for name, field in Constants.model_fields.items():
        assert field.description, name


def test_set_by_hand() -> None:
    found = Constants.with_settings(["es_ceiling=0.5", "horizon=20"])
    assert (found.es_ceiling, found.horizon) == (0.5, 20)
    assert found.spike_factor == Constants().spike_factor


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("spike_facto=3", "did you mean 'spike_factor'"),
        ("spike_factor", "write name=value"),
        ("spike_factor=many", "--set spike_factor=many"),
        ("es_ceiling=1.5", "less than or equal to 1"),
        ("spike_factor=nan", "greater than 1"),
        ("horizon=0", "greater than or equal to 1"),
    ],
)
def test_mistakes(setting: str, says: str) -> None:
    with pytest.raises(ResultError, match=r".") as error:
        Constants.with_settings([setting])
    assert says in str(error.value)
    assert "\n" not in str(error.value)
