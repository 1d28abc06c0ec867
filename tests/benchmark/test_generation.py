"""The generator writes what the model would write on its own, however it is batched."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.benchmark.attention import Attention
from seqedit_bench.benchmark.generation import Decoding, Generator
from seqedit_bench.tasks.errors import InputError
from seqedit_bench.tasks.tokenization import encode

SHOTS = "It rains a lot today. He plays the guitar and she plays chess in the south. " * 4
PROMPTS = [
    "The capital of France is",
    "He plays",
    SHOTS + "The capital of France is",
    SHOTS + "It is so late now, I think that the long game of chess",
    SHOTS + "He",
]
GREEDY = Decoding(max_new_tokens=6)
SAMPLED = Decoding(max_new_tokens=6, sample=True, top_k=5)


@torch.no_grad()
def plain(model: PreTrainedModel, ids: list[int], steps: int) -> list[int]:
    """Greedy decoding without cache, mask or batch."""
    new: list[int] = []
    for _ in range(steps):
        new.append(int(model(torch.tensor([[*ids, *new]])).logits[0, -1].argmax()))
    return new


@pytest.fixture
def small_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share prefixes even where little is saved."""
    monkeypatch.setattr("seqedit_bench.benchmark.packs.WORTH", 16)


@pytest.mark.parametrize("batch_tokens", [1, 400, 4096])
def test_equals_plain_greedy_decoding(
    any_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    batch_tokens: int,
    small_worth: None,
) -> None:
    """On every family, with and without shared prefixes, in batches of unequal lengths."""
    prompts = [encode(tokenizer, prompt) for prompt in PROMPTS]
    generator = Generator(any_model, tokenizer, max_length=250, batch_tokens=batch_tokens)
    found = generator.generate(prompts, GREEDY)
    for ids, text in zip(prompts, found, strict=True):
        new = plain(any_model, ids, GREEDY.max_new_tokens)
        ends = [at for at, token in enumerate(new) if token == tokenizer.eos_token_id]
        kept = new[: ends[0]] if ends else new
        before, whole = (
            str(tokenizer.decode(each, skip_special_tokens=True)) for each in (ids, ids + kept)
        )
        assert text == whole[len(before) :]


def test_shared_tokens_are_run_once(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, small_worth: None
) -> None:
    prompts = [encode(tokenizer, prompt) for prompt in PROMPTS[2:]]
    generator = Generator(main_model, tokenizer, max_length=250)
    generator.generate(prompts, GREEDY)
    shots = len(encode(tokenizer, SHOTS))
    behind = sum(len(ids) - shots for ids in prompts)
    assert Attention.of(main_model).not_packed is None
    assert generator.tokens_run <= shots + behind + 5 * len(prompts) + len(prompts)


def test_samples_do_not_depend_on_the_batch(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    prompts = [encode(tokenizer, prompt) for prompt in PROMPTS]
    together = Generator(main_model, tokenizer, max_length=250).generate(prompts, SAMPLED)
    alone = [
        Generator(main_model, tokenizer, max_length=250, batch_tokens=1).generate([ids], SAMPLED)[0]
        for ids in prompts
    ]
    assert together == alone
    other = Generator(main_model, tokenizer, max_length=250, seed=1).generate(prompts, SAMPLED)
    assert other != together


def test_the_same_prompt_twice_is_two_samples_and_one_greedy_text(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    prompts = [encode(tokenizer, "He plays")] * 4
    generator = Generator(main_model, tokenizer, max_length=250)
    assert len(set(generator.generate(prompts, SAMPLED))) > 1
    assert generator.generate(prompts, SAMPLED) == generator.generate(prompts, SAMPLED)
    before = generator.tokens_run
    assert len(set(generator.generate(prompts, GREEDY))) == 1
    assert generator.tokens_run - before == len(prompts[0]) + GREEDY.max_new_tokens - 1


def test_samples_come_from_the_likeliest_tokens(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    """One new token, many draws: only the top k appear, each about as often as it is likely."""
    ids = encode(tokenizer, "The capital of France is")
    with torch.no_grad():
        best = main_model(torch.tensor([ids])).logits[0, -1].topk(3)
    decoding = Decoding(max_new_tokens=1, sample=True, top_k=3)
    generator = Generator(main_model, tokenizer, max_length=64)
    draws = generator.generate([ids] * 3000, decoding)
    expected = best.values.softmax(-1).tolist()
    for token, share in zip(best.indices.tolist(), expected, strict=True):
        text = generator._text((tuple(ids), 0), [token])
        assert draws.count(text) / 3000 == pytest.approx(share, abs=0.04)
    assert len(set(draws)) == 3


def test_a_stop_string_ends_the_text(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = encode(tokenizer, "He plays")
    generator = Generator(main_model, tokenizer, max_length=64)
    (whole,) = generator.generate([ids], GREEDY)
    stop = whole[3:5]
    (cut,) = generator.generate([ids], Decoding(max_new_tokens=6, stop=("never", stop)))
    assert cut == whole[: whole.index(stop)]


def test_no_room_for_a_prompt(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(InputError, match=r"6 new tokens do not fit .* window of 6"):
        Generator(main_model, tokenizer, max_length=6).generate([[1]], GREEDY)


def test_long_prompts_lose_tokens_on_the_left(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    ids = encode(tokenizer, PROMPTS[2])
    generator = Generator(main_model, tokenizer, max_length=20)
    assert generator.generate([ids], GREEDY) == generator.generate([ids[-14:]], GREEDY)


@pytest.mark.parametrize("decoding", [GREEDY, SAMPLED])
def test_nan_ends_in_a_text_not_an_error(
    decoding: Decoding, main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    with torch.no_grad():
        next(main_model.parameters()).fill_(float("nan"))
    generator = Generator(main_model, tokenizer, max_length=64)
    assert len(generator.generate([[1, 2], [3]], decoding)) == 2


@pytest.mark.parametrize("family", ["gemma2", "gemma3_text", "mistral"])
def test_a_sliding_window_that_is_exceeded_is_in_the_mask(
    family: str,
    make_narrow: Callable[[str, int], PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    small_worth: None,
) -> None:
    model = make_narrow(family, 24)
    prompts = [encode(tokenizer, prompt) for prompt in PROMPTS]
    longest = max(map(len, prompts))
    assert "sliding window of 24" in str(Attention.of(model).not_behind_prefix(longest))
    found = Generator(model, tokenizer, max_length=250).generate(prompts, GREEDY)
    for ids, text in zip(prompts, found, strict=True):
        new = plain(model, ids, GREEDY.max_new_tokens)
        assert str(tokenizer.decode(ids + new, skip_special_tokens=True)).endswith(text)


@pytest.mark.parametrize("family", ["gemma2", "mistral"])
@pytest.mark.parametrize("window", [12, 33])
def test_nan_in_one_prompt_stays_there(
    family: str,
    window: int,
    make_narrow: Callable[[str, int], PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    small_worth: None,
) -> None:
    """Where a sliding window is exceeded by the prompts, or by what is written behind them."""
    model = make_narrow(family, window)
    shots = "It rains a lot. He plays the guitar and she plays"
    prompts = [encode(tokenizer, f"{shots} {word}") for word in ("in the south", "chess", "it")]
    broken = next(token for token in prompts[1] if token not in {*prompts[0], *prompts[2]})
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    assert isinstance(embeddings, torch.nn.Embedding)
    assert isinstance(head, torch.nn.Linear)
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    with torch.no_grad():
        embeddings.weight[broken] = float("nan")
    found = Generator(model, tokenizer, max_length=250).generate(prompts, GREEDY)
    for ids, text in zip((prompts[0], prompts[2]), (found[0], found[2]), strict=True):
        new = plain(model, ids, GREEDY.max_new_tokens)
        assert str(tokenizer.decode(ids + new, skip_special_tokens=True)).endswith(text)
        assert text
