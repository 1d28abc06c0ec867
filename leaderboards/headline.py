"""What the names of metrics say of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

HEADLINES = (
    *("weighted_f1", "word_perplexity", "ngram_entropy"),
    *("acc_norm", "acc", "exact_match", "f1"),
)


def headline(metrics: Iterable[str]) -> str | None:
    """Return the metric to show of a task where there is room for one.

    Entries have their keys sorted, so the order says nothing unless no name is known.

    Example:
        >>> headline(["acc", "constant_f1", "weighted_f1"]), headline(["mine", "other"])
        ('weighted_f1', 'mine')
        >>> headline(["alias_rate,none", "exact_match,strict-match"]), headline([])
        ('exact_match,strict-match', None)
    """
    ranks = {name: rank for rank, name in enumerate(HEADLINES)}
    return min(metrics, key=lambda it: ranks.get(it.partition(",")[0], len(ranks)), default=None)


MAGNITUDES = frozenset({"em", "pm", "nm", "mcc"})
"""Differences of probabilities, and a correlation: between -1 and 1."""
_SHARES = frozenset(
    ("acc", "acc_norm", "exact_match", "f1", "weighted_f1", "constant_f1", "invalid")
)
_UNBOUNDED = re.compile(r"nll|perplexity|entropy|bits|fluency|consistency|likelihood|loss")


def is_unbounded(metric: str) -> bool:
    """Return whether a metric can be any number, and is no share.

    Example:
        >>> is_unbounded("word_perplexity"), is_unbounded("weighted_f1")
        (True, False)
    """
    return _UNBOUNDED.search(metric) is not None


def is_share_of_task(metric: str) -> bool:
    """Return whether a task's metric is known to be a share; one of the harness's can be anything.

    Example:
        >>> is_share_of_task("exact_match,strict-match"), is_share_of_task("bleu")
        (True, False)
    """
    return metric.partition(",")[0] in _SHARES


def is_known_of_task(metric: str) -> bool:
    """Return whether the name of a task's metric says what its numbers are.

    Example:
        >>> is_known_of_task("mcc"), is_known_of_task("ter")
        (True, False)
    """
    return is_share_of_task(metric) or metric in MAGNITUDES or is_unbounded(metric)
