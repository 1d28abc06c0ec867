"""The folder of a hunt: whose it is, and that no other goes on in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..tasks import InputError
from .journal import finite, write_whole

CONFIG = "config.json"


def claim(folder: Path, what: dict[str, Any]) -> None:
    """Make the folder of a hunt, or check that it is of this one.

    Raises:
        InputError: it holds something else, or cannot be made.
    """
    path, what = folder / CONFIG, as_json(what)
    try:
        if not path.exists():
            if folder.exists() and any(folder.iterdir()):
                raise InputError(f"output {folder} is there already: choose another --output")
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(what, indent=2) + "\n")
            return
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"output {folder}: {' '.join(str(error).split())}") from None
    if different := sorted(name for name in what if before.get(name) != what[name]):
        raise InputError(
            f"output {folder} holds a hunt with other {', '.join(different)}: "
            "choose another --output"
        )


def as_json(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record as it is read back."""
    return json.loads(json.dumps(finite(record)))
