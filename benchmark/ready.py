"""An editor made ready for a run: hyper-parameters put together, prepared on the unedited model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn
from transformers import PreTrainedModel

from ..editors import Editor, resolve_hparams
from ..editors._architecture import Architecture
from ..editors._hparams import Resolved
from ..tasks.errors import InputError, unknown_name
from .clock import Clock
from .config import RunConfig
from .model import LoadedModel, keep_in_float32, load_model
from .observer import Observer
from .random_state import seed_everything


class Ready(NamedTuple):
    """An editor that may begin, and what is known of it."""

    editor: Editor
    resolved: Resolved
    """Its hyper-parameters."""
    record: dict[str, Any]
    """What its preparation left on record."""
    clock: Clock
    """How long that took."""
    unedited: dict[str, nn.Parameter]
    """The model's parameters from before there was an editor, by name."""


def load_for(config: RunConfig) -> LoadedModel:
    """Load the model that a request names, as it says.

    Raises:
        InputError: it cannot be loaded.
    """
    return load_model(
        config.model,
        device=config.device,
        dtype=config.dtype,
        cache_dir=config.cache_dir,
        trust_remote_code=config.trust_remote_code,
    )


def make_ready(
    config: RunConfig, editor_class: type[Editor], loaded: LoadedModel, observer: Observer
) -> Ready:
    """Make an editor on a loaded model and prepare it.

    Raises:
        InputError: hyper-parameters that do not fit, or preparation that cannot be done.
    """
    resolved = resolve_hparams(
        config.editor,
        editor_class,
        model_name=config.model,
        shape=Architecture.of(loaded.model).shape(loaded.model),
        overrides=config.hparams,
    )
    observer.note(f"{config.editor} hyper-parameters: {resolved.source}")
    seed_everything(config.seed)
    unedited = dict(loaded.model.named_parameters())
    editor = editor_class(
        loaded.model,
        loaded.tokenizer,
        resolved.hparams,
        seed=config.seed,
        cache_dir=config.cache_dir,
        progress=observer.working,
    )
    editor.weights_sha256 = loaded.weights_sha256
    clock = Clock(loaded.model.device)
    with clock:
        record = editor.prepare()
        names = editor.edited_parameters()
        _must_exist(config.editor, names, loaded.model)
        keep_in_float32(loaded.model, names)
    # Whatever had to be computed and whatever was in the cache: edits begin at the same place.
    seed_everything(config.seed)
    return Ready(editor, resolved, record, clock, unedited)


def _must_exist(editor: str, names: Sequence[str], model: PreTrainedModel) -> None:
    known = dict(model.named_parameters())
    tied = dict(model.named_parameters(remove_duplicate=False))
    for name in names:
        if name in known:
            continue
        kind = f"parameter in edited_parameters of {editor}"
        if name not in tied:
            raise unknown_name(kind, name, list(known), shown=list(known)[:1])
        other = next(key for key, parameter in known.items() if parameter is tied[name])
        raise InputError(f"{kind}: {name} and {other} are one matrix here: call it {other}")
