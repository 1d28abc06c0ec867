"""Pages that hold all they show: what strangers wrote is text in them, and only our script runs."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from importlib.resources.abc import Traversable

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ._letters import visible


def plain(text: object) -> str:
    """Replace what a page must not show: control characters, direction overrides.

    Example:
        >>> plain("a" + chr(27) + "[2J") == "a" + chr(0xFFFD) + "[2J"
        True
    """
    return visible(str(text), keep="\n\t")


def embedded(value: object) -> Markup:
    r"""Return JSON that can stand inside a script element: nothing in it ends the element.

    Example:
        >>> print(embedded(["</script>", "&"]))
        ["\u003c/script\u003e","\u0026"]
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def policy_hash(content: str) -> str:
    """Return what a page's content policy knows our script or style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def environment(*parts: str) -> Environment:
    """Return templates of some of our folders, the first one first; they escape what is put in."""
    made = Environment(
        loader=FileSystemLoader([str(_templates(part)) for part in parts]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["plain"] = plain
    return made


def template_file(part: str, name: str) -> str:
    """Return a style or a script that lies beside the templates of a folder."""
    return (_templates(part) / name).read_text("utf-8")


def _templates(part: str) -> Traversable:
    return files(f"seqedit_bench.leaderboards.{part}") / "templates"
