"""The scorer gives what one full forward pass for each request gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.benchmark.scoring import Scorer
from seqedit_bench.tasks.errors import InputError
from seqedit_bench.tasks.tokenization import Pair, encode_pair

PROMPTS = {
    "The capital of France is": (" Paris", " Madrid in the south"),
    "The capital of France is Madrid": (" in", " today"),
    "It rains": (" a lot",),
    "He plays the guitar and she plays": (" chess", " chess", " the long game of chess"),
}


def pairs_of(tokenizer: PreTrainedTokenizerFast) -> list[Pair]:
    return [
        encode_pair(tokenizer, prompt, target)
        for prompt, each in PROMPTS.items()
        for target in each
    ]


@torch.no_grad()
def plain(model: PreTrainedModel, pair: Pair) -> tuple[float, bool]:
    logits = model(torch.tensor([pair.context + pair.continuation])).logits[0].float()
    log_probs = logits.log_softmax(-1)
    first = len(pair.context) - 1
    total, greedy = 0.0, True
    for offset, token in enumerate(pair.continuation):
        total += float(log_probs[first + offset, token])
        greedy &= int(log_probs[first + offset].argmax()) == token
    return total, greedy


@pytest.mark.parametrize("batch_tokens", [1, 40, 4096])
@pytest.mark.parametrize("style", ["gpt2", "llama3", "sentencepiece"])
def test_equals_plain_forward_passes(
    any_model: PreTrainedModel,
    tokenizers: dict[str, PreTrainedTokenizerFast],
    style: str,
    batch_tokens: int,
) -> None:
    """On every family and kind of tokenizer, however the rows are packed."""
    pairs = pairs_of(tokenizers[style])
    scores = Scorer(any_model, max_length=256, batch_tokens=batch_tokens).score(pairs)
    for pair, score in zip(pairs, scores, strict=True):
        log_likelihood, greedy = plain(any_model, pair)
        assert score[0] == pytest.approx(log_likelihood, abs=1e-4)
        assert score[1] is greedy
        assert score.num_tokens == len(pair.continuation)


def test_greedy_continuation_is_recognised(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = tokenizer("The capital of France is").input_ids
    with torch.no_grad():
        for _ in range(3):
            ids.append(int(main_model(torch.tensor([ids])).logits[0, -1].argmax()))
    scorer = Scorer(main_model, max_length=256)
    same, other = Pair(ids[:-3], ids[-3:]), Pair(ids[:-3], [*ids[-3:-1], (ids[-1] + 1) % 500])
    assert [score[1] for score in scorer.score([same, other])] == [True, False]


def test_runs_only_distinct_tokens(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    """What has been said before costs nothing: each distinct beginning of a prompt is run once."""
    scorer = Scorer(main_model, max_length=256)
    pairs = pairs_of(tokenizer)
    rows = [(pair.context + pair.continuation)[:-1] for pair in pairs]
    beginnings = {tuple(row[: end + 1]) for row in rows for end in range(len(row))}
    scorer.score(pairs)
    assert scorer.tokens_scored == len(beginnings) < sum(map(len, rows)) / 2


def test_long_inputs_lose_tokens_on_the_left(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    pair = encode_pair(tokenizer, "He plays the guitar and she plays", " chess")
    (score,) = Scorer(main_model, max_length=6).score([pair])
    kept = (pair.context + pair.continuation)[:-1][-6:]
    short = Pair([*kept, 0][: len(kept) - len(pair.continuation) + 1], pair.continuation)
    assert score[0] == pytest.approx(plain(main_model, short)[0], abs=1e-4)
    with pytest.raises(InputError, match="context window of 1"):
        Scorer(main_model, max_length=1).score([Pair([1], [2, 3])])


def test_nan_is_neither_likely_nor_greedy(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    with torch.no_grad():
        next(main_model.parameters()).fill_(float("nan"))
    for score in Scorer(main_model, max_length=256).score(pairs_of(tokenizer)):
        assert math.isnan(score[0])
        assert score[1] is False
        assert score.num_greedy == 0


@pytest.mark.parametrize("worth", [16, 4096])
def test_nan_in_one_prompt_stays_there(
    any_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    worth: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Packed rows see each other, masked: zero times NaN is NaN."""
    monkeypatch.setattr("seqedit_bench.benchmark.packs.WORTH", worth)
    assert_nan_stays(any_model, tokenizer)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gemma3_text"])
@pytest.mark.parametrize("worth", [16, 4096])
def test_nan_stays_where_a_sliding_window_is_exceeded(
    family: str,
    worth: int,
    make_narrow: Callable[[str, int], PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind a prefix a window would count the pads of a batch: each row is run alone."""
    monkeypatch.setattr("seqedit_bench.benchmark.packs.WORTH", worth)
    assert_nan_stays(make_narrow(family, 12), tokenizer)


def assert_nan_stays(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Score four prompts, one with a word whose embedding is NaN, and hold them against passes."""
    shots = "It rains a lot. "
    words = ("France", "chess", "Madrid", "it")
    pairs = [encode_pair(tokenizer, f"{shots}He plays {word}", " is late") for word in words]
    others = {token for pair in (pairs[0], *pairs[2:]) for token in pair.context}
    broken = next(token for token in pairs[1].context if token not in others)
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding)
    assert isinstance(head, torch.nn.Linear)
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    with torch.no_grad():
        embeddings.weight[broken] = float("nan")
    scores = Scorer(model, max_length=256).score(pairs)
    for pair, score in zip(pairs, scores, strict=True):
        expected = plain(model, pair)[0]
        assert math.isnan(expected) == (broken in pair.context)
        assert score[0] == pytest.approx(expected, abs=1e-4, nan_ok=True)


@pytest.mark.parametrize("batch_tokens", [1, 100, 4096])
def test_shared_prefixes_change_nothing(
    any_model: PreTrainedModel,
    tokenizers: dict[str, PreTrainedTokenizerFast],
    batch_tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On every family: two blocks of shots, questions of several lengths, two labels each."""
    monkeypatch.setattr("seqedit_bench.benchmark.packs.WORTH", 16)
    tokenizer = tokenizers["gpt2"]
    shots = "It rains a lot today. He plays the guitar and she plays chess in the south. " * 4
    pairs = [
        encode_pair(tokenizer, block + question, label)
        for block in (shots, "She plays. " + shots)
        for question in ("The capital of France is", "He", "It is so late now, I think that he")
        for label in (" Paris", " Madrid in the south")
    ]
    scorer = Scorer(any_model, max_length=256, batch_tokens=batch_tokens)
    for pair, score in zip(pairs, scorer.score(pairs), strict=True):
        log_likelihood, greedy = plain(any_model, pair)
        assert score[0] == pytest.approx(log_likelihood, abs=1e-4)
        assert score[1] is greedy
    assert scorer.not_shared is None
    assert scorer.tokens_scored < sum(len(pair.context) for pair in pairs) / 3


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gemma3_text"])
@pytest.mark.parametrize("worth", [16, 4096])
def test_a_sliding_window_that_is_exceeded_is_in_the_mask(
    family: str,
    worth: int,
    make_narrow: Callable[[str, int], PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where all layers look back a little, and where only some do."""
    monkeypatch.setattr("seqedit_bench.benchmark.packs.WORTH", worth)
    model = make_narrow(family, 12)
    shots = "It rains a lot today. " * 6
    pairs = [
        encode_pair(tokenizer, shots + question, f" {word}")
        for question in ("The capital", "It rains", "He plays the guitar and she plays")
        for word in ("is", "of it")
    ]
    scorer = Scorer(model, max_length=256)
    for pair, score in zip(pairs, scorer.score(pairs), strict=True):
        assert score[0] == pytest.approx(plain(model, pair)[0], abs=1e-4)
    assert scorer.tokens_scored < sum(len(pair.context) for pair in pairs) / 3


def test_a_family_that_nobody_has_tried_is_padded(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BLOOM, say, reads positions off a mask that must be flat; and says why nothing is shared."""
    monkeypatch.setattr("seqedit_bench.benchmark.packs.WORTH", 16)
    shots = "It rains a lot today. " * 6
    questions = ("The capital", "It rains", "He plays the guitar and she plays")
    pairs = [encode_pair(tokenizer, shots + question, " is") for question in questions]
    vars(main_model.config)["model_type"] = "strange"
    scorer = Scorer(main_model, max_length=256)
    for pair, score in zip(pairs, scorer.score(pairs), strict=True):
        assert score[0] == pytest.approx(plain(main_model, pair)[0], abs=1e-4)
    assert scorer.not_shared == "model type 'strange' is not among the known ones"


class WithoutFloat64(TorchFunctionMode):
    """Refuses what Apple's GPUs do: float64, of anything that `.cpu()` has not brought back."""

    def __init__(self) -> None:
        super().__init__()
        self._back: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if getattr(result, "dtype", None) == torch.float64:
            assert any(args[0] is each for each in self._back), f"float64 from {func.__name__}"
            self._back.append(result)
        if func is torch.Tensor.cpu:
            self._back.append(result)
        return result


def test_nothing_is_float64_on_the_device(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    scorer = Scorer(main_model, max_length=256)
    expected = scorer.score(pairs_of(tokenizer))
    with WithoutFloat64():
        assert scorer.score(pairs_of(tokenizer)) == expected


def test_greedy_tokens_are_counted_one_by_one(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    """The per-token accuracy of zsRE: how many tokens are greedy after the target's own."""
    pair = encode_pair(tokenizer, "He plays the guitar and she plays", " chess in the south")
    (score,) = Scorer(main_model, max_length=256).score([pair])
    with torch.no_grad():
        logits = main_model(torch.tensor([pair.context + pair.continuation])).logits[0]
    expected = sum(
        int(logits[len(pair.context) - 1 + at].argmax()) == token
        for at, token in enumerate(pair.continuation)
    )
    assert (score.num_greedy, score.num_tokens) == (expected, len(pair.continuation))
