"""What tasks whose documents belong to edits share: token counts, per-token means, macro means.

lm-evaluation-harness hands a task only the *sum* of log-likelihoods over tokens. The `seqedit`
model returns the token count with it; for any other model the counts are taken from the tokenizer
that `--model_args pretrained=...` (or `--metadata '{"tokenizer": ...}'`) names.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from .errors import InputError
from .tokenization import Tokenizer, encode_pair

Documents = dict[str, Any]
"""A `datasets.Dataset` by split, as `custom_dataset` functions return it."""


class CaseValue(float):
    """A metric's value for one prompt that remembers its record, for the macro mean."""

    case_id: int

    def __new__(cls, value: float, case_id: int) -> CaseValue:
        self = super().__new__(cls, value)
        self.case_id = case_id
        return self

    def __getnewargs__(self) -> tuple[float, int]:  # type: ignore[override]
        return float(self), self.case_id


def mean_over_cases(items: Sequence[CaseValue]) -> float:
    """Average per record first, then over records (spec: macro mean of the per-record means)."""
    by_case: dict[int, list[float]] = {}
    for item in items:
        by_case.setdefault(item.case_id, []).append(float(item))
    return fmean(fmean(values) for values in by_case.values())


_LOADED: dict[str, Tokenizer] = {}


def keep_tokenizer(name: str, tokenizer: Tokenizer) -> None:
    """Let `load_tokenizer` return this one for a name, which may be an alias of ours."""
    _LOADED[name] = tokenizer


def load_tokenizer(name: Any) -> Tokenizer | None:
    """Return the tokenizer of that name or folder; None if the metadata names none.

    Raises:
        InputError: it cannot be loaded.
    """
    if not isinstance(name, str):
        return None
    if name in _LOADED:
        return _LOADED[name]
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # a spoilt or missing one can fail in any of a few libraries
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"cannot load the tokenizer {name!r}: {reason}") from error


def count_tokens(tokenizer: Tokenizer | None, prompt: str, target: str) -> int:
    """Return how many tokens of `prompt + target` are the target's; 0 without a tokenizer."""
    return len(encode_pair(tokenizer, prompt, target).continuation) if tokenizer is not None else 0


def mean_nll(result: Any, tokens: int) -> float:
    """Turn lm-eval's (sum of log-likelihoods, is_greedy) into the mean NLL per token.

    Raises:
        InputError: neither the model nor the document knows how many tokens the target has.
    """
    tokens = getattr(result, "num_tokens", tokens)
    if not tokens:
        raise InputError(
            'the mean NLL needs the target\'s token count: pass --metadata \'{"tokenizer": "ID"}\''
        )
    return -result[0] / tokens
