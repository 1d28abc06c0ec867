"""The text that second moments are estimated from: it decides what an edit spares.

A source is written as one word:

    bundled        plain English prose written for this project
    PATH           a text file, documents separated by blank lines
    hub:DATASET    a data set with a `text` column, e.g. hub:wikimedia/wikipedia/20231101.en;
                   hub:DATASET@REVISION holds it to one revision
    npz:DIR        the `.npz` files that the authors of ROME and MEMIT publish
    auto           bundled where it is long enough for the model, else Wikipedia from the hub
"""

from __future__ import annotations

import hashlib
import random
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from ..tasks.errors import InputError
from ..tasks.sources import read_text
from ..tasks.tokenization import Tokenizer, encode

WIKIPEDIA = "hub:wikimedia/wikipedia/20231101.en"
DOCUMENT_SEED = 1
"""Documents are read in a shuffled order; ROME's code shuffles with this seed."""
SHUFFLE_BUFFER = 10_000
"""Articles of the hub that are drawn from at a time: neighbors are often alike."""
CHARACTERS_PER_TOKEN = 8
"""Generous: how much text is fetched for the tokens that are asked for."""


class MomentText:
    """Documents in the order in which they are used, read when they are needed.

    Args:
        tokenizer: The model's.
        source: One word, `auto` resolved.
        wanted: Tokens that are asked for.
        longest: Tokens of a document that are used, at most.
    """

    def __init__(self, tokenizer: Tokenizer, source: str, wanted: int, longest: int) -> None:
        self.source = source
        self._tokenizer, self._wanted, self._longest = tokenizer, wanted, longest

    @classmethod
    def choose(cls, tokenizer: Tokenizer, source: str, wanted: int, longest: int) -> MomentText:
        """Return the text that a word stands for; for `auto`, the bundled one if it will do."""
        if source != "auto":
            return cls(tokenizer, source, wanted, longest)
        bundled = cls(tokenizer, "bundled", wanted, longest)
        return bundled if bundled._fits() else cls(tokenizer, WIKIPEDIA, wanted, longest)

    @property
    def key(self) -> str:
        """What a cache knows the text by: its digest, or on the hub, unread, the word for it."""
        return self.source if self.source.startswith("hub:") else self.sha256

    @property
    def sha256(self) -> str:
        """Digest of the documents."""
        return hashlib.sha256("\n\n".join(self._documents).encode()).hexdigest()

    def rows(self) -> list[list[int]]:
        """Return token ids of documents, exactly as many as wanted, shortest first (less padding).

        Raises:
            InputError: the text is not there, or too short.
        """
        if not self._fits():
            have = sum(map(len, self._cut))
            raise InputError(
                f"text {self.source!r} has {have} tokens, mom2_n_tokens asks for {self._wanted}: "
                "give a longer text, or ask for fewer"
            )
        return sorted(self._cut, key=len)

    def _fits(self) -> bool:
        return sum(map(len, self._cut)) == self._wanted

    @cached_property
    def _cut(self) -> list[list[int]]:
        rows: list[list[int]] = []
        left = self._wanted
        for document in self._documents:
            rows.append(encode(self._tokenizer, document)[: min(self._longest, left)])
            left -= len(rows[-1])
            if left == 0:
                break
        return rows

    @cached_property
    def _documents(self) -> list[str]:
        if self.source.startswith("hub:"):
            name = self.source.removeprefix("hub:")
            return _hub_documents(name, self._wanted, self._longest)
        path = Path(self.source)
        if self.source == "bundled":
            path = Path(str(files("seqedit_bench.tasks"))) / "data" / "prose.txt"
        try:
            text = read_text(path)
        except InputError as error:
            raise InputError(f"text file {error}") from None
        documents = [block.strip() for block in text.split("\n\n") if block.strip()]
        random.Random(DOCUMENT_SEED).shuffle(documents)
        return documents


def _hub_documents(name: str, wanted: int, longest: int) -> list[str]:
    """Return articles with enough text for the tokens wanted, of each of which the start counts."""
    from datasets import load_dataset

    name, _, revision = name.partition("@")
    path, _, config = name.rpartition("/") if name.count("/") == 2 else (name, "", "")
    characters = wanted * CHARACTERS_PER_TOKEN
    documents: list[str] = []
    try:
        rows = load_dataset(
            path, config or None, split="train", revision=revision or None, streaming=True
        )
        for row in rows.shuffle(seed=DOCUMENT_SEED, buffer_size=SHUFFLE_BUFFER):
            documents.append(row["text"])
            characters -= min(len(documents[-1]), CHARACTERS_PER_TOKEN * longest)
            if characters <= 0:
                break
        return documents
    except Exception as error:
        raise InputError(
            f"cannot read the text of {name!r} ({type(error).__name__}: {str(error)[:120]}): "
            "give a text file instead (moments --text FILE, or --hparams mom2_source=FILE)"
        ) from error
