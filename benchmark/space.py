"""How much disk a run needs, before it starts and while it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..editors import Editor
from ..tasks.errors import InputError
from .plan import Plan
from .saves import KEPT, STATE, save_bytes

EDIT_LINE = 4_000
"""Bytes of a line of `edits.jsonl`; 2,500 in runs of the suite quick."""
CHECKPOINT_LINE = 25_000
"""Bytes of a line of `checkpoints.jsonl` with its texts, edits asked again aside."""
CHECKPOINT_EDIT = 300
"""Bytes more for every edit asked again."""
REST = 2_000_000
"""Configuration, result, curves."""


def needed_bytes(
    plan: Plan, editor: Editor, weights: Mapping[str, Tensor], *, done: int = 0
) -> int:
    """Return about how much more a run will write, at the most at one time.

    Args:
        plan: The run.
        editor: Its editor, prepared.
        weights: The edited matrices.
        done: Edits that are made.
    """
    edits = len(plan.cases)
    # One save more than is kept, while it is written.
    saves = (KEPT + 1) * (save_bytes(weights) + editor.state_bytes(edits))
    shortest = min(plan.checkpoint.values(), default=edits)
    checkpoints = edits // shortest + 2
    journal = (edits - done) * EDIT_LINE + checkpoints * CHECKPOINT_LINE
    journal += checkpoints * (edits // 2) * CHECKPOINT_EDIT
    singles = len(plan.single.cases) if plan.single else 0
    return saves + journal + singles * EDIT_LINE + REST


def check_space(folder: Path, needed: int) -> None:
    """Refuse a run that its disk cannot hold.

    Args:
        folder: The run directory.
        needed: Bytes it will take.

    Raises:
        InputError: there is less; says how much.
    """
    free = shutil.disk_usage(folder).free
    there = sum(path.stat().st_size for path in (folder / STATE).rglob("*") if path.is_file())
    if free + there < needed:
        raise InputError(
            f"the run needs about {megabytes(needed)} in {folder} (three saves of the edited "
            f"matrices and the editor, and its journal), and {megabytes(free)} are free: "
            "make room, or choose another --output"
        )


def megabytes(size: int) -> str:
    """Return a size in MB, or in GB where it is large.

    Example:
        >>> megabytes(2_500_000), megabytes(31_000_000_000)
        ('3 MB', '31.0 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{-(-size // 1_000_000)} MB"
