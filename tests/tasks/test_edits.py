"""Edit streams: the paper's orders bit for bit, and files that cannot be one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqedit_bench.tasks import InputError, edits
from seqedit_bench.tasks.edits import (
    COUNTERFACT_UNIQUE_SUBJECTS_SHA,
    STREAMS,
    EditStream,
    load_stream,
    order_hash,
    paper_orders,
    unique_subjects,
)
from seqedit_bench.tasks.sources import Source, read_records, recording

# list: (first indices, hash of the first 1000, hash of all 20,391)
PAPER = {
    0: ([14434, 2473, 4093, 16617], "6cb8d4e84d6a58f8", "e9272e5e8d34a7ff"),
    1: ([11534, 21285, 8632, 20606], "b980a76218043b1d", "89284e4287ee1df5"),
    2: ([19701, 163, 1951, 9531], "fafc5ee8c7c3f6b7", "ca6aa37ff887c6bc"),
    3: ([13539, 5231, 10122, 9417], "17e7b129cd27287d", "a017b0882807b9f2"),
    4: ([9874, 3815, 7208, 6058], "f9466185c03291de", "e0542c64808d109f"),
    5: ([3001, 3782, 346, 20944], "212687ccd83eaa54", "3d1367bf8340649e"),
    6: ([245, 4698, 9748, 7815], "6f0d33b6067b48a2", "024f45e9288f2c16"),
    7: ([17447, 11254, 4107, 20063], "8a43c0270887e5d3", "a4e147082b6dcd2d"),
    8: ([6025, 1108, 16623, 16605], "abaf7e8f592cfc65", "acc7305a47fb8a10"),
    9: ([2714, 822, 8529, 12749], "f88c26afe0da8d1d", "b1b11e5978e6de4b"),
}


def ids(stream: EditStream) -> list[int]:
    return [case.case_id for case in stream.cases]


@pytest.fixture(scope="module")
def streams(data_dir: Path) -> dict[int, EditStream]:
    """All ten orders of every CounterFact edit."""
    source = Source.choose("folder", data_dir)
    return {sample: load_stream(source, "counterfact-edits", sample=sample) for sample in PAPER}


@pytest.mark.parametrize("sample", PAPER)
def test_paper_order(sample: int, streams: dict[int, EditStream]) -> None:
    first, thousand, everything = PAPER[sample]
    order = ids(streams[sample])
    assert order[:4] == first
    assert order_hash(order[:1000]) == thousand
    assert order_hash(order) == everything
    assert order_hash(sorted(order)) == COUNTERFACT_UNIQUE_SUBJECTS_SHA
    assert streams[sample].order == "paper order of CounterFact"
    assert streams[sample].sample == sample


def test_paper_order_is_the_published_list(streams: dict[int, EditStream], data_dir: Path) -> None:
    path = data_dir / "counterfact" / "paper_edit_orders.json"
    published = json.loads(path.read_text(encoding="utf-8"))
    assert len(published) >= 4
    for key, order in published.items():
        assert ids(streams[int(key)])[: len(order)] == order


@pytest.mark.parametrize("sample", [0, 7])
def test_fewer_records_keep_the_paper_order(
    sample: int, streams: dict[int, EditStream], data_dir: Path
) -> None:
    source = Source.choose("folder", data_dir)
    path = source.require("counterfact.json")
    there = {record["case_id"] for _, record in read_records(path)}
    with recording() as digests:
        stream = load_stream(source, "counterfact", sample=sample)
    assert len(there) < 21_919
    assert ids(stream) == [case for case in ids(streams[sample]) if case in there]
    assert f"restricted to the {len(stream.cases)} of them" in stream.order
    assert all(len(case.neighborhood_prompts) == 10 for case in stream.cases)
    assert set(digests) == {"counterfact.json", "counterfact_all_edits.jsonl"}


# --- The procedure ---------------------------------------------------------------------------


def test_orders_continue_one_generator() -> None:
    orders = paper_orders(range(100))
    assert len(orders) == 10
    assert orders == paper_orders(range(100))
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert len({tuple(order) for order in orders}) == 10


def test_positions_are_left_alone() -> None:
    positions = [3, 1, 2]
    paper_orders(positions)
    assert positions == [3, 1, 2]


def test_order_hash() -> None:
    # sha256 of "1,2,3"
    assert order_hash([1, 2, 3]) == "8a6ae15122001229"
    assert order_hash([1, 2, 3]) != order_hash([3, 2, 1])
    assert len(order_hash([])) == 16


@settings(deadline=None)
@given(st.lists(st.text(alphabet="aAbBéÉ", max_size=2)))
def test_unique_subjects_are_the_first_of_their_spelling(subjects: list[str]) -> None:
    positions = unique_subjects(subjects)
    assert positions == sorted(positions)
    lowered = [subject.lower() for subject in subjects]
    assert len(positions) == len(set(lowered))
    assert all(lowered.index(lowered[position]) == position for position in positions)


# --- Files -----------------------------------------------------------------------------------


def write(folder: Path, records: list[dict[str, Any]], name: str = "counterfact.jsonl") -> Source:
    lines = [json.dumps(record, ensure_ascii=False) for record in records]
    (folder / name).write_text("\n".join(lines), encoding="utf-8")
    return Source.choose("folder", folder)


def records_for(template: dict[str, Any], subjects: list[str]) -> list[dict[str, Any]]:
    return [
        {
            **template,
            "case_id": number,
            "requested_rewrite": {**template["requested_rewrite"], "subject": subject},
        }
        for number, subject in enumerate(subjects)
    ]


def test_repeated_subjects_are_left_out(tmp_path: Path, counterfact_record: dict[str, Any]) -> None:
    source = write(tmp_path, records_for(counterfact_record, ["Oslo", "OSLO", "Bergen", "oslo"]))
    stream = load_stream(source, "counterfact", sample=0)
    assert sorted(ids(stream)) == [0, 2]
    assert stream.order == "paper procedure on the 4 records of this set"


def test_records_are_put_in_order_first(tmp_path: Path, counterfact_record: dict[str, Any]) -> None:
    """Copies on the hub are split anew; the order of a file must not matter."""
    records = records_for(counterfact_record, [f"Subject {number}" for number in range(20)])
    stream = load_stream(write(tmp_path, records), "counterfact", sample=3)
    other = load_stream(write(tmp_path, records[::-1]), "counterfact", sample=3)
    assert ids(stream) == ids(other)
    assert ids(stream) == paper_orders(range(20))[3]


def test_refuses_a_repeated_case(tmp_path: Path, counterfact_record: dict[str, Any]) -> None:
    records = records_for(counterfact_record, ["Oslo", "Bergen"])
    records[1]["case_id"] = 0
    with pytest.raises(InputError, match=r"counterfact.jsonl: case_id 0 is there twice"):
        load_stream(write(tmp_path, records), "counterfact", sample=0)


def test_refuses_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"counterfact.jsonl: no records"):
        load_stream(write(tmp_path, []), "counterfact", sample=0)


def test_malformed_record_names_file_line_and_field(
    tmp_path: Path, counterfact_record: dict[str, Any]
) -> None:
    records = records_for(counterfact_record, ["Oslo", "Bergen", "Bodø"])
    del records[2]["requested_rewrite"]["target_new"]
    expected = r"counterfact.jsonl:3: field requested_rewrite.target_new"
    with pytest.raises(InputError, match=expected):
        load_stream(write(tmp_path, records), "counterfact", sample=0)


def test_refuses_other_facts_under_the_official_size(
    tmp_path: Path, counterfact_record: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edits, "COUNTERFACT_RECORDS", 3)
    source = write(tmp_path, records_for(counterfact_record, ["Oslo", "Bergen", "Bodø"]))
    with pytest.raises(InputError, match=r"counterfact\.json.*: not the official file"):
        load_stream(source, "counterfact", sample=0)


@pytest.mark.parametrize("sample", [-1, 10])
def test_refuses_an_order_that_is_not_there(sample: int) -> None:
    with pytest.raises(InputError, match=rf"--sample {sample}: .* 0 to 9"):
        load_stream(Source.choose(None, None), "counterfact", sample=sample)


def test_unknown_stream_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown edit stream 'counterfacts': did you mean 'co"):
        load_stream(Source.choose(None, None), "counterfacts", sample=1)
    assert set(STREAMS) == {"counterfact", "counterfact-edits", "zsre"}


def test_missing_stream_says_which_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"counterfact.json or counterfact.jsonl is not in"):
        load_stream(Source.choose(None, tmp_path), "counterfact", sample=1)
    with pytest.raises(InputError, match=r"counterfact_all_edits.jsonl is not in the bundled"):
        load_stream(Source.choose(None, None), "counterfact-edits", sample=1)


# --- The bundled set -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundled() -> EditStream:
    return load_stream(Source.choose(None, None), "counterfact", sample=1)


def test_bundled_stream_is_always_the_same(bundled: EditStream) -> None:
    again = load_stream(Source.choose(None, None), "counterfact", sample=1)
    assert again == bundled
    orders = {
        tuple(ids(load_stream(Source.choose(None, None), "counterfact", sample=sample)))
        for sample in range(10)
    }
    assert len(orders) == 10
    assert len({frozenset(order) for order in orders}) == 1


def test_bundled_set_is_large_and_varied(bundled: EditStream) -> None:
    cases = bundled.cases
    path = Source.choose(None, None).require("counterfact.jsonl")
    assert len(cases) == len(list(read_records(path))), "every subject must be there once"
    assert len(cases) >= 150
    assert len({case.request.relation_id for case in cases}) >= 15
    assert None not in {case.request.relation_id for case in cases}
    assert len({case.request.subject.lower() for case in cases}) == len(cases)


def test_bundled_records_are_complete(bundled: EditStream) -> None:
    for case in bundled.cases:
        request = case.request
        assert len(case.paraphrase_prompts) == len(set(case.paraphrase_prompts)) == 2
        assert len(case.neighborhood_prompts) == len(set(case.neighborhood_prompts)) == 10
        assert len(case.generation_prompts) >= 1
        assert request.target_true is not None
        assert request.target_new.lower() != request.target_true.lower()


def test_bundled_prompts_ask_what_they_should(bundled: EditStream) -> None:
    for case in bundled.cases:
        subject = case.request.subject
        for prompt in (*case.paraphrase_prompts, *case.generation_prompts):
            assert subject in prompt, case.case_id
        for prompt in case.neighborhood_prompts:
            assert subject.lower() not in prompt.lower(), case.case_id
        prompts = (*case.paraphrase_prompts, *case.neighborhood_prompts, case.request.text)
        assert case.request.text not in case.paraphrase_prompts
        for prompt in prompts:
            assert prompt == prompt.strip()
            assert "  " not in prompt
            assert "{" not in prompt
            assert not prompt.endswith(str(case.request.target_true))


# --- zsRE ------------------------------------------------------------------------------------


def zsre_records(subjects: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "subject": subject,
            "src": f"What river does {subject} flow into?",
            "rephrase": f"Into what river does {subject} flow?",
            "answers": ["the Rhine"],
            "loc": "nq question: who painted the scream",
            "loc_ans": "Edvard Munch",
        }
        for subject in subjects
    ]


@pytest.mark.parametrize("sample", [0, 4, 9])
def test_zsre_is_put_in_order_by_the_papers_procedure(sample: int, tmp_path: Path) -> None:
    """Identifiers are positions in the file; one of them is no edit, another repeats a subject."""
    subjects = [f"Creek {number}" for number in range(20)]
    subjects[3] = "creek 1"
    records = zsre_records(subjects)
    records[7]["src"] = "What river flows into it?"
    stream = load_stream(write(tmp_path, records, "zsre.jsonl"), "zsre", sample=sample)
    there = [number for number in range(20) if number not in (3, 7)]
    assert ids(stream) == paper_orders(there)[sample]
    assert all(case.request.subject == subjects[case.case_id] for case in stream.cases)
    assert (stream.family, stream.sample) == ("zsre", sample)


def test_records_left_out_are_counted(tmp_path: Path) -> None:
    records = zsre_records(["Oslo", "Bergen", "OSLO", "Bodø", "Moss"])
    records[1]["src"] = "Is Bergen in Bergen?"
    records[3]["src"] = "Where is it?"
    stream = load_stream(write(tmp_path, records, "zsre.jsonl"), "zsre", sample=1)
    assert sorted(ids(stream)) == [0, 4]
    assert stream.order == (
        "paper procedure on the 3 records of this set, "
        "2 left out whose question does not hold the subject exactly once"
    )
    whole = load_stream(write(tmp_path, records[::2], "zsre.jsonl"), "zsre", sample=1)
    assert whole.order == "paper procedure on the 3 records of this set"


def test_a_set_in_which_nothing_can_be_edited(tmp_path: Path) -> None:
    records = zsre_records(["Oslo"])
    records[0]["src"] = "Where is it?"
    with pytest.raises(InputError, match=r"zsre.jsonl: no records whose question holds its subj"):
        load_stream(write(tmp_path, records, "zsre.jsonl"), "zsre", sample=0)
    with pytest.raises(InputError, match=r"zsre.jsonl: no records$"):
        load_stream(write(tmp_path, [], "zsre.jsonl"), "zsre", sample=0)


def test_one_malformed_zsre_record_is_an_error(tmp_path: Path) -> None:
    records = zsre_records(["Oslo", "Bergen", "Bodø"])
    del records[1]["loc_ans"]
    with pytest.raises(InputError, match=r"zsre.jsonl:2: field loc_ans: "):
        load_stream(write(tmp_path, records, "zsre.jsonl"), "zsre", sample=0)
    (tmp_path / "zsre_mend_eval.json").write_text(json.dumps(records), "utf-8")
    with pytest.raises(InputError, match=r"zsre_mend_eval.json: record 1: field loc_ans: "):
        load_stream(Source.choose("folder", tmp_path), "zsre", sample=0)


def test_missing_zsre_says_which_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"zsre_mend_eval.json or zsre.jsonl is not in"):
        load_stream(Source.choose(None, tmp_path), "zsre", sample=1)


def test_published_zsre(data_dir: Path) -> None:
    """Every question of the published file holds its subject once; few have no completion."""
    source = Source.choose("folder", data_dir)
    path = source.find("zsre_mend_eval.json") or pytest.skip(f"no zsRE in {data_dir}")
    records = [record for _, record in read_records(path)]
    stream = load_stream(source, "zsre", sample=1)
    assert stream.order == f"paper procedure on the {len(records)} records of this set"
    assert len(stream.cases) == len({record["subject"].lower() for record in records})
    converted = [case for case in stream.cases if case.completion_prompt is not None]
    assert len(converted) >= 0.9 * len(stream.cases)
    for case in stream.cases:
        record = records[case.case_id]
        assert case.request.target_new.strip() == record["answers"][0].strip()
        assert case.request.text == " ".join(record["src"].split())
        assert case.locality[0].prompt == record["loc"] + "?"
