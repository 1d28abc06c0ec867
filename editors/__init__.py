"""Editors: methods that write facts into a language model."""

from ..tasks import EditRequest, RequestError
from ._base import Editor, EditReport, Hparams, ModelShape
from ._hparams import about_editor, own_editors, resolve_hparams
from ._registry import (
    available_editors,
    available_wrappers,
    get_editor,
    get_wrapper,
    load_editor_file,
    register_editor,
)

__all__ = [
    "EditReport",
    "EditRequest",
    "Editor",
    "Hparams",
    "ModelShape",
    "RequestError",
    "about_editor",
    "available_editors",
    "available_wrappers",
    "get_editor",
    "get_wrapper",
    "load_editor_file",
    "own_editors",
    "register_editor",
    "resolve_hparams",
]
