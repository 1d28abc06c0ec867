"""The board as data: every number with its interval and the files it is from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..canonical import canonical
from .rows import Row
from .standings import Ranked, Standing

BOARD_VERSION = 1


def board_json(standings: Sequence[Standing]) -> str:
    """Return the board as canonical JSON.

    `standings` holds one object a protocol: `suite`, `model`, `protocol` in words, and `rows`, best
    first. A row has `rank`, `tied`, `editor`, `label`, `hparams`, `kind`, `needs`, `teams`,
    `numbers` by column (`value`, `low`, `high`, `count`; shares are fractions, memory is in bytes),
    `edits_before_collapse` (`edits`, `collapsed`, one a run) and `entries` (`place`, `sha256`,
    `sample`, `seed`).
    """
    return canonical(
        {"board_version": BOARD_VERSION, "standings": [_standing(each) for each in standings]}
    )


def _standing(standing: Standing) -> dict[str, Any]:
    return {
        "suite": standing.suite,
        "model": standing.model,
        "protocol": standing.parts,
        "rows": [_row(each) for each in standing.ranked],
    }


def _row(ranked: Ranked) -> dict[str, Any]:
    row = ranked.row
    editor = row.first.result.editor
    return {
        "id": row.identity,
        "rank": ranked.rank,
        "tied": ranked.tied,
        "editor": row.editor,
        "label": row.label,
        "hparams": editor.hparams,
        "kind": editor.kind,
        "needs": editor.needs,
        "teams": row.teams,
        "numbers": {key: found.model_dump() for key, found in row.numbers.items()},
        "edits_before_collapse": [each._asdict() for each in row.survived],
        "entries": _entries(row),
    }


def _entries(row: Row) -> list[dict[str, Any]]:
    return [
        {
            "place": run.place,
            "sha256": run.sha256,
            "sample": run.entry.result.data.sample,
            "seed": run.entry.result.seed,
        }
        for run in row.runs
    ]
