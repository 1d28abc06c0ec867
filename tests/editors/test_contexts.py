"""Context templates: seeded, without braces, from full-length attention masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.benchmark.tiny_models import STYLES
from seqedit_bench.editors import EditRequest
from seqedit_bench.editors._contexts import (
    as_template,
    fill,
    memit_templates,
    rome_templates,
    sample_texts,
)
from seqedit_bench.tasks.tokenization import encode


def test_seeded_and_sized(main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    state = torch.random.get_rng_state()
    first = rome_templates(main_model, tokenizer, [(5, 3), (9, 2)], seed=1)
    assert first == rome_templates(main_model, tokenizer, [(5, 3), (9, 2)], seed=1)
    assert first != rome_templates(main_model, tokenizer, [(5, 3), (9, 2)], seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first[0] == "{}" and len(first) == 6
    assert all(template.endswith(". {}") and template.count("{}") == 1 for template in first[1:])


def test_memit_openings(main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    templates = memit_templates(main_model, tokenizer, num_tokens=10, seed=0)
    assert templates[0] == "{}"
    words = ("The", "Therefore", "Because", "I", "You")
    for word, template in zip(words, templates[1:], strict=True):
        assert template.startswith(word)


@pytest.mark.parametrize("style", STYLES)
def test_texts_begin_as_the_model_reads_texts(
    style: str,
    main_model: PreTrainedModel,
    tokenizers: dict[str, PreTrainedTokenizerFast],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With BOS, once, where the tokenizer adds one: without it a model says other things."""
    tokenizer, seen = tokenizers[style], []
    generate: Any = main_model.generate

    def watched(rows: torch.Tensor, **options: Any) -> Any:
        seen.append(rows.tolist()[0])
        return generate(rows, **options)

    monkeypatch.setattr(main_model, "generate", watched)
    memit_templates(main_model, tokenizer, num_tokens=10, seed=0)
    words = ("The", "Therefore", "Because", "I", "You")
    assert seen == [tokenizer(word).input_ids for word in words]
    assert (seen[0][0] == tokenizer.bos_token_id) == (style != "gpt2")
    rome_templates(main_model, tokenizer, [(5, 1)], seed=0)
    assert seen[-1] == [tokenizer.bos_token_id]


def test_sampled_tokens_are_among_the_five_likeliest(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    """A mask shorter than the sequence would silently give other logits (spec 10.10)."""
    opening = encode(tokenizer, "The end")
    for text in sample_texts(main_model, tokenizer, [opening] * 4, num_tokens=12, seed=3):
        ids = tokenizer(text).input_ids
        start = len(opening)
        with torch.no_grad():
            logits = main_model(torch.tensor([ids])).logits[0]
        if tokenizer.decode(ids) != text or len(ids) != 12:
            continue  # the text does not tokenise back: nothing to compare
        for position in range(start, len(ids)):
            assert ids[position] in logits[position - 1].topk(5).indices


def test_braces_become_spaces_and_fill_finds_the_subject() -> None:
    template = as_template("a {b} c")
    assert template == "a  b  c. {}"
    request = EditRequest.create(
        case_id=0,
        prompt="{} {is} odd".replace("{is}", "is"),
        subject="C++{}",
        target_new="x",
        target_true="y",
    )
    text, end = fill(template, request)
    assert text == "a  b  c. C++{} is odd"
    assert text[:end].endswith("C++{}")
