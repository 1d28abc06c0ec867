"""YAML as data: plain values alone, and no key twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import yaml

from .errors import InputError, shown, unknown_name


class _Strict(yaml.SafeLoader):
    """The safe loader, which takes the later of two values of a key without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for at, key in enumerate(keys):
            if key in keys[:at]:
                raise ValueError(f"key {key!r} is there twice")
        return super().construct_mapping(node, deep=deep)


def parse_yaml(text: str) -> Any:
    r"""Decode a YAML text.

    Raises:
        ValueError: it is not YAML, or holds more than plain values; in one line.

    Example:
        >>> parse_yaml("a: [1, 2.5]")
        {'a': [1, 2.5]}
        >>> parse_yaml("a: 1\na: 2")
        Traceback (most recent call last):
        ...
        ValueError: key 'a' is there twice
    """
    try:
        return yaml.load(text, Loader=_Strict)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark
        where = f" (line {place.line + 1}, column {place.column + 1})" if place else ""
        raise ValueError(f"{_one_line(error.problem or str(error))}{where}") from None
    except Exception as error:  # dates, numbers and tags that mean nothing fail in many ways
        raise ValueError(_one_line(str(error)) or type(error).__name__) from None


def key_values(
    option: str, items: Sequence[str], kind: str, known: Iterable[str]
) -> dict[str, Any]:
    """Decode what an option was given: `key=value` texts, the values in YAML.

    Args:
        option: Its name, for messages.
        items: The texts; of a key that comes twice the later value holds.
        kind: What its keys are, for messages.
        known: The keys there are.

    Raises:
        InputError: one of them is not of that form, or its key is unknown.

    Example:
        >>> key_values("--hparams", ["lr=0.1", "layers=[3, 4]"], "setting", ["layers", "lr"])
        {'lr': 0.1, 'layers': [3, 4]}
    """
    values: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not equals:
            raise InputError(f"{option} {shown(item)}: write key=value")
        if key not in known:
            raise unknown_name(kind, key, known)
        try:
            values[key] = parse_yaml(text)
        except ValueError as error:
            raise InputError(f"{option} {shown(item)}: the value is not YAML: {error}") from None
    return values


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
