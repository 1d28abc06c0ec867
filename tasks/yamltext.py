"""YAML as data: plain values alone, and no key twice."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


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


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
