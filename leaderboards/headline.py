"""What a task is named for."""

from __future__ import annotations

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
