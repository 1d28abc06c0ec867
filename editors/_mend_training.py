"""Training of MEND's hypernetwork on a frozen model.

Loss of one fact: c_edit * NLL(target | its prompt and paraphrases, after the edit) + c_loc *
KL(before || after) on texts that the edit should leave alone (Mitchell et al. 2022, eq. 4). The
meta-gradient goes through the edited projections, computed as y + sum_t out_t (in_t x), so no
weight is ever copied.

What lies below the lowest edited layer never changes: its output is computed once for each text
and kept. Which facts make up a step follows from the seed and the step's number alone, so that a
training that was interrupted goes on exactly as it would have.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ..tasks.tokenization import Tokenizer, encode
from ._base import Progress, silent
from ._hypernetwork import Hypernetwork
from ._upper import LowRank, Text, Upper, mean_nll

_CHUNK = 16
"""Texts run together when states are computed once."""
_PROSE_TOKENS = 20
"""Length of plain texts: the published 200 would cost more than everything else."""


class TrainingSettings(BaseModel):
    """Settings of the training; defaults are for half an hour of one CPU core.

    Published (Mitchell et al. 2022): lr 1e-6, lr_lr 1e-4, c_loc 1, 10 facts a step, up to 100,000
    steps. Among our own short trainings of SmolLM2, c_loc 1 gave edits that always hold and spill
    over to nearly all neighbors, c_loc 5 fewer of both.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    facts: int = Field(800, ge=1)
    """Facts to train on, at most; those with other wordings first."""
    validation_facts: int = Field(48, ge=1)
    """Further facts to validate with."""
    batch_size: int = Field(8, ge=1)
    """Facts a step, each with an edit of its own."""
    lr: float = Field(5e-5, gt=0)
    """Adam's step size for the networks."""
    lr_lr: float = Field(1e-5, gt=0)
    """The same for the rates of the matrices."""
    c_edit: float = Field(0.1, ge=0)
    """Weight of the edit's own loss (published)."""
    c_loc: float = Field(2.5, ge=0)
    """Weight of the divergence elsewhere."""
    clip: float = Field(1.0, gt=0)
    """Largest norm of the meta-gradient; published 100."""
    warmup: int = Field(50, ge=0)
    """Steps over which step sizes rise to their values."""
    wordings: int = Field(2, ge=0)
    """Other wordings of a fact, at most."""
    local: int = Field(3, ge=0)
    """Texts that a fact's edit should leave alone, at most: its own, then prompts of other facts
    with the same relation."""
    prose: int = Field(1, ge=0)
    """Plain texts beside them."""
    validate_every: int = Field(50, ge=1)
    """Steps between validations; the state is saved then."""
    patience: int = Field(400, ge=1)
    """Stop after so many steps without a better validation loss."""
    seed: int = 0
    """Seed of the network's first weights and of the order of facts."""


class Example(NamedTuple):
    """One fact to train on, or to validate with."""

    edit: Text
    """Its prompt with the new target."""
    outer: tuple[Text, ...] = ()
    """Other wordings, with the new target."""
    local: tuple[Text, ...] = ()
    """Texts about something else, without labels."""
    true: Text | None = None
    """Its prompt with the old target, for validation."""


def prose_texts(tokenizer: Tokenizer) -> list[Text]:
    """Return the openings of the bundled prose, each read at a few places."""
    path = files("seqedit_bench.tasks") / "data" / "prose.txt"
    texts = []
    for document in path.read_text(encoding="utf-8").split("\n\n"):
        ids = tuple(encode(tokenizer, document)[:_PROSE_TOKENS])
        if len(ids) == _PROSE_TOKENS:
            texts.append(Text(ids, tuple(range(3, _PROSE_TOKENS, 4)), ()))
    return texts


class Scores(NamedTuple):
    """What single edits do to some facts, averaged."""

    loss: float
    """The training loss."""
    es: float
    """Share of facts whose new target is likelier than the old one, per token; NaN without."""
    exact: float
    """Share of facts whose new target's tokens are all the likeliest."""
    paraphrase: float
    """The same for other wordings."""
    locality: float
    """Share of local texts, read at their end, whose likeliest token stays."""
    kl: float
    """Mean KL divergence of local and plain texts."""

    def text(self) -> str:
        """Return the scores in one line.

        Example:
            >>> Scores(0.5, 1.0, 0.75, 0.5, 0.9, 0.01).text()
            'loss 0.500  ES 100  exact 75  paraphrases 50  locality 90  KL 0.010'
        """
        shares = {
            "ES": self.es,
            "exact": self.exact,
            "paraphrases": self.paraphrase,
            "locality": self.locality,
        }
        parts = [f"{name} {100 * share:.0f}" for name, share in shares.items()]
        return "  ".join([f"loss {self.loss:.3f}", *parts, f"KL {self.kl:.3f}"])


class Store:
    """States below the edited layers, and final ones before any edit, of a fixed set of texts.

    Texts are run in chunks of similar length that do not depend on who asks first: the same text
    always has the same bits.
    """

    def __init__(self, upper: Upper, texts: Sequence[Text], progress: Progress = silent) -> None:
        ordered = sorted(set(texts), key=lambda text: (len(text.ids), text))
        self._below: dict[Text, Tensor] = {}
        self._before: dict[Text, Tensor] = {}
        for start in range(0, len(ordered), _CHUNK):
            chunk = ordered[start : start + _CHUNK]
            below = upper.below(chunk)
            self._below.update(zip(chunk, below, strict=True))
            read = [text for text in chunk if not text.labels]
            if read:
                with torch.no_grad():
                    states = upper.reads(read, [self._below[text] for text in read])
                parts = states.split([len(text.reads) for text in read])
                self._before.update(
                    (text, part.clone()) for text, part in zip(read, parts, strict=True)
                )
            progress("hidden states", start + len(chunk), len(ordered))

    def below(self, texts: Sequence[Text]) -> list[Tensor]:
        """Return what enters the lowest edited layer."""
        return [self._below[text] for text in texts]

    def before(self, texts: Sequence[Text]) -> Tensor:
        """Return final states of the unedited model where texts without labels are read."""
        return torch.cat([self._before[text] for text in texts])


class _Outcome(NamedTuple):
    """A batch of facts, each under its own edit."""

    answers: list[Text]
    nll: Tensor
    """(answers,)"""
    hits: list[bool]
    """For each answer whether all its tokens are the likeliest."""
    kl: Tensor
    """(local texts,)"""
    same: list[bool]
    """For each local text that is not plain whether the likeliest token stayed at its end."""
    updates: dict[str, LowRank]


class Trainer:
    """Trains a hypernetwork.

    Args:
        upper: The model above the lowest edited layer; its parameters must be frozen.
        network: What is trained.
        examples: The facts to train on.
        validation: Others.
        prose: Plain texts, without labels.
        settings: Settings of the training.
        lr_scale: Factor on every edit, as the editor will use it.
        progress: Told about the states that are computed once.
    """

    def __init__(
        self,
        upper: Upper,
        network: Hypernetwork,
        examples: Sequence[Example],
        validation: Sequence[Example],
        prose: Sequence[Text],
        settings: TrainingSettings,
        *,
        lr_scale: float = 1.0,
        progress: Progress = silent,
    ) -> None:
        self.network, self.settings, self.step_done = network, settings, 0
        self._upper, self._examples, self._validation = upper, examples, validation
        self._prose, self._lr_scale = prose, lr_scale
        texts = list(prose)
        for example in (*examples, *validation):
            texts += [example.edit, *example.outer, *example.local]
            texts += [example.true] if example.true else []
        self._store = Store(upper, texts, progress)
        weights = [p for name, p in network.named_parameters() if name != "edit_lrs"]
        self.optimiser = torch.optim.Adam(
            [{"params": weights, "lr": 0.0}, {"params": [network.edit_lrs], "lr": 0.0}]
        )

    def normalise(self, progress: Progress = silent) -> None:
        """Fit the normalisers, once: the gradients of a frozen model do not change.

        The released code lets them run along with the training instead.
        """
        size = self.settings.batch_size
        for start in range(0, len(self._examples), size):
            edits = [example.edit for example in self._examples[start : start + size]]
            found, _ = self._upper.pieces(edits, self._store.below(edits))
            for matrix in self.network.matrices:
                self.network.observe(matrix, found[matrix.name])
            progress("normaliser", start + len(edits), len(self._examples))

    def step(self) -> float:
        """Make one step; return its loss."""
        settings = self.settings
        rise = min(1.0, (self.step_done + 1) / (settings.warmup + 1))
        for group, lr in zip(
            self.optimiser.param_groups, (settings.lr, settings.lr_lr), strict=True
        ):
            group["lr"] = lr * rise
        loss = self._loss(self._outcome(*self._batch(self.step_done)))
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        self.optimiser.step()
        self.step_done += 1
        return loss.item()

    @torch.no_grad()
    def validate(self) -> Scores:
        """Edit each validation fact alone and return what that does."""
        size = self.settings.batch_size
        losses: list[float] = []
        es: list[bool] = []
        exact: list[bool] = []
        wordings: list[bool] = []
        same: list[bool] = []
        kl: list[float] = []
        for start in range(0, len(self._validation), size):
            part = self._validation[start : start + size]
            outcome = self._outcome(part, [self._plain(start + i) for i in range(len(part))])
            losses += [self._loss(outcome).item()] * len(part)
            es += self._preferred(part, outcome)
            position = 0
            for example in part:
                end = position + 1 + len(example.outer)
                exact.append(outcome.hits[position])
                wordings += outcome.hits[position + 1 : end]
                position = end
            same += outcome.same
            kl += outcome.kl.tolist()
        return Scores(*map(_mean, (losses, es, exact, wordings, same, kl)))

    def _batch(self, step: int) -> tuple[list[Example], list[list[Text]]]:
        """Return the facts of a step, and the plain texts beside each."""
        size, count = self.settings.batch_size, len(self._examples)
        chosen = []
        for position in range(step * size, (step + 1) * size):
            epoch, place = divmod(position, count)
            order = list(range(count))
            random.Random(f"order {self.settings.seed} {epoch}").shuffle(order)
            chosen.append(self._examples[order[place]])
        return chosen, [self._plain(step * size + i) for i in range(size)]

    def _plain(self, position: int) -> list[Text]:
        many = min(self.settings.prose, len(self._prose))
        return random.Random(f"prose {self.settings.seed} {position}").sample(self._prose, many)

    def _outcome(self, examples: Sequence[Example], plain: Sequence[Sequence[Text]]) -> _Outcome:
        """Edit each fact alone, and look at all its texts under its edit."""
        edits = [example.edit for example in examples]
        found, _ = self._upper.pieces(edits, self._store.below(edits))
        rates = {m.name: self._lr_scale * self.network.rate(m) for m in self.network.matrices}
        updates = self.network.updates(found, rates)
        answers, local, owner, local_owner, is_own = [], [], [], [], []
        for fact, example in enumerate(examples):
            mine, others = [example.edit, *example.outer], [*example.local, *plain[fact]]
            answers += mine
            local += others
            owner += [fact] * len(mine)
            local_owner += [fact] * len(others)
            is_own += [True] * len(example.local) + [False] * len(plain[fact])
        after = self._read(answers + local, updates, owner + local_owner)
        count = sum(len(text.reads) for text in answers)
        labels = torch.tensor([label for text in answers for label in text.labels])
        hits = (after[:count].argmax(-1).cpu() == labels).split([len(t.labels) for t in answers])
        kl, same = after.new_zeros(0), []
        if local:
            before = self._upper.log_probs(self._store.before(local))
            every = (before.exp() * (before - after[count:])).sum(-1)
            # By text, not by position: one prompt counts as much as a piece of prose.
            kl = torch.stack([part.mean() for part in every.split([len(t.reads) for t in local])])
            stayed = (before.argmax(-1) == after[count:].argmax(-1)).tolist()
            ends = list(itertools.accumulate(len(text.reads) for text in local))
            same = [stayed[end - 1] for end, own in zip(ends, is_own, strict=True) if own]
        nll = mean_nll(answers, after[:count])
        return _Outcome(answers, nll, [bool(hit.all()) for hit in hits], kl, same, updates)

    def _read(
        self, texts: Sequence[Text], updates: dict[str, LowRank], owner: Sequence[int]
    ) -> Tensor:
        rows = torch.tensor(owner, device=self._upper.model.device)
        with self._upper.edited(updates, rows):
            return self._upper.log_probs(self._upper.reads(texts, self._store.below(texts)))

    def _loss(self, outcome: _Outcome) -> Tensor:
        loss = self.settings.c_edit * outcome.nll.mean()
        return loss + self.settings.c_loc * outcome.kl.mean() if len(outcome.kl) else loss

    def _preferred(self, examples: Sequence[Example], outcome: _Outcome) -> list[bool]:
        """Tell for each fact with an old target whether its new one is likelier after its edit."""
        asked = [(fact, text) for fact, e in enumerate(examples) if (text := e.true) is not None]
        if not asked:
            return []
        texts = [text for _, text in asked]
        after = self._read(texts, outcome.updates, [fact for fact, _ in asked])
        new = dict(zip(outcome.answers, outcome.nll.tolist(), strict=True))
        return [
            new[examples[fact].edit] < old
            for (fact, _), old in zip(asked, mean_nll(texts, after).tolist(), strict=True)
        ]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
