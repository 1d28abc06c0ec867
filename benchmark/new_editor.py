"""`seqedit-bench new-editor`: a starting file that works and passes `check-editor`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from string import Template

from ..editors import available_editors, register_editor
from ..tasks.errors import InputError


def new_editor(name: str) -> Path:
    """Write `NAME.py` into the current folder and return its path.

    Raises:
        InputError: the name is taken or not allowed, or the file is there or cannot be written.
    """
    try:
        register_editor(name)  # checks the name; only the decorator it returns would register
    except ValueError as error:
        raise InputError(str(error)) from None
    if name in available_editors():
        raise InputError(f"there is an editor {name!r} already: choose another name")
    path = Path(f"{name}.py")
    template = Template(
        (files("seqedit_bench.benchmark") / "editor_template.txt").read_text(encoding="utf-8")
    )
    text = template.substitute(name=name, class_name=class_name(name))
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise InputError(f"{path} is there already: choose another name, or move it") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    return path


def class_name(name: str) -> str:
    """Return the name of an editor's class.

    Example:
        >>> class_name("my_editor2")
        'MyEditor2'
    """
    return "".join(part.capitalize() for part in name.split("_"))
