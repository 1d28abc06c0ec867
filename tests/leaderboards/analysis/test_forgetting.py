"""What is left of earlier edits, against hand-made matrices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from seqedit_bench.leaderboards.analysis.constants import Constants
from seqedit_bench.leaderboards.analysis.forgetting import forgetting
from seqedit_bench.leaderboards.analysis.journal import (
    CheckpointLine,
    EditLine,
    OverlapLine,
    RunJournal,
)
from seqedit_bench.leaderboards.analysis.overwriting import overwriting
from seqedit_bench.leaderboards.analysis.records import Forgetting, OverwritingSummary
from seqedit_bench.leaderboards.transfer import wilson

C = Constants(bootstrap=200)


def fact(number: int, worked: float | None = 1.0, **fields: str) -> EditLine:
    given = {
        "prompt": "{} speaks",
        "subject": f"Person{number}",
        "target_new": f" Language{number}",
        "relation_id": f"P{number}",
        **fields,
    }
    return EditLine.model_validate(
        {"edit": number, "case_id": number, "metrics": {"es_exact": worked}, **given}
    )


def journal(edits: list[EditLine], *now: Sequence[float | None]) -> RunJournal:
    checkpoints = [CheckpointLine(edits=len(row), edited={"es_exact": [*row]}) for row in now]
    return RunJournal(Path(), {}, edits, checkpoints, [], [], None)


def exact(run: RunJournal) -> Forgetting:
    (found,) = forgetting(run, C)
    return found


def test_immediate_and_retained() -> None:
    edits = [fact(1), fact(2), fact(3, 0.0), fact(4, None)]
    found = exact(journal(edits, [1.0, 1.0], [1.0, None, 1.0, 0.0]))
    assert found.edits == 4
    assert (found.immediate.value, found.retained.value) == (0.5, 0.5)
    # One was lost and one, which had never worked, works now.
    assert found.forgetting.value == 0.0
    assert (found.kept.value, found.kept.count) == (0.5, 2)


def test_by_age() -> None:
    """Twenty edits; at the end those with ten or more edits behind them are lost."""
    edits = [fact(number) for number in range(1, 21)]
    found = exact(journal(edits, [1.0] * 10, [0.0] * 10 + [1.0] * 10))
    ages = {each.name: each.retained for each in found.by_age}
    assert list(ages) == ["0 to 9", "10 to 24"]
    assert (ages["0 to 9"].value, ages["0 to 9"].count) == (1.0, 20)
    assert (ages["10 to 24"].value, ages["10 to 24"].count) == (0.0, 10)


def test_a_share_of_tokens_is_nothing_to_lose() -> None:
    """Half of an answer's tokens is no success and no failure."""
    edits = [fact(1), fact(2, 0.5)]
    assert forgetting(journal(edits, [1.0], [1.0, 0.5]), C) == []


def test_an_edit_asked_ten_times_is_not_ten_edits() -> None:
    """One of two facts is lost at all of fifteen checkpoints: nobody knows the share."""
    edits = [fact(number, 1.0 if number < 3 else 0.0) for number in range(1, 31)]
    rows = [[1.0, 0.0] + [0.0] * (done - 2) for done in range(16, 31)]
    young = exact(journal(edits, *rows)).by_age[0]
    assert (young.name, young.retained.count) == ("10 to 24", 2)
    assert young.retained.value == pytest.approx(0.5, abs=0.05)
    assert (young.retained.low, young.retained.high) == (0.0, 1.0)


def test_by_relation_and_length() -> None:
    edits = [
        fact(1, relation_id="P1", target_new=" New York City"),
        fact(2, relation_id="P1"),
        fact(3, relation_id="P2"),
    ]
    found = exact(journal(edits, [0.0, 1.0, 1.0]))
    relations = [
        (each.name, each.retained.value, each.retained.count) for each in found.by_relation
    ]
    assert relations == [("P1", 0.5, 2), ("P2", 1.0, 1)]
    words = [(each.name, each.retained.value) for each in found.by_target_words]
    assert words == [("1 word", 1.0), ("3 words", 0.0)]


def test_nothing_was_asked_again() -> None:
    assert forgetting(journal([fact(1)]), C) == []
    assert overwriting(journal([fact(1)]), Constants()) is None


# --- Which edit overwrote which --------------------------------------------------------------


def causes(run: RunJournal) -> OverwritingSummary:
    found = overwriting(run, Constants())
    assert found is not None
    return found


def test_only_edits_made_meanwhile_are_suspects() -> None:
    """Edits 2 and 6 are alike too, but 2 came before the last good checkpoint, 6 after the loss."""
    edits = [
        fact(number, relation_id="P1", prompt="{} lives in")
        if number in (1, 2, 4, 6)
        else fact(number)
        for number in range(1, 7)
    ]
    found = causes(journal(edits, [1.0] * 2, [0.0, 1.0, 1.0, 1.0], [0.0] + [1.0] * 5))
    (loss,) = found.lost
    assert (loss.lost_edit, loss.last_kept, loss.found_lost, loss.by_edit) == (1, 2, 4, 4)
    assert loss.reason == "same relation"
    assert loss.lost == "Person1 lives in Language1"
    assert found.measure == "text"


def test_nobody_is_named_where_nothing_is_alike() -> None:
    edits = [
        fact(1, prompt="{} speaks", subject="Aa", target_new=" Bb"),
        fact(2, prompt="The capital of {} is", subject="Cc", target_new=" Dd"),
    ]
    (loss,) = causes(journal(edits, [1.0], [0.0, 1.0])).lost
    assert (loss.by_edit, loss.by) == (None, "")
    assert loss.reason == "none of 1 edits is like it"


def test_keys_decide_where_they_are_known() -> None:
    edits = [fact(number) for number in range(1, 5)]
    run = journal(edits, [1.0], [0.0, 1.0, 1.0, 1.0])
    rows: list[list[float | None]] = [[], [0.1], [-0.9, 0.0], [None, 0.0, 0.0]]
    run.overlaps.extend(
        OverlapLine(edit=number, overlaps=row) for number, row in enumerate(rows, start=1)
    )
    found = causes(run)
    assert found.measure == "keys"
    assert (found.lost[0].by_edit, found.lost[0].score) == (3, 0.9)
    assert found.lost[0].reason == "keys overlap"


def test_a_fact_that_never_worked_cannot_be_lost() -> None:
    assert causes(journal([fact(1, 0.0), fact(2)], [0.0, 1.0])).lost == []


def test_all_that_was_lost_is_counted() -> None:
    found = causes(journal([fact(number) for number in range(1, 251)], [0.0] * 250))
    assert (found.num_lost, len(found.lost)) == (249, 200)


def test_relations_of_suspects_against_relations_of_others() -> None:
    """Fact 1 is lost while one of two edits is of its relation; fact 2 is kept past none."""
    edits = [fact(1, relation_id="P1"), fact(2), fact(3, relation_id="P1"), fact(4)]
    found = causes(journal(edits, [1.0, 1.0], [0.0, 1.0, 1.0, 1.0]))
    assert (found.relation_share_lost.value, found.relation_share_lost.count) == (0.5, 2)
    # Kept: fact 1 past edit 2, fact 2 past 3 and 4, fact 3 past 4.
    assert (found.relation_share_kept.value, found.relation_share_kept.count) == (0.0, 4)
    # No edit of four, of three facts: that says less than four independent ones would.
    assert found.relation_share_kept.high == pytest.approx(wilson(0, 3)[1])


def test_the_interval_of_relations_draws_facts() -> None:
    """A third of the facts are of one relation: 45 facts tell less than their 990 pairs."""
    edits = [fact(number, relation_id=f"P{number if number % 3 else 0}") for number in range(1, 46)]
    found = causes(journal(edits, [0.0] * 45)).relation_share_lost
    assert found.count == 45 * 44 // 2
    assert found.value == pytest.approx(15 * 14 / 2 / found.count)
    assert found.low is not None and found.high is not None
    low, high = wilson(15 * 14 // 2, found.count)
    assert found.high - found.low > 2 * (high - low)


def test_that_none_of_an_age_is_left_is_not_certain() -> None:
    found = exact(journal([fact(1), fact(2), fact(3)], [0.0] * 3)).by_age[0].retained
    assert (found.value, found.count) == (0.0, 3)
    assert (found.low, found.high) == pytest.approx(wilson(0, 3))
