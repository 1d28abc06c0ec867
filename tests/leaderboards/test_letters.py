"""What is seen of a text, and what of it is shown otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqedit_bench.leaderboards._letters import unseen, visible

PERSIAN = "زبان\u200cهای طبیعی"  # noqa: RUF001 (it is meant so)
HINDI = "क्\u200dष"


@pytest.mark.parametrize("text", ["", "a b", "é", PERSIAN, HINDI])
def test_spelling_is_shown(text: str) -> None:
    assert (visible(text), unseen(text)) == (text, [])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1bb", "a\ufffdb"),
        ("a\u202eb", "a\ufffdb"),
        ("a\u200bb", "a\ufffdb"),
        ("se\u200dqedit", "se\ufffdqedit"),
        (f"\u200c{PERSIAN}", f"\ufffd{PERSIAN}"),
        ("a\u00a0b", "a\ufffdb"),
        ("\ud800", "\ufffd"),
    ],
)
def test_what_would_not_be_seen_is(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert len(unseen(text)) == 1


@given(st.text())
def test_nothing_steers_a_terminal(text: str) -> None:
    shown = visible(text)
    assert len(shown) == len(text)
    assert shown.replace("\u200c", "").replace("\u200d", "").isprintable()
    assert visible(text, "\n\t").replace("\n", "\ufffd").replace("\t", "\ufffd") == shown
