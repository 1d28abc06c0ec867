"""Documents and aggregation of the perplexity on held-out prose, called from its YAML file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..cases import Documents
from ..documents import source_from
from ..errors import InputError, NoDocuments
from ..sources import read_records, read_text

WIKITEXT = ("wikitext-2-raw.test.txt", "wikitext-2-raw.test.parquet")
PARAGRAPHS = 32
SHORTEST = 300
"""Characters; shorter lines of WikiText are captions, quotations and other scraps."""


def held_documents(**metadata: Any) -> Documents:
    """Return {"test": Dataset}, one row per paragraph.

    The bundled text, or the first paragraphs of WikiText-2's test part (its raw version, as it
    is: blanks before punctuation and `@-@` for hyphens), in a folder or from the network.

    Raises:
        InputError: the source has no WikiText (the bundled text does not stand in), or the file
            cannot be read.
    """
    from datasets import Dataset

    source = source_from(**metadata)
    if source.name == "bundled":
        texts = read_text(source.require("held.txt")).strip().split("\n\n")
    else:
        path = source.require(*WIKITEXT)
        texts = _paragraphs(path)
        if not texts:
            raise NoDocuments(f"{path} has no paragraph of {SHORTEST} characters")
    return {"test": Dataset.from_list([{"text": text} for text in texts])}


def _paragraphs(path: Path) -> list[str]:
    lines = (line.strip() for line in _lines(path))
    # Headings look like "= = Career = =".
    long = [line for line in lines if len(line) >= SHORTEST and not line.startswith("=")]
    return long[:PARAGRAPHS]


def _lines(path: Path) -> Iterator[str]:
    if path.suffix != ".parquet":
        yield from read_text(path).split("\n")
        return
    for where, record in read_records(path):
        if not isinstance(record.get("text"), str):
            raise InputError(f"{where}: no column text")
        yield record["text"]


def perplexity(items: Sequence[tuple[float, int]]) -> float:
    """Return exp of the mean negative log-likelihood per unit (word or byte) of all texts.

    The harness's own stops the run with an OverflowError on a model that has collapsed; here
    that is infinity.

    Args:
        items: Of each text, its summed log-likelihood in nats and its number of units.

    Example:
        >>> round(perplexity([(-math.log(8), 1), (-math.log(2), 1)]), 6), perplexity([(-1e4, 5)])
        (4.0, inf)
    """
    log_likelihoods, units = zip(*items, strict=True)
    try:
        return math.exp(-sum(log_likelihoods) / sum(units))
    except OverflowError:
        return math.inf
