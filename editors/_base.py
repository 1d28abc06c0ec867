"""What an editor is: one class, one method that must be written."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..tasks import EditRequest

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from ..tasks.tokenization import Tokenizer

Kind = Literal["weights", "hooks", "context"]
Need = Literal["covariance", "training", "subject"]


class Progress(Protocol):
    """Where long preparation reports to."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


def silent(what: str, done: int, total: int) -> None:
    """Report progress to nobody."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """What hyper-parameters can be derived from when nobody has published any for a model."""

    depth: int
    """Number of decoder layers."""
    d_model: int
    """Width of the residual stream."""
    d_ff: int
    """Width of the MLP's inner layer: the length of a key."""


def _rising(layers: list[int]) -> list[int]:
    if any(after <= before for before, after in itertools.pairwise(layers)):
        raise ValueError(f"{layers}: name each layer once, from the lowest up")
    return layers


Layers = Annotated[list[int], Field(min_length=1), AfterValidator(_rising)]
"""Several layers: editors go through them from the lowest up, and change each once."""


class Hparams(BaseModel):
    """Hyper-parameters of an editor: declare fields, unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        """Return values for a model without published ones; merged over the defaults."""
        return {}


@dataclass(frozen=True, slots=True)
class EditReport:
    """What one call of `Editor.edit` did, for the analysis of the run."""

    per_request: tuple[dict[str, float], ...] = ()
    """For each request in order: losses, steps, norms, by name; may be empty."""
    update_norms: dict[str, float] = field(default_factory=dict)
    """Frobenius norm of this call's change of each parameter, by parameter name."""


class Editor(ABC):
    """A method that writes facts into a model, one call after another.

    `edit` works in place and accumulates; only the runner takes snapshots and restores them.
    Subclasses are final: to vary a method, compose it from the shared pieces.

    Args:
        model: The live model. It is in eval mode whenever the editor is called.
        tokenizer: Its fast tokenizer.
        hparams: An instance of the class's `Hparams`.
        seed: Seed of everything random in the editor.
        cache_dir: Folder for what `prepare` computes and later runs can reuse.
        progress: Called by long preparation.
    """

    kind: ClassVar[Kind] = "weights"
    """Whether edits live in the weights, in hooks, or in the prompt."""
    batched: ClassVar[bool] = False
    """Whether `edit` takes more than one request."""
    needs: ClassVar[frozenset[Need]] = frozenset()
    """What must be there before the first edit."""
    shares_prefixes: bool = True
    """Kind `hooks`: whether all before a prompt's last token stays as it is, so that rows which
    begin alike may run it once."""
    out_of_scope: ClassVar[dict[str, str]] = {}
    """Checks of `seqedit-bench check-editor` that do not apply, each with the reason."""
    Hparams: ClassVar[type[Hparams]] = Hparams

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        hparams: Hparams,
        *,
        seed: int = 0,
        cache_dir: Path,
        progress: Progress = silent,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.hparams = hparams
        self.seed = seed
        self.cache_dir = cache_dir
        self.progress = progress

    @cached_property
    def weights_sha256(self) -> str:
        """Digest of the unedited model's weights, by which caches know it.

        A run sets it to the digest of the model as loaded.
        """
        from ._fingerprint import weights_sha256

        return weights_sha256(self.model)

    def prepare(self) -> dict[str, Any]:
        """Compute, on the unedited model, what edits need; return what the run records of it."""
        return {}

    def edited_parameters(self) -> list[str]:
        """Return the names of parameters that edits change; the runner keeps their originals."""
        return []

    @abstractmethod
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        """Write these facts into the live model, in place, on top of all earlier edits.

        Raises:
            RequestError: one of them cannot be edited; says which.
            InputError: the call cannot be done. In either case the runner puts weights and state
                back to what they were before it.
        """

    def measured(self) -> AbstractContextManager[None]:
        """Hold the weights that measurements see, where they differ from what edits build on."""
        return nullcontext()

    def next_rows(self, ends: Tensor | None) -> None:  # noqa: B027 (most editors need not listen)
        """Hear which rows the model runs next; for editors of kind `hooks`.

        The LM wrapper says so before each forward pass, so that no editor must guess from pads,
        labels or the last edit where a prompt ends. Passes that nobody announces are not part of
        a measurement.

        Args:
            ends: (rows,), column of each row's last prompt token in the pass that comes; -1 where
                it is not in that pass (a prefix that rows share). None: the rows of the last pass
                go on by a token each; what was decided for a row holds for its whole generation.
        """

    def hit_rows(self) -> list[bool]:
        """Return which rows of the last announced pass hooks act on; empty if it cannot say."""
        return []

    def context_for(
        self, prompts: Sequence[str], case_ids: Sequence[int | None]
    ) -> list[list[str]]:
        """Return texts to put before each prompt, for editors of kind `context`.

        The LM wrapper puts them before the prompt as they are (line breaks are theirs), and drops
        from the front what does not fit the model's context window.

        Args:
            prompts: Everything before the continuation that is scored or generated.
            case_ids: The record that asks, where there is one; only an oracle may look.

        Returns:
            For each prompt its texts, the most important last.
        """
        return [[] for _ in prompts]

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the editor remembers between edits, besides the weights."""
        return {}

    def state_bytes(self, num_edits: int) -> int:
        """Return about how many bytes `state_dict` takes after so many edits, at the most.

        A run is refused if its saves would not fit the disk. Editors whose memory grows say how it
        does; without a word it stays as large as it is now.
        """
        return sum(tensor.nbytes for tensor in self.state_dict().values())

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, got {sorted(state)}")
