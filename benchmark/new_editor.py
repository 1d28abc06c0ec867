"""`seqedit-bench new-editor`: a starting file that works and passes `check-editor`, and a card."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template
from typing import NamedTuple

from ..editors import available_editors, register_editor
from ..tasks.errors import InputError


class Written(NamedTuple):
    """The two files of an editor."""

    code: Path
    card: Path
    """What it is, for the leaderboard."""


def new_editor(name: str) -> Written:
    """Write `NAME.py` and its card, `NAME.yaml`, into the current folder.

    Raises:
        InputError: the name is taken or not allowed, or a file is there or cannot be written.
    """
    try:
        register_editor(name)  # checks the name; only the decorator it returns would register
    except ValueError as error:
        raise InputError(str(error)) from None
    if name in available_editors():
        raise InputError(f"there is an editor {name!r} already: choose another name")
    written = Written(Path(f"{name}.py"), Path(f"{name}.yaml"))
    for path in written:
        if path.exists():
            raise InputError(f"{path} is there already: choose another name, or move it")
    for path, template in zip(written, ("editor_template.txt", "card_template.txt"), strict=True):
        text = (files("seqedit_bench.benchmark") / template).read_text(encoding="utf-8")
        _write(path, Template(text).substitute(name=name, class_name=class_name(name)))
    return written


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError(f"{path} is there already: choose another name, or move it") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def class_name(name: str) -> str:
    """Return the name of an editor's class.

    Example:
        >>> class_name("my_editor2")
        'MyEditor2'
    """
    return "".join(part.capitalize() for part in name.split("_"))
