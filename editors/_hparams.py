"""Hyper-parameters: defaults, values published for a model, values derived from its shape, yours.

`hparams/<editor>.yaml` has up to four blocks: `about` (what `seqedit-bench list editors` prints),
`defaults`, `models`: values by model name, each with its source, and `check`: what `seqedit-bench
check-editor` uses on its tiny models in place of derived values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from ..tasks.errors import InputError, unknown_name
from ._base import Editor, Hparams, ModelShape


class Resolved(NamedTuple):
    """Hyper-parameters ready for use, and where they come from."""

    hparams: Hparams
    source: str


def _load(editor: str) -> dict[str, Any]:
    path = files("seqedit_bench.editors") / "hparams" / f"{editor}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}


def about_editor(editor: str) -> dict[str, Any]:
    """Return what the editor's YAML says of it, or an empty mapping for other people's editors."""
    return _load(editor).get("about", {})


def _parse_overrides(editor: str, overrides: Sequence[str], known: Mapping[str, Any]) -> dict:
    values: dict[str, Any] = {}
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise InputError(f"--hparams {item!r}: write key=value")
        if key not in known:
            raise unknown_name(f"hyper-parameter of {editor}", key, known)
        try:
            values[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise InputError(f"--hparams {item!r}: the value is not YAML") from error
    return values


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
        editor: Registered name; its YAML, if there is one, gives defaults and published values.
        cls: The editor class; its `Hparams` checks the values.
        model_name: Hub id, folder or alias; its last part is looked up among the published.
        shape: Depth and widths, for values nobody has published.
        overrides: `key=value` strings, values in YAML.
        tiny: The model is one of `check-editor`'s: the `check` block goes over derived values.

    Raises:
        InputError: an unknown key, or a value the editor does not accept.
    """
    table = _load(editor)
    own = _parse_overrides(editor, overrides, cls.Hparams.model_fields)
    name = model_name.rstrip("/").rsplit("/", 1)[-1].lower()
    for known, entry in table.get("models", {}).items():
        if name in (known, *entry.get("names", [])):
            values, source = entry["values"], f"{known}: {entry['source']}"
            break
    else:
        values = cls.Hparams.derive(shape)
        source = (
            f"none published; derived from depth {shape.depth} and width {shape.d_ff}"
            if values
            else "defaults"
        )
    if tiny:
        values = {**values, **table.get("check", {})}
    if own:
        source += f"; set by hand: {', '.join(sorted(own))}"
    try:
        hparams = cls.Hparams.model_validate({**table.get("defaults", {}), **values, **own})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"hyper-parameter {field} of {editor}: {first['msg']}") from None
    return Resolved(hparams, source)
