"""Context templates: short model-written texts put before a prompt, so that keys generalise.

They are drawn once, from the unedited model, with the run's seed, and kept with the run: which
edits break a model can depend on them (ROME's published code draws them unseeded).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from ..tasks.errors import InputError
from ..tasks.requests import SLOT, EditRequest
from ..tasks.tokenization import Tokenizer, encode

BARE = SLOT
"""The template that adds nothing."""

TOP_K = 5
"""Texts are sampled from the five likeliest next tokens (Meng et al. 2022, released code)."""

MEMIT_OPENINGS = ("The", "Therefore", "Because", "I", "You")


def document_start(tokenizer: Tokenizer) -> str:
    """Return the token that opens a document: `<|endoftext|>` where there is one, else BOS, EOS."""
    if "<|endoftext|>" in tokenizer.get_vocab():
        return "<|endoftext|>"
    return tokenizer.bos_token or tokenizer.eos_token


def sample_texts(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    openings: Sequence[Sequence[int]],
    *,
    num_tokens: int,
    seed: int,
) -> list[str]:
    """Sample one continuation of each opening, `num_tokens` tokens in all, special tokens removed.

    At least one token is sampled, however long the opening.

    Openings are token ids, all of the same number, so that no row is padded. Global random
    state is left as found.

    Raises:
        InputError: the model gives no probabilities to sample from.
    """
    new_tokens = max(1, num_tokens - len(openings[0]))
    rows = torch.tensor(openings, device=model.device)
    with torch.no_grad():
        if not bool(model(rows).logits.isfinite().all()):
            text = tokenizer.decode(openings[0])
            raise InputError(
                f"the model gives NaN or infinity for {text!r}, before any edit: "
                "it is broken, or --dtype is too narrow for it"
            )
    with torch.random.fork_rng(devices=_cuda_devices(model)), torch.no_grad():
        torch.manual_seed(seed)
        generate: Any = model.generate
        out = generate(
            rows,
            attention_mask=torch.ones_like(rows),
            do_sample=True,
            top_k=TOP_K,
            top_p=1.0,
            temperature=1.0,
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            pad_token_id=tokenizer.eos_token_id,
        )
    return tokenizer.batch_decode(out, skip_special_tokens=True)


def _cuda_devices(model: PreTrainedModel) -> list[int]:
    return [model.device.index or 0] if model.device.type == "cuda" else []


def as_template(text: str) -> str:
    """Turn a text into a template: braces out, a full stop and the slot behind."""
    return text.replace("{", " ").replace("}", " ") + ". " + SLOT


def rome_templates(
    model: PreTrainedModel,
    tokenizer: Tokenizer,
    lengths: Sequence[Sequence[int]],
    *,
    seed: int,
) -> list[str]:
    """Return the bare template and texts sampled from the start of a document.

    Args:
        model: The unedited model.
        tokenizer: Its tokenizer.
        lengths: Pairs (tokens, texts); tokens count the document start, as in the released code.
        seed: Seed of the sampling.
    """
    start = [tokenizer.convert_tokens_to_ids(document_start(tokenizer))]
    templates = [BARE]
    for index, (num_tokens, num_texts) in enumerate(lengths):
        texts = sample_texts(
            model, tokenizer, [start] * num_texts, num_tokens=num_tokens, seed=seed + index
        )
        templates += [as_template(text) for text in texts]
    return templates


def memit_templates(
    model: PreTrainedModel, tokenizer: Tokenizer, *, num_tokens: int, seed: int
) -> list[str]:
    """Return the bare template and one text for each of MEMIT's five opening words."""
    texts = [
        sample_texts(
            model, tokenizer, [encode(tokenizer, word)], num_tokens=num_tokens, seed=seed + index
        )[0]
        for index, word in enumerate(MEMIT_OPENINGS)
    ]
    return [BARE, *(as_template(text) for text in texts)]


def fill(template: str, request: EditRequest) -> tuple[str, int]:
    """Put a request into a template.

    Returns:
        The text, and where the subject ends in it (exclusive), in characters.
    """
    before = template.index(SLOT)
    text = template.replace(SLOT, request.text, 1)
    return text, before + request.subject_span[1]
