"""Tokenization: the common-prefix rule and subject positions, on three styles of tokenizer.

`gpt2` is byte-level, `llama3` is byte-level with BOS, `sentencepiece` has BOS and byte fallback.
"""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import processors
from transformers import PreTrainedTokenizerFast

from seqedit_bench.tasks import EditRequest, InputError
from seqedit_bench.tasks.tokenization import encode, encode_pair, last_token_of_span

Tokenizers = dict[str, PreTrainedTokenizerFast]

BOS, PAD = 0, 1
STYLES = ["gpt2", "llama3", "sentencepiece"]
SUBJECTS = ["France", "Pelé", "東京", "São Tomé", "🙂 Band", "Ann's X-9"]
PROMPTS = ["{} plays", "The home of {} is", "The mother tongue of {}", "({}) is"]

each_style = pytest.mark.parametrize("style", STYLES)
relaxed = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60
)


def spelled(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> bytes:
    """Return the text of some ids in bytes, special tokens left out; ids may end in a character."""
    result = b""
    for token in tokenizer.convert_ids_to_tokens([i for i in ids if i not in (BOS, PAD)]):
        if token.startswith("<0x"):
            result += bytes([int(token[3:5], 16)])
        elif "▁" in tokenizer.get_vocab():
            result += token.replace("▁", " ").encode()
        else:
            result += bytes(_BYTE_OF[character] for character in token)
    return result


def _byte_level_alphabet() -> dict[str, int]:
    """Return GPT-2's spelling of bytes as characters, by character."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + index): byte for index, byte in enumerate(rest)
    }


_BYTE_OF = _byte_level_alphabet()


@each_style
@pytest.mark.parametrize("context", ["The capital of France is", "東京 is in", "She said:"])
@pytest.mark.parametrize("continuation", [" Paris", " Port-au-Prince", ".", " 東京"])
def test_context_and_continuation_are_the_whole(
    style: str, context: str, continuation: str, tokenizers: Tokenizers
) -> None:
    tokenizer = tokenizers[style]
    pair = encode_pair(tokenizer, context, continuation)
    assert pair.context + pair.continuation == tokenizer(context + continuation).input_ids
    assert pair.context == tokenizer(context).input_ids
    assert spelled(tokenizer, pair.continuation).decode() == continuation


@each_style
@relaxed
@given(context=st.text(max_size=12), continuation=st.text(min_size=1, max_size=6))
def test_nothing_is_lost_between_context_and_continuation(
    style: str, context: str, continuation: str, tokenizers: Tokenizers
) -> None:
    tokenizer = tokenizers[style]
    try:
        pair = encode_pair(tokenizer, context, continuation)
    except InputError:
        # Only where the tokenizer drops or merges away what the continuation adds.
        assert encode(tokenizer, context + continuation) == encode(tokenizer, context.rstrip())
        return
    assert pair.continuation
    assert pair.context + pair.continuation == encode(tokenizer, context + continuation)


@each_style
@pytest.mark.parametrize(
    ("context", "continuation"), [("I saw th", "e"), ("It was wi", "th him"), ("Some ye", "ars")]
)
def test_tokens_that_merge_across_the_boundary_are_scored(
    style: str, context: str, continuation: str, tokenizers: Tokenizers
) -> None:
    tokenizer = tokenizers[style]
    alone = encode(tokenizer, context)
    whole = encode(tokenizer, context + continuation)
    assert whole[: len(alone)] != alone, "the text does not merge: the test has lost its point"
    pair = encode_pair(tokenizer, context, continuation)
    shared = len(pair.context)
    assert pair.context == alone[:shared] == whole[:shared]
    assert alone[shared] != whole[shared]
    assert pair.continuation == whole[shared:]


@each_style
@pytest.mark.parametrize("spaces", ["", " ", "   ", "\n", " \n\n"])
def test_white_space_at_the_end_of_the_context_go_to_the_continuation(
    style: str, spaces: str, tokenizers: Tokenizers
) -> None:
    tokenizer = tokenizers[style]
    pair = encode_pair(tokenizer, f"The capital is{spaces}", "Paris")
    assert pair == encode_pair(tokenizer, "The capital is", f"{spaces}Paris")
    assert spelled(tokenizer, pair.context).decode().strip() == "The capital is"


@pytest.mark.parametrize(("style", "count"), [("gpt2", 0), ("llama3", 1), ("sentencepiece", 1)])
@pytest.mark.parametrize("context", ["The capital is", "", " "])
def test_bos_opens_the_context_and_is_there_once(
    style: str, count: int, context: str, tokenizers: Tokenizers
) -> None:
    pair = encode_pair(tokenizers[style], context, " Paris")
    assert pair.context[:1].count(BOS) == pair.context.count(BOS) == count
    assert BOS not in pair.continuation


@each_style
def test_empty_context_scores_every_token(style: str, tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers[style]
    pair = encode_pair(tokenizer, "", "The capital")
    assert spelled(tokenizer, pair.continuation).decode().strip() == "The capital"
    assert spelled(tokenizer, pair.context) == b""


@each_style
@pytest.mark.parametrize("context", ["The capital is", ""])
def test_refuses_a_continuation_without_tokens(
    style: str, context: str, tokenizers: Tokenizers
) -> None:
    with pytest.raises(InputError, match=r"continuation '' of .* has no token"):
        encode_pair(tokenizers[style], context, "")


@pytest.fixture
def appending(tokenizers: Tokenizers) -> PreTrainedTokenizerFast:
    """A tokenizer with BOS `<pad>` in front that appends EOS to every text."""
    tokenizer = copy.deepcopy(tokenizers["gpt2"])
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<pad> $A <|endoftext|>", special_tokens=[("<pad>", 1), ("<|endoftext|>", 0)]
    )
    tokenizer.bos_token = "<pad>"
    return tokenizer


def test_an_appended_eos_is_dropped(
    appending: PreTrainedTokenizerFast, tokenizers: Tokenizers
) -> None:
    text = "The capital is Paris"
    assert appending(text).input_ids[-1] == appending.eos_token_id
    assert encode(appending, text) == [1, *tokenizers["gpt2"](text).input_ids]
    pair = encode_pair(appending, "The capital is", " Paris")
    assert pair.context == [1, *tokenizers["gpt2"]("The capital is").input_ids]
    assert pair.continuation == tokenizers["gpt2"](" Paris").input_ids


def test_subject_is_found_despite_an_appended_eos(appending: PreTrainedTokenizerFast) -> None:
    text = "The capital of France"
    ids = encode(appending, text)
    assert last_token_of_span(appending, text, len(text)) == len(ids) - 1


@each_style
@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_last_token_ends_the_subject(
    style: str, prompt: str, subject: str, tokenizers: Tokenizers
) -> None:
    tokenizer = tokenizers[style]
    request = EditRequest.create(
        case_id=1, prompt=prompt, subject=subject, target_new="a", target_true="b"
    )
    start, end = request.subject_span
    last = last_token_of_span(tokenizer, request.text, end)
    ids = encode(tokenizer, request.text)
    # SentencePiece opens a text with a space of its own.
    upto = spelled(tokenizer, ids[: last + 1]).removeprefix(b" ")
    before = spelled(tokenizer, ids[:last]).removeprefix(b" ")
    assert upto.startswith(request.text[:end].encode())
    assert upto.decode()[start:].startswith(subject)
    assert not before.startswith(request.text[:end].encode())


@each_style
@relaxed
@given(
    before=st.text(max_size=8),
    subject=st.text(min_size=1, max_size=6).filter(lambda text: bool(text.strip())),
    after=st.text(max_size=8),
)
def test_states_up_to_the_last_token_have_seen_the_subject(
    style: str, before: str, subject: str, after: str, tokenizers: Tokenizers
) -> None:
    tokenizer = tokenizers[style]
    text = before + subject + after
    end = len(before) + len(subject)
    last = last_token_of_span(tokenizer, text, end)
    assert last < len(encode(tokenizer, text))
    seen = spelled(tokenizer, tokenizer(text).input_ids[: last + 1])
    rest = spelled(tokenizer, tokenizer(text).input_ids[last + 1 :])
    if (seen + rest).removeprefix(b" ") == text.encode():  # no unknown and no special token
        assert len(rest) <= len(after.encode())


@each_style
def test_a_token_may_reach_beyond_the_subject(style: str, tokenizers: Tokenizers) -> None:
    tokenizer = tokenizers[style]
    text = "It was with him"
    end = text.index("th him")
    last = last_token_of_span(tokenizer, text, end)
    token = tokenizer.convert_ids_to_tokens(encode(tokenizer, text))[last]
    assert token.lstrip("Ġ▁") == "with"


@pytest.mark.parametrize("end", [0, 100])
@each_style
def test_refuses_a_span_that_no_token_covers(style: str, end: int, tokenizers: Tokenizers) -> None:
    with pytest.raises(InputError, match=f"no token of 'Paris' covers .* character {end}"):
        last_token_of_span(tokenizers[style], "Paris", end)


def test_refuses_a_tokenizer_without_offsets() -> None:
    with pytest.raises(InputError, match="no character offsets"):
        last_token_of_span(SimpleNamespace(is_fast=False), "Paris", 5)
