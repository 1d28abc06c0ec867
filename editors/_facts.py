"""Facts kept as text: the memory of editors that work in the prompt, and how one is looked up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import log
from string import Formatter
from typing import Annotated, NamedTuple

import torch
from pydantic import AfterValidator
from torch import Tensor

from ..tasks import EditRequest
from ._locate import decode_strings, encode_strings

PUNCTUATION = ".,;:!?()\"'"
"""What may stand around a word without being part of it."""
BYTES_OF_A_FACT = 1000
"""Seldom more, as text."""
GRAM = 4
"""Characters of an n-gram; words keep a space at either end, so short ones are not found inside."""


def _is_format(text: str) -> str:
    try:
        parts = list(Formatter().parse(text))
    except ValueError:
        parts = []
    fields = {name for _, name, _, _ in parts if name is not None}
    plain = all(not width and kind is None for _, _, width, kind in parts)
    # Nothing but the two words: `{prompt.__class__}` and widths would be obeyed too.
    if fields != {"prompt", "target"} or not plain:
        raise ValueError("write {prompt} and {target} where they go, and nothing else in braces")
    return text


Format = Annotated[str, AfterValidator(_is_format)]
"""How a fact is written before a prompt: `{prompt}` and `{target}`, line break included."""


class Fact(NamedTuple):
    """An edit as text."""

    case_id: int
    prompt: str
    """With its subject filled in."""
    subject: str
    target: str


def written(facts: Sequence[Fact], template: str, lead: str) -> list[str]:
    """Return the texts that go before a prompt; none without facts.

    Args:
        facts: What to write, in this order.
        template: A `Format`.
        lead: What stands between the last fact and the prompt.
    """
    texts = [template.format(prompt=fact.prompt, target=fact.target) for fact in facts]
    return [*texts[:-1], texts[-1] + lead] if texts else []


class Facts:
    """Facts in the order of their edits; a later one with the same subject and prompt replaces."""

    def __init__(self) -> None:
        self._facts: dict[tuple[str, str], Fact] = {}

    def __len__(self) -> int:
        return len(self._facts)

    def __iter__(self) -> Iterator[Fact]:
        return iter(self._facts.values())

    def add(self, request: EditRequest) -> None:
        """Remember an edit."""
        key = (request.subject, request.text)
        self._facts.pop(key, None)
        target = request.target_new.strip()
        self._facts[key] = Fact(request.case_id, request.text, request.subject, target)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the facts as tensors; none without facts."""
        if not self._facts:
            return {}
        texts = [text for fact in self for text in fact[1:]]
        case_ids = torch.tensor([fact.case_id for fact in self])
        return {**encode_strings("facts", texts), "case_ids": case_ids}

    def state_bytes(self, num_edits: int) -> int:
        """Return about how many bytes the state of so many facts takes."""
        return num_edits * BYTES_OF_A_FACT

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        self._facts = {}
        if not state:
            return
        texts = iter(decode_strings("facts", state))
        for case_id in state["case_ids"].tolist():
            fact = Fact(case_id, next(texts), next(texts), next(texts))
            self._facts[fact.subject, fact.prompt] = fact


class Overlap(NamedTuple):
    """How much of a fact's text is in a prompt."""

    fact: Fact
    indexed: float
    """Share of the indexed text, from 0 to 1."""
    prompt: float
    """Share of the fact's own prompt."""


class LexicalIndex:
    """Finds the facts whose subject (or prompt) is written in a text, by character n-grams.

    An n-gram counts by how rare it is among the facts (inverse document frequency); the measure is
    the share of a fact's weight that is found in the text. Length and other words of the text do
    not matter: a fact's own prompt always has share 1.

    Args:
        facts: What can be found.
        by: `subject` or `prompt`: what must be in the text.
    """

    def __init__(self, facts: Facts, by: str) -> None:
        self._facts = list(facts)
        self._by = by
        self._indexed = [grams(getattr(fact, by)) for fact in self._facts]
        self._prompts = [grams(fact.prompt) for fact in self._facts]
        self._holders: dict[str, list[int]] = defaultdict(list)
        for number, each in enumerate(self._indexed):
            for gram in each:
                self._holders[gram].append(number)
        size = len(self._facts)
        self._weight = {gram: log(1 + size / len(held)) for gram, held in self._holders.items()}
        self._total = [sum(map(self._weight.__getitem__, each)) for each in self._indexed]

    def look_up(self, text: str, *, least: float, top: int) -> list[Overlap]:
        """Return the best facts for a text, the best last.

        Args:
            text: A prompt.
            least: Share of the indexed text that must be found.
            top: The most facts to return.
        """
        asked = grams(text)
        found: dict[int, float] = defaultdict(float)
        for gram in asked & self._weight.keys():
            for number in self._holders[gram]:
                found[number] += self._weight[gram]
        near = [
            (found[number] / self._total[number], self._share(number, asked), number)
            for number in sorted(found)
            # Sums in another order differ in their last digits.
            if found[number] >= (least - 1e-9) * self._total[number]
        ]
        # Of two facts about a subject the nearer prompt wins, of two equal ones the later.
        near.sort(key=lambda each: (round(each[0], 9), *each[1:]))
        return [Overlap(self._facts[number], *shares) for *shares, number in near[-top:]]

    def _share(self, number: int, asked: set[str]) -> float:
        own = self._prompts[number]
        return len(own & asked) / len(own)


def grams(text: str) -> set[str]:
    """Return the character n-grams of a text's words, each word with a space at either end.

    Example:
        >>> sorted(grams("He sings"))
        [' He ', ' sin', 'ings', 'ngs ', 'sing']
    """
    found = set()
    for word in text.split():
        padded = f" {word.strip(PUNCTUATION) or word} "
        found |= {padded[at : at + GRAM] for at in range(max(1, len(padded) - GRAM + 1))}
    return found
