"""Wrappers: editors made around another editor, `rect+memit` on the command line.

A wrapper is a class without a base; `compose` makes the class of one wrapper around one base, which
is an editor like any other. The wrapper holds an instance of its base and changes what goes in or
what comes out of it, never how it works.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import create_model

from ..tasks import EditRequest
from ..tasks.errors import InputError
from ..tasks.sources import file_sha256
from ._base import Editor, EditReport, Hparams, Progress, silent

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from ..tasks.tokenization import Tokenizer

_S = TypeVar("_S", bound=Hparams)


class Wrapper(Editor, Generic[_S]):
    """An editor around another; without a method of its own it is that other one."""

    name: ClassVar[str]
    """What stands before the `+`; also the field of `Hparams` with the wrapper's own settings."""
    Settings: ClassVar[type[Hparams]]
    """Hyper-parameters of the wrapper alone; every field has a default."""
    base_class: ClassVar[type[Editor]]
    """Set by `compose`."""

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
        super().__init__(
            model, tokenizer, hparams, seed=seed, cache_dir=cache_dir, progress=progress
        )
        self.settings: _S = getattr(hparams, self.name)
        # The composed Hparams are a subclass of the base's: it finds all it knows.
        self.base = self.base_class(
            model, tokenizer, hparams, seed=seed, cache_dir=cache_dir, progress=progress
        )

    @classmethod
    def misfit(cls, base: type[Editor]) -> str | None:
        """Return why this wrapper does not go around an editor class, or None if it does."""
        if base.kind != "weights":
            return f"{cls.name} wraps editors of kind 'weights', and this one is {base.kind!r}"
        return None

    @property
    def core(self) -> Editor:
        """The editor inside all wrappers."""
        return self.base.core if isinstance(self.base, Wrapper) else self.base

    def prepare(self) -> dict[str, Any]:
        self.base.weights_sha256 = self.weights_sha256
        record = self.base.prepare()
        code = inspect.getsourcefile(self.base_class)
        # A run keeps the digest of its editor's file; here that is only the wrapper's.
        own = {"base_code_sha256": file_sha256(Path(code)) if code else "", **self._prepare()}
        return {**record, self.name: own}

    def _prepare(self) -> dict[str, Any]:
        """Do the wrapper's own part, once the base is prepared; return what to record of it."""
        return {}

    def edited_parameters(self) -> list[str]:
        return self.base.edited_parameters()

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        return self.base.edit(requests)

    def measured(self) -> AbstractContextManager[None]:
        return self.base.measured()

    def state_dict(self) -> dict[str, Tensor]:
        return self.base.state_dict()

    def state_bytes(self, num_edits: int) -> int:
        return self.base.state_bytes(num_edits)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.base.load_state_dict(state)


def innermost(cls: type[Editor]) -> type[Editor]:
    """Return the editor class inside all wrappers."""
    return innermost(cls.base_class) if issubclass(cls, Wrapper) else cls


@functools.cache
def compose(wrapper: type[Wrapper[Any]], base: type[Editor]) -> type[Editor]:
    """Return the editor class of a wrapper around a base, the same one for the same two.

    Its hyper-parameters are the base's and one field more, the wrapper's own, under its name.

    Raises:
        InputError: they do not fit; says why, without the names.
    """
    if reason := wrapper.misfit(base):
        raise InputError(reason)
    if wrapper.name in base.Hparams.model_fields:
        raise InputError(f"its hyper-parameters have a field {wrapper.name!r} already")
    field: Any = (wrapper.Settings, wrapper.Settings())
    hparams = create_model(
        f"{wrapper.__name__}{base.Hparams.__name__}",
        __base__=base.Hparams,
        **{wrapper.name: field},
    )
    members = {
        "__module__": wrapper.__module__,
        "__doc__": f"{wrapper.__name__} around {base.__name__}.",
        "base_class": base,
        "kind": base.kind,
        "batched": base.batched,
        "needs": base.needs,
        "out_of_scope": base.out_of_scope,
        "Hparams": hparams,
    }
    return type(f"{wrapper.__name__}{base.__name__}", (wrapper,), members)
