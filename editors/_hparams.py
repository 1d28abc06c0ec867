"""Hyper-parameters: defaults, values published for a model, values derived from its shape, yours.

`hparams/<editor>.yaml` has up to four blocks: `about` (what `seqedit-bench list editors` prints),
`defaults`, `models`: values by model name, each with its source, and `check`: what `seqedit-bench
check-editor` uses on its tiny models in place of derived values.

Those of `rect+memit` are memit's and, in a field `rect` of their own, the wrapper's: each is put
together from its own file, and `rect.keep=0.3` sets one of the latter.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from ..tasks.errors import InputError
from ..tasks.yamltext import key_values
from ._base import Editor, Hparams, ModelShape


class Resolved(NamedTuple):
    """Hyper-parameters ready for use, and where they come from."""

    hparams: Hparams
    source: str


def _load(editor: str) -> dict[str, Any]:
    path = files("seqedit_bench.editors") / "hparams" / f"{editor}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}


def own_editors() -> list[str]:
    """Return the names of the editors and wrappers of this project: those with a YAML here."""
    folder = files("seqedit_bench.editors") / "hparams"
    return sorted(Path(each.name).stem for each in folder.iterdir() if each.name.endswith(".yaml"))


def about_editor(editor: str) -> dict[str, Any]:
    """Return what the editor's or wrapper's YAML says, or nothing for other people's editors."""
    return _load(editor).get("about", {})


def resolve_hparams(
    editor: str,
    cls: type[Editor],
    *,
    model_name: str,
    shape: ModelShape,
    overrides: Sequence[str] = (),
    tiny: bool = False,
) -> Resolved:
    """Put an editor's hyper-parameters together for one model.

    Args:
        editor: Its name; its YAML, if there is one, gives defaults and published values.
        cls: The editor class; its `Hparams` checks the values.
        model_name: Hub id, folder or alias; its last part is looked up among the published.
        shape: Depth and widths, for values nobody has published.
        overrides: `key=value` strings, values in YAML.
        tiny: The model is one of `check-editor`'s: the `check` block goes over derived values.

    Raises:
        InputError: an unknown key, or a value the editor does not accept.
    """
    *wrappers, base = editor.split("+")
    settings: dict[str, Any] = {
        wrapper: cls.Hparams.model_fields[wrapper].annotation for wrapper in wrappers
    }
    known = [field for field in cls.Hparams.model_fields if field not in settings]
    known += [f"{name}.{key}" for name, each in settings.items() for key in each.model_fields]
    own = key_values("--hparams", overrides, f"hyper-parameter of {editor}", known)
    values, source = _chosen(base, cls.Hparams, model_name, shape, tiny=tiny)
    for wrapper, own_class in settings.items():
        values[wrapper], where = _chosen(wrapper, own_class, model_name, shape, tiny=tiny)
        source += f"; {wrapper}: {where}"
    for key, value in own.items():
        wrapper, _, field = key.rpartition(".")
        (values[wrapper] if wrapper else values)[field] = value
    if own:
        source += f"; set by hand: {', '.join(sorted(own))}"
    try:
        hparams = cls.Hparams.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"hyper-parameter {field} of {editor}: {first['msg']}") from None
    return Resolved(hparams, source)


def _chosen(
    name: str, hparams: type[Hparams], model_name: str, shape: ModelShape, *, tiny: bool
) -> tuple[dict[str, Any], str]:
    """Return the values of one editor or wrapper for a model, and where they come from."""
    table = _load(name)
    model = Path(model_name).absolute().name.lower()  # `.` has none of its own
    for known, entry in table.get("models", {}).items():
        if model in (known, *entry.get("names", [])):
            values, source = entry["values"], f"{known}: {entry['source']}"
            break
    else:
        values = hparams.derive(shape)
        source = (
            f"none published; derived from depth {shape.depth} and width {shape.d_ff}"
            if values
            else "defaults"
        )
    checked = table.get("check", {}) if tiny else {}
    return {**table.get("defaults", {}), **values, **checked}, source
