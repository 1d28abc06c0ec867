"""A model after edits, for lm-evaluation-harness: `lm_eval --model seqedit --model_args ...`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from ..editors import Editor, get_editor, load_editor_file
from ..tasks import EditCase, InputError
from ..tasks.cases import keep_tokenizer
from ..tasks.documents import source_from
from ..tasks.edits import load_stream
from .attempt import attempt
from .config import RunConfig, make_request
from .lm import SequentialEditLM
from .observer import Silent
from .ready import load_for, make_ready
from .snapshot import Snapshot

_LOGGER = logging.getLogger(__name__)
_TAKEN = {
    "editor_path",
    "sample",
    "seed",
    "data_source",
    "data_dir",
    "trust_remote_code",
    "dtype",
    "cache_dir",
}
"""Fields of a request that have a meaning here, under their own names."""


class EditedLM(SequentialEditLM):
    """Loads a model, applies the first edits of a stream, and answers the harness.

    Args:
        pretrained: Hub id, folder or alias.
        editor: Registered name of the editor.
        num_edits: How many edits are made before anything is asked.
        edit_batch_size: Facts given to the editor at a time.
        hparams: Hyper-parameters to set by hand: `key=value`, several separated by `;`, or by key.
        edits: Edit stream.
        device: Torch device; a GPU where there is one.
        batch_size: The harness's own; has no effect, as rows are packed by tokens.
        max_batch_size: The same.
        arguments: Other fields of `RunConfig`: those of `_TAKEN`.

    Raises:
        InputError: something named here is not there, or nothing would be done with it; says what.
    """

    def __init__(
        self,
        pretrained: str,
        editor: str = "none",
        num_edits: int = 0,
        edit_batch_size: int = 1,
        hparams: str | Mapping[str, Any] = "",
        edits: str = "counterfact",
        device: str | None = None,
        batch_size: int | str | None = None,
        max_batch_size: int | None = None,
        **arguments: Any,
    ) -> None:
        # The harness says cuda:0 where the user says nothing; its own models take what is there.
        if device is not None and device.startswith("cuda") and not torch.cuda.is_available():
            device = None
        config = _request(
            {
                "model": pretrained,
                "editor": editor,
                "edits": edits,
                "num_edits": num_edits or None,
                "batch_size": edit_batch_size,
                "hparams": tuple(part for part in hparams.split(";") if part)
                if isinstance(hparams, str)
                else hparams,
                "device": device,
            },
            arguments,
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
        instance = None
        if num_edits:
            instance = make_ready(config, editor_class, loaded, Silent()).editor
        super().__init__(loaded, seed=config.seed, editor=instance)
        self._held = ExitStack()
        if instance is not None:
            self._edit(instance, cases[:num_edits], config.batch_size)
            # Never left: nothing is edited any more.
            self._held.enter_context(instance.measured())

    def _edit(self, editor: Editor, cases: Sequence[EditCase], batch_size: int) -> None:
        """Make the edits as a run does, and say which of them could not be made.

        Raises:
            InputError: none could; the mistake is not theirs.
        """
        failed: dict[int, str] = {}
        for start in range(0, len(cases), batch_size):
            requests = [case.request for case in cases[start : start + batch_size]]
            editor.model.eval()
            before = Snapshot(editor)
            failed |= attempt(editor, requests, before=before, window=self.max_length).failed
            editor.model.eval()
        if len(failed) == len(cases):
            raise InputError(
                f"none of {len(cases)} edits could be made, the first because "
                f"{failed[cases[0].case_id]}"
            )
        for number, case in enumerate(cases, start=1):
            if (reason := failed.get(case.case_id)) is not None:
                _LOGGER.warning("edit %d could not be made: %s", number, reason)


def _request(fields: dict[str, Any], arguments: dict[str, Any]) -> RunConfig:
    """Put the request together.

    Args:
        fields: Those of `RunConfig` that have a name of their own here.
        arguments: Other fields.

    Raises:
        InputError: a field that nothing is done with, or a value that is not allowed.
    """
    if strange := sorted(set(arguments) - _TAKEN):
        raise InputError(
            f"model_args {strange[0]}: --model seqedit has no use for it (beside its own arguments "
            f"it takes {', '.join(sorted(_TAKEN))})"
        )
    config = make_request({**arguments, **fields}, lambda name: f"model_args {name}")
    if not config.num_edits and (config.editor != "none" or config.hparams):
        raise InputError(f"editor {config.editor!r} without num_edits would edit nothing")
    return config
