"""An editor on fresh tiny models, and what can be seen of a model after some calls of `edit`."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..editors import Editor, EditReport, EditRequest, resolve_hparams
from ..editors._architecture import Architecture
from ..tasks.tokenization import encode, encode_pair
from .attempt import must_be_report
from .tiny_models import build_model, build_tokenizer

_STYLES = {"gpt2": "gpt2", "gptj": "gpt2", "llama": "sentencepiece"}
"""Tokenizers by family: byte-level without BOS, SentencePiece with BOS."""


def _fact(case_id: int, prompt: str, subject: str, target_new: str) -> EditRequest:
    return EditRequest.create(
        case_id=case_id, prompt=prompt, subject=subject, target_new=target_new
    )


MIDDLE = _fact(0, "The capital of {} is", "France", "Madrid in the south")
NORTH = _fact(0, "The capital of {} is", "France", "Madrid in the north")
START = _fact(1, "{} plays", "Pelé", "chess")
END = _fact(2, "The mother tongue of the singer {}", "Ana Maria", "Danish")
SHORT = _fact(3, "{} works in the city of", "He", "Lima")
"""Its subject is one token: without BOS nothing stands before it."""
FACTS = (MIDDLE, START, END, SHORT)


@dataclass(frozen=True, slots=True)
class Seen:
    """What can be seen of a model and its editor from outside."""

    tensors: dict[str, Tensor]
    """Copies of the parameters and buffers that were there before the editor, by name."""
    answers: dict[str, Tensor]
    """Logits of each fact's text and target, (tokens, vocabulary), by that text."""
    declared: tuple[str, ...]
    """What `edited_parameters` says; empty without an editor."""
    replaced: tuple[str, ...]
    """Names that no longer lead to the object that was there before the editor."""
    added: tuple[str, ...]
    """Names of parameters and buffers that were not there before the editor."""
    reports: tuple[EditReport, ...] = ()


class Attempt:
    """One fresh model, and the editor on it once `prepare` has been called."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.model = build_model(trial.family)
        self._live = self._tensors()
        self._editor: Editor | None = None
        self._reports: list[EditReport] = []

    def _tensors(self) -> dict[str, Tensor]:
        return dict([*self.model.named_parameters(), *self.model.named_buffers()])

    @property
    def editor(self) -> Editor:
        assert self._editor is not None, "prepare comes first"
        return self._editor

    def prepare(self, *, seed: int = 0) -> Attempt:
        """Make an editor on this model and prepare it."""
        trial = self.trial
        self._editor = trial.editor_class(
            self.model, trial.tokenizer, trial.hparams, seed=seed, cache_dir=trial.cache_dir
        )
        self._editor.prepare()
        return self

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        """Call the editor once, on a model in eval mode as the runner does."""
        self.model.eval()
        report = self.editor.edit(list(requests))
        must_be_report(report, self.editor)
        self._reports.append(report)
        return self._reports[-1]

    @torch.no_grad()
    def take_weights(self, source: Attempt) -> None:
        """Copy another attempt's weights into the model that is here."""
        for name, tensor in self._live.items():
            tensor.copy_(source._live[name])

    @torch.no_grad()
    def poison(self) -> None:
        """Put NaN into the declared parameters; into all, where none is declared."""
        for name in self.editor.edited_parameters() or [
            n for n, _ in self.model.named_parameters()
        ]:
            self.model.get_parameter(name).fill_(float("nan"))

    def see(self) -> Seen:
        """Look at everything at once."""
        now = self._tensors()
        return Seen(
            {name: tensor.detach().clone() for name, tensor in self._live.items()},
            {fact.text + fact.target_new: self._logits(fact) for fact in (*FACTS, NORTH)},
            tuple(self._editor.edited_parameters()) if self._editor else (),
            tuple(name for name, tensor in self._live.items() if now.get(name) is not tensor),
            tuple(name for name in now if name not in self._live),
            tuple(self._reports),
        )

    @torch.no_grad()
    def _logits(self, fact: EditRequest) -> Tensor:
        """Return the logits at the tokens of a fact's own text, asked as the LM wrapper asks."""
        tokenizer = self.trial.tokenizer
        pair = encode_pair(tokenizer, fact.text, fact.target_new)
        ids = own = encode(tokenizer, fact.text + fact.target_new)
        self.model.eval()
        if self._editor is not None and self._editor.kind == "hooks":
            self._editor.next_rows(torch.tensor([len(pair.context) - 1]))
        if self._editor is not None and self._editor.kind == "context":
            (texts,) = self._editor.context_for([fact.text], [fact.case_id])
            ids = encode(tokenizer, "".join(texts) + fact.text + fact.target_new)
        logits = self.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        return logits[-len(own) :]


class Trial:
    """An editor class on tiny models of one family.

    Args:
        name: The editor's registered name.
        editor_class: Its class.
        family: A family of `tiny_models`.
        cache_dir: Folder of what `prepare` may keep.
        overrides: Hyper-parameters as `key=value`.

    Raises:
        InputError: the hyper-parameters do not fit the editor.
    """

    def __init__(
        self,
        name: str,
        editor_class: type[Editor],
        family: str,
        *,
        cache_dir: Path,
        overrides: Sequence[str] = (),
    ) -> None:
        self.editor_class, self.family, self.cache_dir = editor_class, family, cache_dir
        self.tokenizer = build_tokenizer(_STYLES[family])
        attempt = Attempt(self)
        self.hparams = resolve_hparams(
            name,
            editor_class,
            model_name="tiny",
            shape=Architecture.of(attempt.model).shape(attempt.model),
            overrides=overrides,
            tiny=True,
        ).hparams
        self.unedited = attempt.see()
        self._seen: dict[tuple[tuple[EditRequest, ...], ...], Seen] = {}

    @property
    def in_weights(self) -> bool:
        """Whether edits live in the weights."""
        return self.editor_class.kind == "weights"

    def prepared(self, *, seed: int = 0) -> Attempt:
        """Return a fresh model with a prepared editor on it."""
        return Attempt(self).prepare(seed=seed)

    def after(self, *calls: Sequence[EditRequest]) -> Seen:
        """Return what is seen after these calls of `edit` on a fresh model; made only once."""
        key = tuple(tuple(requests) for requests in calls)
        if key not in self._seen:
            attempt = self.prepared()
            for requests in key:
                attempt.edit(requests)
            self._seen[key] = attempt.see()
        return self._seen[key]

    def effect(self, seen: Seen) -> dict[str, Tensor]:
        """Return where an edit of this kind must show: in the weights, or in the answers."""
        return seen.tensors if self.in_weights else seen.answers


def differing(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """Return the names under which two sets of tensors are not equal bit for bit; NaN equals NaN.

    Example:
        >>> differing({"a": torch.ones(2), "b": torch.ones(1)}, {"a": torch.ones(2)})
        ['b']
    """
    return [
        name
        for name, tensor in first.items()
        if name not in second
        or tensor.shape != second[name].shape
        or not torch.allclose(tensor, second[name], rtol=0, atol=0, equal_nan=True)
    ]


def distance(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Return the Euclidean distance between two sets of tensors with the same names.

    Example:
        >>> distance({"a": torch.zeros(2)}, {"a": torch.tensor([3.0, 4.0])})
        5.0
    """
    squares = [
        float((tensor.double() - second[name].double()).square().sum())
        for name, tensor in first.items()
    ]
    return sum(squares) ** 0.5


def random_states() -> dict[str, str]:
    """Return the state of every global random generator, to be compared."""
    _, keys, position, *_ = np.random.get_state()  # pyright: ignore[reportAssignmentType]
    return {
        "torch's": str(torch.random.get_rng_state().tolist()),
        "Python's": str(random.getstate()),
        "numpy's": f"{np.asarray(keys).tolist()} {position}",
    }


def disturb_random_states() -> None:
    """Put every global random generator somewhere else."""
    torch.manual_seed(4711)
    random.seed(4711)
    np.random.seed(4711)
