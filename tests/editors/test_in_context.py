"""Edits in the prompt: what is found for which prompt, and what is put before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import Any

import pytest
from pydantic import ValidationError

from seqedit_bench.editors import EditRequest
from seqedit_bench.editors._facts import Facts, LexicalIndex, grams
from seqedit_bench.editors.in_context import InContextHparams
from seqedit_bench.tasks.edits import load_stream
from seqedit_bench.tasks.sources import Source

Make = Callable[..., Any]


def fact(case_id: int, prompt: str, subject: str, target: str) -> EditRequest:
    return EditRequest.create(case_id=case_id, prompt=prompt, subject=subject, target_new=target)


PLAIN = {"format": "New fact: {prompt} {target}\n", "lead": ""}
FRANCE = fact(10, "The capital of {} is", "France", "Madrid")
SPAIN = fact(11, "The capital of {} is", "Spain", "Lima")
LANGUAGE = fact(12, "In {} people speak", "France", "Danish")


@pytest.fixture
def make(make_model: Make, make_editor: Make) -> Make:
    def build(name: str = "in_context", **hparams: Any) -> Any:
        return make_editor(name, make_model("gpt2"), **{**PLAIN, **hparams})

    return build


def ask(editor: Any, *prompts: str, case_ids: Sequence[int | None] = ()) -> list[list[str]]:
    return editor.context_for(list(prompts), case_ids or [None] * len(prompts))


def test_words_keep_their_ends() -> None:
    assert grams("in Spain.") == {" in ", " Spa", "Spai", "pain", "ain "}
    assert not grams("He") & grams("Hello")
    assert grams("(!)") == {" (!)", "(!) "}


@pytest.mark.parametrize("index", ["subject", "prompt"])
def test_own_prompt_finds_own_fact(index: str, make: Make) -> None:
    editor = make(index=index, threshold=1.0)
    facts = [FRANCE, SPAIN, LANGUAGE]
    editor.edit(facts)
    assert ask(editor, *(each.text for each in facts)) == [
        ["New fact: The capital of France is Madrid\n"],
        ["New fact: The capital of Spain is Lima\n"],
        ["New fact: In France people speak Danish\n"],
    ]


def test_own_prompt_finds_own_fact_among_all_bundled_edits() -> None:
    cases = load_stream(Source.choose(None, None), "counterfact", sample=1).cases
    facts = Facts()
    for case in cases:
        facts.add(case.request)
    index = LexicalIndex(facts, "subject")
    for case in cases:
        (found,) = index.look_up(case.request.text, least=1.0, top=1)
        assert found.fact.case_id == case.case_id
        assert (found.indexed, found.prompt) == pytest.approx((1.0, 1.0))


def test_shares_in_closed_form() -> None:
    """Two facts: a gram of one of them weighs log 3, a gram of both log 2."""
    facts = Facts()
    facts.add(fact(1, "{} is", "abcd abxy", "x"))  # " abc abcd bcd " " abx abxy bxy "
    facts.add(fact(2, "{} is", "abcd", "x"))
    index = LexicalIndex(facts, "subject")
    whole = 3 * log(3) + 3 * log(2)
    found = index.look_up("of abcd here", least=0.01, top=5)
    assert [each.fact.case_id for each in found] == [1, 2]
    assert [each.indexed for each in found] == pytest.approx([3 * log(2) / whole, 1.0])
    assert [each.prompt for each in found] == pytest.approx([3 / 7, 3 / 4])


def test_below_the_threshold_nothing_is_put_before(make: Make) -> None:
    editor = make(threshold=0.7)
    assert ask(editor, "The capital of France is") == [[]]
    editor.edit([fact(1, "{} is in", "Potsdamer Platz", "Moscow")])
    assert ask(editor, "A tram to Potsdamer stops at", "Potsdamer Platz, then", "The Platz") == [
        [],
        ["New fact: Potsdamer Platz is in Moscow\n"],
        [],
    ]
    loose = make(threshold=0.6)
    loose.edit([fact(1, "{} is in", "Potsdamer Platz", "Moscow")])
    assert ask(loose, "A tram to Potsdamer stops at") != [[]]


def test_the_nearest_is_last(make: Make) -> None:
    editor = make(top_k=2)
    editor.edit([LANGUAGE, FRANCE, SPAIN])
    capital, language = (f"New fact: {each.text}{each.target_new}\n" for each in (FRANCE, LANGUAGE))
    assert ask(editor, "The capital city of France is") == [[language, capital]]
    assert ask(editor, "In France they speak") == [[capital, language]]
    assert ask(editor, "Nothing of Italy") == [[]]
    assert ask(make(top_k=1), "In France they speak") == [[]]


def test_a_second_edit_of_a_fact_replaces_the_first(make: Make) -> None:
    editor = make(top_k=5)
    editor.edit([FRANCE])
    editor.edit([SPAIN])
    (report,) = editor.edit([fact(10, FRANCE.prompt, "France", "Oslo")]).per_request
    assert report == {"facts": 2}
    assert ask(editor, FRANCE.text) == [["New fact: The capital of France is Oslo\n"]]


def test_of_two_equal_facts_the_later_wins(make: Make) -> None:
    editor = make()
    editor.edit([fact(1, "{} lives in", "Ana", "Lima"), fact(2, "{} lives in ", " Ana", "Oslo")])
    assert ask(editor, "Ana lives in") == [["New fact: Ana lives in Oslo\n"]]
    editor = make()
    editor.edit([fact(1, "{} sees", "Ana", "Lima"), fact(2, "{} asks", "Ana", "Oslo")])
    assert ask(editor, "Ana") == [["New fact: Ana asks Oslo\n"]]


def test_how_a_fact_is_written(make: Make) -> None:
    editor = make(format="{target}: {prompt} (new).\n")
    editor.edit([fact(1, "{} {{x}} is".replace("{{x}}", "<x>"), "Fra{n}ce", "{prompt}")])
    assert ask(editor, "Fra{n}ce") == [["{prompt}: Fra{n}ce <x> is (new).\n"]]


def test_the_lead_stands_between_the_last_fact_and_the_prompt(make: Make) -> None:
    editor = make(top_k=2, lead="Prompt: ")
    editor.edit([LANGUAGE, FRANCE])
    assert ask(editor, "The capital of France is", "It rains") == [
        [
            "New fact: In France people speak Danish\n",
            "New fact: The capital of France is Madrid\nPrompt: ",
        ],
        [],
    ]
    oracle = make("icl_oracle", lead="Q: ")
    oracle.edit([FRANCE])
    assert ask(oracle, "", case_ids=[10]) == [["New fact: The capital of France is Madrid\nQ: "]]


@pytest.mark.parametrize("text", ["{prompt}", "{target}\n", "{prompt} {target} {x}", "{", "plain"])
def test_a_format_names_both_and_nothing_else(text: str) -> None:
    with pytest.raises(ValidationError, match="prompt"):
        InContextHparams.model_validate({"format": text})


@pytest.mark.parametrize("name", ["in_context", "icl_oracle"])
def test_state_comes_back(name: str, make: Make) -> None:
    editor, fresh = make(name), make(name)
    empty = editor.state_dict()
    assert empty == {}
    editor.edit([FRANCE, LANGUAGE])
    asked = ("In France they speak", FRANCE.text)
    ids = (12, 10)
    found = ask(editor, *asked, case_ids=ids)
    assert found[0] != found[1]
    fresh.load_state_dict(editor.state_dict())
    assert ask(fresh, *asked, case_ids=ids) == found
    fresh.load_state_dict(empty)
    assert ask(fresh, *asked, case_ids=ids) == [[], []]


def test_the_oracle_looks_at_the_record_that_asks(make: Make) -> None:
    oracle = make("icl_oracle")
    oracle.edit([FRANCE, SPAIN])
    written = "New fact: The capital of Spain is Lima\n"
    assert ask(oracle, "Whatever", FRANCE.text, FRANCE.text, case_ids=[11, None, 99]) == [
        [written],
        [],
        [],
    ]


def test_the_retriever_does_not_look_at_it(make: Make) -> None:
    editor = make()
    editor.edit([FRANCE, SPAIN])
    assert ask(editor, "Whatever", FRANCE.text, case_ids=[11, 11]) == [
        [],
        ["New fact: The capital of France is Madrid\n"],
    ]
