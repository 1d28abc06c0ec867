"""Names of editors, without importing them: lm-evaluation-harness's registry plus entry points.

`rect+memit` names an editor made on the spot: the wrapper `rect` around the editor `memit`. It is
looked up part by part and is in no list.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from lm_eval.api.registry import Registry

from ..tasks.errors import InputError, unknown_name
from ..tasks.sources import file_sha256
from ._base import Editor
from ._wrapper import Wrapper, compose

ENTRY_POINT_GROUP = "seqedit_bench.editors"

WRAPPERS = {"rect": "rect:RECT", "prune": "prune:PRUNE", "nas": "nas:NAS"}
"""Modules beside this one, and classes in them, of what can stand before a `+`."""

_registry: Any = Registry("editor", base_cls=Editor)
"""Maps names to editor classes; the harness's annotation speaks of instances."""

_files: dict[str, list[str]] = {}
"""Names that each editor file has registered, by the file's digest: a file runs once."""
_E = TypeVar("_E", bound=type[Editor])


def register_editor(name: str) -> Callable[[_E], _E]:
    """Register an editor class under the name users type.

    Raises:
        ValueError: the name is taken, or is not made of lower-case letters, digits and `_`.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"editor name {name!r}: use lower-case letters, digits and '_'")
    if name in WRAPPERS:
        raise ValueError(f"editor name {name!r} is taken by a wrapper")

    def register(cls: _E) -> _E:
        taken = _installed().get(name)
        if taken is not None and taken != f"{cls.__module__}:{cls.__qualname__}":
            raise ValueError(f"editor name {name!r} is taken by {taken}")
        _registry.register(name)(cls)
        return cls

    return register


def _installed() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=ENTRY_POINT_GROUP)}


def available_editors() -> list[str]:
    """Return the names of all editors: ours, other packages', and those loaded from files."""
    return sorted({*_installed(), *_registry.keys()} - set(WRAPPERS))


def available_wrappers() -> list[str]:
    """Return the names of what can stand before a `+`."""
    return list(WRAPPERS)


def get_editor(name: str) -> type[Editor]:
    """Return the class of an editor, importing only that one and the wrappers around it.

    Raises:
        InputError: no editor has this name, and says which come near; or a wrapper does not fit.
    """
    *wrappers, base = name.split("+")
    cls = _plain_editor(base)
    for wrapper in wrappers:
        if wrapper in available_editors():
            raise InputError(f"editor {name!r}: {wrapper} is no wrapper; the editor goes last")
        if wrapper not in WRAPPERS:
            raise unknown_name("wrapper", wrapper, WRAPPERS)
        if wrappers.count(wrapper) > 1:
            raise InputError(f"editor {name!r}: {wrapper} is there twice")
    inside = base
    for wrapper in reversed(wrappers):
        try:
            cls = compose(get_wrapper(wrapper), cls)
        except InputError as error:
            raise InputError(f"{wrapper} does not go around {inside}: {error}") from None
        inside = f"{wrapper}+{inside}"
    return cls


def get_wrapper(name: str) -> type[Wrapper[Any]]:
    """Return the class of one of `available_wrappers`, importing only that one."""
    module, _, attribute = WRAPPERS[name].partition(":")
    return getattr(importlib.import_module(f".{module}", __package__), attribute)


def _plain_editor(name: str) -> type[Editor]:
    if name in WRAPPERS:
        raise InputError(f"{name} is a wrapper: name the editor it goes around, as in {name}+memit")
    installed = _installed()
    if name not in _registry and name not in installed:
        if (file := Path(f"{name}.py")).is_file():
            raise InputError(f"unknown editor {name!r}: if {file} has it, add --editor-path {file}")
        raise unknown_name("editor", name, available_editors())
    if name not in _registry:
        module, _, attribute = installed[name].partition(":")
        try:
            cls = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise InputError(f"editor {name!r}: cannot load {installed[name]}: {error}") from error
        if name not in _registry:
            _registry.register(name)(cls)
    return _registry.get(name)


def load_editor_file(path: Path) -> list[str]:
    """Run a Python file that registers editors; return their names.

    The file is code and runs with your rights: read it before you use it.

    Raises:
        InputError: the file is missing, fails, or registers nothing.
    """
    if not path.is_file():
        raise InputError(f"editor file {path} is not there: check --editor-path")
    digest = file_sha256(path)
    if digest in _files:
        return _files[digest]
    before = set(_registry.keys())
    # Files of the same name are different modules: results have the digest of the right one.
    name = f"seqedit_editor_{path.stem}_{digest[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InputError(f"editor file {path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == spec.origin]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise InputError(f"editor file {where}: {type(error).__name__}: {reason}") from error
    added = sorted(set(_registry.keys()) - before)
    if not added:
        raise InputError(
            f"editor file {path} registers no editor: decorate it with register_editor"
        )
    _files[digest] = added
    return added
