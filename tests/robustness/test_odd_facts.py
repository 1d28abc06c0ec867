"""Facts in odd words: what is scored equals plain forward passes, and the subject is found."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from robustness.conftest import SUITE, Runner
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from seqedit_bench.editors import EditRequest
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.tokenization import encode, encode_pair, last_token_of_span

LONG = "It was a long way to the sea and back. " * 40
FACTS: dict[str, dict[str, str]] = {
    "plain": {},
    "combining marks": {"subject": "Ame\u0301lie Zu\u0308rich"},
    "right to left": {"subject": "\u05d9\u05e8\u05d5\u05e9\u05dc\u05d9\u05dd"},
    "both directions": {"subject": "\u0627\u0644\u0642\u0627\u0647\u0631\u0629 (Cairo)"},
    "emoji": {"subject": "\U0001f600"},
    "joined emoji": {"subject": "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"},
    "flag": {"subject": "\U0001f1eb\U0001f1f7", "target_new": "\U0001f1ee\U0001f1f9"},
    "beyond the first plane": {"subject": "\U00010330\U00010331"},
    "zero width": {"subject": "Fra\u200bnce"},
    "Han": {"subject": "\u5317\u4eac\u5e02", "prompt": "{}\u4f4d\u4e8e"},
    "subject twice in the prompt": {"subject": "Rome", "prompt": "Rome, {} and Rome lie near"},
    "subject in the target": {"subject": "York", "target_new": "York Town"},
    "the target is the subject": {"subject": "Oslo", "target_new": "Oslo"},
    "targets share a beginning": {"target_new": "New York", "target_true": "New Delhi"},
    "one target begins the other": {"target_new": "Rome", "target_true": "Rome and Paris"},
    "one target is the other's beginning": {"target_new": "Paris proper", "target_true": "Paris"},
    "equal targets": {"target_new": "Paris", "target_true": "Paris"},
    "one letter": {"subject": "X", "prompt": "{}", "target_new": "a", "target_true": "b"},
    "digits": {"subject": "42", "prompt": "{} times 0 is", "target_new": "0", "target_true": "1"},
    "braces": {"subject": "a{b}c", "prompt": "{x} of {} {", "target_new": "{{d}}"},
    "a slot in the subject": {"subject": "a {} b"},
    "a template in the target": {"target_new": "{{ case_id }}", "target_true": "{% raw %}"},
    "quotes and slashes": {"subject": "a\"\\n'b", "target_new": "c\\d"},
    "line breaks": {"subject": "two\nlines", "prompt": "One.\n\n{}\tis", "target_new": "a\nb"},
    "white space around": {"subject": "  France ", "prompt": " The  capital of {} is  "},
    "wide spaces": {"subject": "Fra\u3000nce", "target_new": "Ro\u00a0me"},
    "special token": {"subject": "<|endoftext|>", "prompt": "The token {} is"},
    "a long prompt": {"prompt": LONG + "{} is"},
}
DEFAULT = {
    "prompt": "The capital of {} is",
    "subject": "France",
    "target_new": "Rome",
    "target_true": "Paris",
}


def record(case_id: int, fact: dict[str, str]) -> dict[str, Any]:
    fact = {**DEFAULT, **fact}
    return {
        "case_id": case_id,
        "requested_rewrite": {
            "prompt": fact["prompt"],
            "subject": fact["subject"],
            "target_new": {"str": fact["target_new"]},
            "target_true": {"str": fact["target_true"]},
        },
        "paraphrase_prompts": [f"They say of {fact['subject']}"],
        "neighborhood_prompts": [f"{fact['subject']} and Peru"],
    }


def write(folder: Path, facts: Sequence[dict[str, str]]) -> Path:
    folder.mkdir()
    lines = [json.dumps(record(number, fact)) for number, fact in enumerate(facts)]
    (folder / "counterfact.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


OFTEN = SUITE.replace("retention: 2", "retention: 20")
"""A suite for many edits."""


def apart() -> dict[str, dict[str, str]]:
    """Return whole facts with a subject each: of one subject only the first would be edited."""
    return {
        name: {**DEFAULT, "subject": f"Land {number}", **fact}
        for number, (name, fact) in enumerate(FACTS.items())
    }


def request_of(name: str) -> EditRequest:
    return EditRequest.create(case_id=0, **{**DEFAULT, **FACTS[name]})


@pytest.fixture(scope="module")
def plain(tiny_folder: Path) -> Any:
    """The mean NLL of a continuation by one plain forward pass, nothing shared or batched."""
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)

    @torch.no_grad()
    def nll(prompt: str, continuation: str) -> float:
        pair = encode_pair(tokenizer, prompt, continuation)
        ids = (pair.context + pair.continuation)[-257:]
        logits = model(torch.tensor([ids[:-1]])).logits[0, -len(pair.continuation) :]
        chosen = logits.log_softmax(-1)[range(len(pair.continuation)), pair.continuation]
        return -chosen.mean().item()

    return nll


def test_scores_are_those_of_plain_passes(run_editor: Runner, tmp_path: Path, plain: Any) -> None:
    facts = apart()
    data = write(tmp_path / "data", list(facts.values()))
    done = run_editor("none", data_dir=data, num_edits=len(facts), suite=OFTEN, plots=False)
    names = list(facts)
    for line in done.edits:
        fact = facts[names[line["case_id"]]]
        request = EditRequest.create(case_id=0, **fact)
        for metric, prompt in (
            ("es", request.text),
            ("ps", f"They say of {fact['subject']}".rstrip()),
        ):
            new, true = (
                plain(prompt, answer) for answer in (request.target_new, str(request.target_true))
            )
            found = line["metrics"]
            assert found[f"{metric}_nll_new"] == pytest.approx(new, abs=1e-4), fact
            assert found[f"{metric}_nll_true"] == pytest.approx(true, abs=1e-4), fact
            assert found[metric] == float(new < true), fact


@pytest.mark.parametrize("editor", ["rome", "grace", "in_context"])
def test_all_of_them_in_one_run(editor: str, run_editor: Runner, tmp_path: Path) -> None:
    """Each is edited; only a prompt that the window does not hold is left alone."""
    facts = apart()
    suite = OFTEN.replace(", counterfact_ps, counterfact_ns", "").replace("es, ps, ns", "es")
    done = run_editor(
        editor,
        suite=suite,
        data_dir=write(tmp_path / "data", list(facts.values())),
        num_edits=len(facts),
        plots=False,
    )
    assert len(done.edits) == len(facts)
    names = list(facts)
    failed = {names[line["case_id"]] for line in done.edits if "failed" in line}
    assert failed == (set() if editor == "in_context" else {"a long prompt"})
    assert not any("collapsed" in line for line in done.edits)


def decoded(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    """Return tokens as text, single bytes put together."""
    text = str(tokenizer.decode(ids, skip_special_tokens=False)).encode()
    joined = re.sub(rb"<0x(..)>", lambda found: bytes([int(found[1], 16)]), text)
    return joined.decode(errors="replace")


@pytest.mark.parametrize("style", ["gpt2", "llama3", "sentencepiece"])
@pytest.mark.parametrize("name", FACTS)
def test_the_subject_is_found(
    name: str, style: str, tokenizers: dict[str, PreTrainedTokenizerFast]
) -> None:
    """Its last token is the first up to which all of the subject has been read."""
    tokenizer, request = tokenizers[style], request_of(name)
    start, end = request.subject_span
    assert request.text[start:end] == request.subject
    last = last_token_of_span(tokenizer, request.text, end)
    ids = encode(tokenizer, request.text)
    assert request.subject in decoded(tokenizer, ids[: last + 1])
    assert not decoded(tokenizer, ids[:last]).endswith(request.text[:end])


@pytest.mark.parametrize(
    ("fact", "says"),
    [
        (
            {"target_new": "word " * 300},
            r"case 0: continuation .* 600 tokens, the context window 256",
        ),
        ({"target_true": "word " * 300}, r"case 0: continuation .* the context window 256"),
    ],
)
def test_answers_that_no_window_holds_are_refused(
    fact: dict[str, str], says: str, run_editor: Runner, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=says) as caught:
        run_editor("none", data_dir=write(tmp_path / "data", [fact]), num_edits=1)
    assert len(str(caught.value)) < 300
    assert not (tmp_path / "run").exists()


def test_an_answer_of_nothing_but_what_the_tokenizer_drops(
    run_editor: Runner, tmp_path: Path, tiny_folder: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    from tokenizers import normalizers

    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(" \u200b", "")
    tokenizer.save_pretrained(tmp_path / "model")
    AutoModelForCausalLM.from_pretrained(tiny_folder).save_pretrained(tmp_path / "model")
    fact = {"target_new": "\u200b", "prompt": "The capital of {} is\n"}
    with pytest.raises(InputError, match=r"case 0: .*has no token"):
        run_editor(
            "none",
            data_dir=write(tmp_path / "data", [fact]),
            num_edits=1,
            model=str(tmp_path / "model"),
        )
