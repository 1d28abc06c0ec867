"""From text to token ids, the same way for every editor and every task.

Two rules hold for all tokenizers, byte-level or SentencePiece, with or without a BOS token:

* A continuation's tokens are what remains of the tokens of `context + continuation` after the
  longest common prefix with the tokens of `context`. Nothing is tokenised on its own, so no
  space is gained or lost.
* A subject's last token is found from character offsets in the full text, never by adding up the
  lengths of separately tokenised pieces: tokens merge across the boundary.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .errors import InputError

Tokenizer = Any
"""A Hugging Face fast tokenizer; `Any` because the library's own type names change."""


class Pair(NamedTuple):
    """A scored text as token ids; `context + continuation` is the model's input and last target."""

    context: list[int]
    continuation: list[int]


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids of a text that opens a sequence, with BOS if the tokenizer adds one.

    An end-of-sequence token that a tokenizer appends is dropped: the text goes on.
    """
    ids = tokenizer(text).input_ids
    if ids and tokenizer.eos_token_id == ids[-1] and not text.endswith(tokenizer.eos_token):
        ids = ids[:-1]
    return list(ids)


def encode_pair(tokenizer: Tokenizer, context: str, continuation: str) -> Pair:
    """Split the tokens of `context + continuation` by the common-prefix rule.

    White space at the end of the context counts as the continuation's, as in
    lm-evaluation-harness.

    Raises:
        InputError: the continuation has no token of its own.
    """
    stripped = context.rstrip()
    whole = encode(tokenizer, context + continuation)
    head = encode(tokenizer, stripped) if stripped else whole[: _bos_length(tokenizer, whole)]
    shared = 0
    for ours, theirs in zip(head, whole, strict=False):
        if ours != theirs:
            break
        shared += 1
    pair = Pair(whole[:shared], whole[shared:])
    if not pair.continuation:
        raise InputError(f"continuation {continuation!r} of {context!r} has no token")
    return pair


def _bos_length(tokenizer: Tokenizer, ids: list[int]) -> int:
    return int(
        bool(ids) and tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id
    )


def last_token_of_span(tokenizer: Tokenizer, text: str, end: int) -> int:
    """Return the index of the token that holds the character before `end`.

    Args:
        tokenizer: A fast tokenizer (one with character offsets).
        text: The text as it is fed to the model, from its start.
        end: End of the span in `text`, exclusive.

    Raises:
        InputError: the tokenizer has no offsets, or no token covers the span's end.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            f"tokenizer {type(tokenizer).__name__} gives no character offsets: use a fast one"
        )
    offsets = tokenizer(text, return_offsets_mapping=True).offset_mapping
    # Special tokens have empty spans. A character split into several byte tokens is covered by
    # each of them: the last one is meant, as the state there has seen the whole subject.
    covering = [index for index, (start, stop) in enumerate(offsets) if start < end <= stop]
    if not covering:
        raise InputError(f"no token of {text!r} covers the subject, which ends at character {end}")
    return covering[-1]
