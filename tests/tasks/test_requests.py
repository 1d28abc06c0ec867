"""Edit requests: text is normalised once, and what cannot be repaired is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqedit_bench.tasks import EditCase, EditRequest, InputError
from seqedit_bench.tasks.requests import SLOT, Question, counterfact_case, edit_row_case, zsre_case

Record = dict[str, Any]

SUBJECTS = ["Pelé", "東京", "Мария Кюри", "Zoë  Saldaña", "🙂 Band", "e\u0301mile", "{0} %s \\1"]


def make(prompt: str = "{} plays", subject: str = "Pelé", **fields: Any) -> EditRequest:
    texts = {"target_new": "chess", "target_true": "football", **fields}
    return EditRequest.create(case_id=1, prompt=prompt, subject=subject, **texts)


def test_normalises() -> None:
    request = make("The  sport  of {} is  ", "  Edson  Pelé ", target_new="chess  club ")
    assert request.prompt == "The sport of {} is"
    assert request.subject == "Edson Pelé"
    assert request.target_new == " chess club"
    assert request.target_true == " football"
    assert request.text == "The sport of Edson Pelé is"
    assert request.relation_id is None


@pytest.mark.parametrize("target", ["chess", " chess", "   chess", "\tchess\n"])
def test_targets_have_one_leading_space(target: str) -> None:
    assert make(target_new=target).target_new == " chess"
    assert make(target_true=target).target_true == " chess"


@pytest.mark.parametrize(
    ("prompt", "count"), [("Pelé plays", 0), ("{} and {} play", 2), ("{0} plays", 0), ("", 0)]
)
def test_refuses_a_prompt_without_exactly_one_slot(prompt: str, count: int) -> None:
    with pytest.raises(InputError, match=rf"has {count} '{{}}' .* not exactly one"):
        make(prompt)


@pytest.mark.parametrize("field", ["subject", "target_new", "target_true"])
@pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
def test_refuses_empty_text(field: str, blank: str) -> None:
    with pytest.raises(InputError, match=f"^{field} is empty$"):
        make(**{field: blank})


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("prompt", ["{} plays", "I saw {} play", "The home of {}"])
def test_span_is_the_subject(prompt: str, subject: str) -> None:
    request = make(prompt, subject)
    assert request.text[slice(*request.subject_span)] == request.subject
    assert request.subject in request.text


def test_span_is_the_slots_even_where_the_subject_is_in_the_prompt() -> None:
    request = make("Ant and bee: an {} plays", "An")
    assert request.subject_span == (16, 18)
    assert make("an {} is an", "an").subject_span == (3, 5)


@pytest.mark.parametrize("subject", ["Pelé", "東京", "🙂 Band", "a.*b", "\\1"])
@pytest.mark.parametrize("text", ["{} plays", "I saw {} play", "The home of {}"])
def test_from_text_finds_the_subject(text: str, subject: str) -> None:
    request = EditRequest.from_text(
        text.replace("{}", subject), subject, case_id=3, target_new="a", target_true="b"
    )
    assert request == EditRequest.create(
        case_id=3, prompt=text, subject=subject, target_new="a", target_true="b"
    )


@pytest.mark.parametrize(
    ("text", "subject", "count"),
    [
        ("Paris is in", "Rome", 0),
        ("Paris is Paris in", "Paris", 2),
        ("Paris is in", "paris", 0),
        ("Paris is in", "", 0),
    ],
)
def test_from_text_refuses_what_is_not_there_once(text: str, subject: str, count: int) -> None:
    with pytest.raises(InputError, match=f"is {count} times in the prompt '{text}', not once"):
        EditRequest.from_text(text, subject, case_id=1, target_new="a", target_true="b")


PIECES = st.text(
    alphabet=st.one_of(st.sampled_from(" \t\u3000{}aé"), st.characters(exclude_characters="\0")),
    max_size=12,
)
TEXTS = PIECES.filter(lambda text: bool(text.strip()))
PROMPTS = st.tuples(PIECES, PIECES).map(SLOT.join).filter(lambda text: text.count(SLOT) == 1)


@st.composite
def requests_strategy(draw: st.DrawFn) -> EditRequest:
    return EditRequest.create(
        case_id=draw(st.integers()),
        prompt=draw(PROMPTS),
        subject=draw(TEXTS),
        target_new=draw(TEXTS),
        target_true=draw(TEXTS),
    )


@settings(deadline=None)
@given(requests_strategy())
def test_normalising_twice_changes_nothing(request: EditRequest) -> None:
    assert EditRequest.create(**asdict(request)) == request


@settings(deadline=None)
@given(requests_strategy())
def test_normal_form(request: EditRequest) -> None:
    assert request.text[slice(*request.subject_span)] == request.subject
    assert request.subject == request.subject.strip()
    assert not request.prompt.endswith(" ")
    assert request.target_true is not None
    for text in (request.prompt, request.subject, request.target_new, request.target_true):
        assert "  " not in text
    for target in (request.target_new, request.target_true):
        assert target == " " + target.strip()


def test_the_true_object_may_be_unknown() -> None:
    request = EditRequest.create(case_id=1, prompt="{} plays", subject="Pelé", target_new="chess")
    assert request.target_true is None
    assert EditRequest.create(**asdict(request)) == request


def test_requests_are_hashable_and_frozen() -> None:
    assert len({make(), make()}) == 1
    with pytest.raises(AttributeError):
        make().subject = "other"  # type: ignore[misc]


# --- Records of CounterFact ------------------------------------------------------------------


def test_reads_a_record(counterfact_record: Record) -> None:
    case = counterfact_case(counterfact_record, where="here")
    rewrite = counterfact_record["requested_rewrite"]
    assert case.case_id == counterfact_record["case_id"]
    assert case.request.prompt == rewrite["prompt"]
    assert case.request.subject == rewrite["subject"]
    assert case.request.target_new == " " + rewrite["target_new"]["str"]
    assert case.request.relation_id == rewrite["relation_id"]
    assert case.paraphrase_prompts == tuple(counterfact_record["paraphrase_prompts"])
    assert case.neighborhood_prompts == tuple(counterfact_record["neighborhood_prompts"])
    assert case.generation_prompts == tuple(counterfact_record["generation_prompts"])


def test_prompts_lose_spaces_at_their_end_only(counterfact_record: Record) -> None:
    """The published prompts are scored as they are: a space at the end would be scored too."""
    counterfact_record["paraphrase_prompts"] = ["Two  spaces. He is "]
    case = counterfact_case(counterfact_record, where="here")
    assert case.paraphrase_prompts == ("Two  spaces. He is",)


def _without(*path: str) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        for key in path[:-1]:
            record = record[key]
        del record[path[-1]]

    return change


def _with(value: Any, *path: str) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        for key in path[:-1]:
            record = record[key]
        record[path[-1]] = value

    return change


REWRITE = "requested_rewrite"
MALFORMED = [
    (_without("case_id"), "case_id"),
    (_with("first", "case_id"), "case_id"),
    (_with(None, "case_id"), "case_id"),
    (_without(REWRITE), REWRITE),
    (_with([], REWRITE), REWRITE),
    (_without(REWRITE, "subject"), f"{REWRITE}.subject"),
    (_with(7, REWRITE, "subject"), f"{REWRITE}.subject"),
    (_with("  ", REWRITE, "subject"), REWRITE),
    (_with("no slot", REWRITE, "prompt"), REWRITE),
    (_with("{} and {}", REWRITE, "prompt"), REWRITE),
    (_with("Moscow", REWRITE, "target_new"), f"{REWRITE}.target_new"),
    (_without(REWRITE, "target_true", "str"), f"{REWRITE}.target_true.str"),
    (_with("", REWRITE, "target_true", "str"), REWRITE),
    (_with("one", "paraphrase_prompts"), "paraphrase_prompts"),
    (_with(["fine", " "], "neighborhood_prompts"), "neighborhood_prompts"),
    (_with(["fine", 3], "generation_prompts"), "generation_prompts.1"),
]


@pytest.mark.parametrize(("change", "field"), MALFORMED)
def test_malformed_record_names_place_and_field(
    change: Callable[[Record], None], field: str, counterfact_record: Record
) -> None:
    record = copy.deepcopy(counterfact_record)
    change(record)
    with pytest.raises(InputError) as caught:
        counterfact_case(record, where="facts.jsonl:7")
    message = str(caught.value)
    assert message.startswith(f"facts.jsonl:7: field {field}: ")
    assert "\n" not in message


@pytest.mark.parametrize("record", [None, 3, "text", [], [1]])
@pytest.mark.parametrize("read", [counterfact_case, edit_row_case])
def test_a_record_must_be_an_object(read: Callable[..., EditCase], record: Any) -> None:
    with pytest.raises(InputError, match=r"^facts.jsonl:7: "):
        read(record, where="facts.jsonl:7")


ROW = {
    "case_id": 4,
    "prompt": "The mother tongue of {} is",
    "subject": "Danielle Darrieux",
    "target_new": "English",
    "target_true": "French",
    "neighborhood_prompt": "Michel Rocard speaks",
}


def test_reads_an_edit_row() -> None:
    case = edit_row_case(ROW, where="here")
    assert case.request.text == "The mother tongue of Danielle Darrieux is"
    assert (case.request.target_new, case.request.target_true) == (" English", " French")
    assert case.neighborhood_prompts == ("Michel Rocard speaks",)
    assert case.paraphrase_prompts == case.generation_prompts == ()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (_without("case_id"), "case_id"),
        (_without("prompt"), "prompt"),
        (_with("no slot", "prompt"), "prompt"),
        (_without("subject"), "subject"),
        (_with(None, "target_new"), "target_new"),
        (_with({"str": "x"}, "target_true"), "target_true"),
        (_with(" ", "neighborhood_prompt"), "neighborhood_prompt"),
        (_with([], "paraphrase_prompt"), "paraphrase_prompt"),
    ],
)
def test_malformed_row_names_place_and_field(change: Callable[[Record], None], names: str) -> None:
    row = copy.deepcopy(ROW)
    change(row)
    with pytest.raises(InputError, match=rf"^facts.jsonl:9: field .*{names}"):
        edit_row_case(row, where="facts.jsonl:9")


# --- Records of zsRE -------------------------------------------------------------------------

ZSRE = {
    "subject": "Mill Creek",
    "src": "What river does Mill Creek flow into?",
    "pred": "the Oder",
    "rephrase": "Which river is Mill Creek a tributary of? ",
    "alt": "the Elbe",
    "answers": ["the Rhine", "Rhine"],
    "loc": "nq question: who painted the scream",
    "loc_ans": "Edvard Munch",
    "cond": "the Oder >> the Elbe || What river does Mill Creek flow into?",
}


def zsre(**fields: Any) -> EditCase | None:
    return zsre_case({**ZSRE, **fields}, where="zsre.jsonl:3", case_id=12)


def test_reads_a_zsre_record() -> None:
    assert zsre() == EditCase(
        EditRequest(
            case_id=12,
            prompt="What river does {} flow into?",
            subject="Mill Creek",
            target_new=" the Rhine",
        ),
        paraphrase_prompts=("Which river is Mill Creek a tributary of?",),
        locality=(Question("nq question: who painted the scream?", " Edvard Munch"),),
        completion_prompt="The river Mill Creek flows into is",
    )


def test_a_question_mark_is_not_doubled() -> None:
    case = zsre(loc="who painted the scream?", loc_ans=" Edvard Munch ")
    assert case is not None
    assert case.locality == (Question("who painted the scream?", " Edvard Munch"),)


def test_a_question_without_a_completion_is_still_an_edit() -> None:
    case = zsre(src="Why did Mill Creek dry out?")
    assert case is not None
    assert case.request.text == "Why did Mill Creek dry out?"
    assert case.completion_prompt is None


def test_spaces_are_repaired_before_anything_is_converted() -> None:
    case = zsre(src="What  river does Mill  Creek flow into? ", subject="Mill  Creek ")
    assert case is not None
    assert case.request.text == "What river does Mill Creek flow into?"
    assert case.completion_prompt == "The river Mill Creek flows into is"


@pytest.mark.parametrize(
    "src", ["What flows into the Rhine?", "What is MILL CREEK?", "Is Mill Creek Mill Creek?"]
)
def test_a_question_without_one_place_for_the_subject_is_no_edit(src: str) -> None:
    assert zsre(src=src) is None


def test_fields_that_are_not_asked_may_be_missing_or_blank() -> None:
    row = {key: value for key, value in ZSRE.items() if key not in ("pred", "cond")}
    assert zsre_case({**row, "alt": ""}, where="here", case_id=12) == zsre()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        *[
            (change, key)
            for key in ("subject", "src", "rephrase", "loc", "loc_ans")
            for change in (_without(key), _with(" ", key), _with(7, key))
        ],
        (_without("answers"), "answers"),
        (_with("the Rhine", "answers"), "answers"),
        (_with([], "answers"), "answers"),
        (_with([" "], "answers"), "answers.0"),
        (_with("What river does {} and Mill Creek flow into?", "src"), "src"),
    ],
)
def test_malformed_zsre_record_names_place_and_field(
    change: Callable[[Record], None], field: str
) -> None:
    record = copy.deepcopy(ZSRE)
    change(record)
    with pytest.raises(InputError) as caught:
        zsre_case(record, where="zsre.jsonl:3", case_id=2)
    message = str(caught.value)
    assert message.startswith(f"zsre.jsonl:3: field {field}: ")
    assert "\n" not in message


@pytest.mark.parametrize("record", [None, 3, "text", []])
def test_a_zsre_record_must_be_an_object(record: Any) -> None:
    with pytest.raises(InputError, match=r"^zsre.jsonl:3: field record: "):
        zsre_case(record, where="zsre.jsonl:3", case_id=2)
