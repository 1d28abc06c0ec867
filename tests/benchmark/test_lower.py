"""Hidden states under the edited layers, kept for prompts that come again, change no number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.benchmark.generation import Decoding, Generator
from seqedit_bench.benchmark.lm import SequentialEditLM
from seqedit_bench.benchmark.lower import LowerStates, lowest_edited_layer
from seqedit_bench.benchmark.model import load_model
from seqedit_bench.benchmark.scoring import Scorer
from seqedit_bench.editors import EditRequest
from seqedit_bench.editors._architecture import Architecture
from seqedit_bench.editors._memory import OutOfMemory
from seqedit_bench.tasks.tokenization import Pair, encode_pair

SHOTS = "It rains a lot today. He plays the guitar and she plays chess in the south. " * 4
START = 2


def pairs_of(tokenizer: PreTrainedTokenizerFast) -> list[Pair]:
    questions = ("The capital of France is", "He", "It is so late now, I think that he")
    return [
        encode_pair(tokenizer, shots + question, label)
        for shots in (SHOTS, "")
        for question in questions
        for label in (" Paris", " Madrid in the south")
    ]


@torch.no_grad()
def edit(model: PreTrainedModel, layer: int) -> None:
    weight: Any = Architecture.of(model).mlp_out(model, layer).weight
    weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(layer))


def test_scores_are_the_same_bit_for_bit(
    any_model: PreTrainedModel,
    tokenizers: dict[str, PreTrainedTokenizerFast],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On every family, with and without a shared prefix, while the layers above change."""
    monkeypatch.setattr("seqedit_bench.benchmark.packs.WORTH", 16)
    pairs = pairs_of(tokenizers["gpt2"])
    lower = LowerStates(any_model, START, 10**9)
    kept, plain = Scorer(any_model, max_length=256, lower=lower), Scorer(any_model, max_length=256)
    found = []
    for _ in range(4):
        found.append(kept.score(pairs))
        assert [score[0] for score in found[-1]] == [score[0] for score in plain.score(pairs)]
        edit(any_model, START)
    assert found[0] != found[1], "edits are seen"
    assert lower.reused > 0
    assert kept.tokens_scored == plain.tokens_scored


def test_what_comes_once_is_not_kept(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    pairs = pairs_of(tokenizer)[6:]
    lower = LowerStates(main_model, START, 10**9)
    scorer = Scorer(main_model, max_length=256, lower=lower)
    scorer.score(pairs)
    assert (lower.used, lower.reused) == (0, 0)
    scorer.score(pairs)
    assert lower.used > 0 == lower.reused
    scorer.score(pairs)
    assert lower.reused > 0


def test_the_budget_is_kept_to(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    pairs = pairs_of(tokenizer)[6:]
    lower = LowerStates(main_model, START, 1000)
    scorer = Scorer(main_model, max_length=256, lower=lower)
    for _ in range(3):
        scorer.score(pairs)
    assert (lower.used, lower.reused) == (0, 0)


def test_memory_that_runs_out_takes_them_first(
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = pairs_of(tokenizer)
    lower = LowerStates(main_model, START, 10**9)
    scorer = Scorer(main_model, max_length=256, lower=lower)
    expected = [scorer.score(pairs) for _ in range(2)][-1]
    assert lower.used > 0
    read, calls = scorer._read, []

    def scarce(hidden: Any, reads: Any) -> Any:
        calls.append(len(reads))
        if len(calls) == 1:
            raise MemoryError
        return read(hidden, reads)

    monkeypatch.setattr(scorer, "_read", scarce)
    assert scorer.score(pairs) == expected, "the same batch, run again"
    assert calls[0] == calls[1]
    assert scorer.budget.halved == 0
    assert lower.used == 0


def fill_memory(lower: LowerStates, model: PreTrainedModel, patch: pytest.MonkeyPatch) -> None:
    """Let every pass run out of memory for as long as lower states are kept."""
    forward = type(model.base_model).forward

    def full(self: Any, *arguments: Any, **named: Any) -> Any:
        if lower.used:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, *arguments, **named)

    patch.setattr(type(model.base_model), "forward", full)


@pytest.mark.parametrize("worth", [16, 4096])
def test_they_are_given_back_for_a_single_row_and_for_a_prefix(
    worth: int,
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("seqedit_bench.benchmark.packs.WORTH", worth)
    pairs = pairs_of(tokenizer)[: 6 if worth == 16 else 1]
    expected = Scorer(main_model, max_length=256).score(pairs)
    lower = LowerStates(main_model, START, 10**9)
    scorer = Scorer(main_model, max_length=256, lower=lower)
    for _ in range(2):
        scorer.score(pairs_of(tokenizer)[-2:])
    assert lower.used > 0
    fill_memory(lower, main_model, monkeypatch)
    assert scorer.score(pairs) == expected
    assert (lower.used, scorer.budget.halved) == (0, 0)


def test_they_are_given_back_for_texts(
    tiny_folder: Path, make_editor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_model(str(tiny_folder), device="cpu", dtype="float32", cache_dir=tiny_folder)
    editor = make_editor("rome", loaded.model, layers=[START])
    lm = SequentialEditLM(loaded, editor=editor, cache_gb=1.0)
    assert lm.lower is not None
    for _ in range(2):
        lm.scorer.score([encode_pair(loaded.tokenizer, "He plays", " chess")])
    assert lm.lower.used > 0
    fill_memory(lm.lower, loaded.model, monkeypatch)
    assert len(lm.generator.generate([[1, 2]], Decoding(max_new_tokens=3))) == 1
    assert lm.lower.used == lm.generator.budget.halved == 0
    assert lm.news() == ["memory ran out: what is under the edited layers is kept no more"]
    assert lm.news() == []


def test_a_prefix_that_does_not_fit_is_an_error_of_one_line(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seqedit_bench.benchmark.packs.WORTH", 16)

    def full(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(type(main_model.base_model), "forward", full)
    pairs = pairs_of(tokenizer)[:6]
    with pytest.raises(OutOfMemory, match=r"^out of memory with a single row of tokens: "):
        Scorer(main_model, max_length=256).score(pairs)
    with pytest.raises(OutOfMemory, match=r"^out of memory with a single prompt: "):
        Generator(main_model, tokenizer, max_length=256).generate(
            [pair.context for pair in pairs], Decoding(max_new_tokens=2)
        )


def test_generation_goes_on_from_whole_passes(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory that runs out in the middle of texts loses none of them."""
    prompts = [pair.context for pair in pairs_of(tokenizer)[::2]]
    generator = Generator(main_model, tokenizer, max_length=250)
    expected = generator.generate(prompts, Decoding(max_new_tokens=5))
    proceed, calls = generator._continue, []

    def scarce(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError
        return proceed(*arguments)

    monkeypatch.setattr(generator, "_continue", scarce)
    assert generator.generate(prompts, Decoding(max_new_tokens=5)) == expected
    assert generator.budget.halved == 1


@pytest.mark.parametrize(
    ("name", "options", "layer"),
    [
        ("rome", {"layers": [2]}, 2),
        ("memit", {"layers": [1, 2, 3]}, 1),
        ("rect+memit", {"layers": [1, 2]}, 1),
        ("none", {}, 0),
        ("grace", {"layers": [2]}, 0),
        ("in_context", {}, 0),
    ],
)
def test_which_layers_never_change(
    name: str,
    options: dict[str, Any],
    layer: int,
    main_model: PreTrainedModel,
    make_editor: Callable[..., Any],
) -> None:
    editor = make_editor(name, main_model, **options)
    assert lowest_edited_layer(editor, main_model) == layer
    assert (LowerStates.under(editor, main_model, 1.0) is None) == (layer == 0)
    assert LowerStates.under(editor, main_model, 0.0) is None


def test_an_editor_of_embeddings_leaves_nothing_below(
    main_model: PreTrainedModel, make_editor: Callable[..., Any], requests: list[EditRequest]
) -> None:
    editor = make_editor("rome", main_model)
    names = [name for name, _ in main_model.named_parameters()]
    editor.edited_parameters = lambda: [names[0]]
    assert lowest_edited_layer(editor, main_model) == 0
