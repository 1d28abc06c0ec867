"""A model after edits, for lm-evaluation-harness: `lm_eval --model seqedit --model_args ...`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ..editors import get_editor, load_editor_file
from ..tasks import InputError
from ..tasks.cases import keep_tokenizer
from ..tasks.documents import source_from
from ..tasks.edits import load_stream
from .config import RunConfig
from .lm import SequentialEditLM
from .observer import Silent
from .ready import load_for, make_ready


class EditedLM(SequentialEditLM):
    """Loads a model, applies the first edits of a stream, and answers the harness.

    Args:
        pretrained: Hub id, folder or alias.
        editor: Registered name of the editor.
        num_edits: How many edits are made before anything is asked.
        edit_batch_size: Facts given to the editor at a time.
        hparams: Hyper-parameters to set by hand: `key=value`, several separated by `;`.
        edits: Edit stream.
        device: Torch device; a GPU where there is one.
        batch_size: The harness's own; has no effect, as rows are packed by tokens.
        max_batch_size: The same.
        arguments: Other fields of `RunConfig` (sample, seed, data_dir, dtype, cache_dir, ...).

    Raises:
        InputError: something named here is not there; says what.
    """

    def __init__(
        self,
        pretrained: str,
        editor: str = "none",
        num_edits: int = 0,
        edit_batch_size: int = 1,
        hparams: str = "",
        edits: str = "counterfact",
        device: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        **arguments: Any,
    ) -> None:
        # The harness says cuda:0 where the user says nothing; its own models take what is there.
        if device is not None and device.startswith("cuda") and not torch.cuda.is_available():
            device = None
        config = _config(
            model=pretrained,
            editor=editor,
            edits=edits,
            num_edits=num_edits or None,
            batch_size=edit_batch_size,
            hparams=tuple(part for part in hparams.split(";") if part),
            device=device,
            **arguments,
        )
        if config.editor_path is not None:
            load_editor_file(config.editor_path)
        editor_class = get_editor(config.editor)
        if config.batch_size > 1 and not editor_class.batched:
            raise InputError(f"editor {editor!r} takes one fact at a time: edit_batch_size=1")
        cases = ()
        if num_edits:
            source = source_from(
                config.data_source, str(config.data_dir) if config.data_dir else None
            )
            cases = load_stream(source, edits, sample=config.sample).cases
            if num_edits > len(cases):
                raise InputError(f"num_edits={num_edits}: {edits} has {len(cases)} edits here")
        loaded = load_for(config)
        # Tasks ask for it by this name, which may be an alias that no hub knows.
        keep_tokenizer(pretrained, loaded.tokenizer)
        instance, held = None, ExitStack()
        if num_edits:
            instance = make_ready(config, editor_class, loaded, Silent()).editor
            for start in range(0, num_edits, config.batch_size):
                batch = cases[start : min(start + config.batch_size, num_edits)]
                instance.edit([case.request for case in batch])
                loaded.model.eval()
            # Never left: nothing is edited any more.
            held.enter_context(instance.measured())
        super().__init__(loaded, seed=config.seed, editor=instance)
        self._held = held


def _config(**fields: Any) -> RunConfig:
    try:
        return RunConfig(**fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"model_args {first['loc'][0]}: {first['msg']}") from None
