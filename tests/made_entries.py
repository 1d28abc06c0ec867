"""Entries out of the numbers of single edits, for tests that compute with these by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from records import changed, example
from seqedit_bench.leaderboards import Result
from seqedit_bench.leaderboards.compare.metrics import SCORES
from seqedit_bench.leaderboards.entry import Card, Collapse, Entry, Submission
from seqedit_bench.leaderboards.series import series_of
from seqedit_bench.leaderboards.summary import means

Values = Sequence[float | None]


def entry_of(
    editor: str = "rome",
    *,
    sample: int = 1,
    seed: int = 0,
    case_ids: Sequence[int] | None = None,
    kept: Mapping[str, Values] | None = None,
    at: int | None = None,
    asked: int | None = None,
    changes: dict[str, Any] | None = None,
    collapse: int | None = None,
    run: str | None = None,
    **metrics: Values,
) -> Entry:
    """Make an entry from values of single edits, its means consistent with them.

    Of a metric None is where an edit has none, NaN where it was not finite.
    """
    metrics = metrics or {"es": [1.0, 0.0, 1.0, 1.0]}
    edits = len(next(iter(metrics.values())))
    lines = [
        {"case_id": case_id, "metrics": _asked(metrics, place)}
        for place, case_id in enumerate(case_ids or range(100 * sample, 100 * sample + edits))
    ]
    done = [{"edits": at or edits, "edited": dict(kept or {})}]
    score = next((names for names in SCORES if all(name in metrics for name in names)), ())
    data = example()
    data["editor"]["name"] = editor
    data["data"]["sample"], data["seed"] = sample, seed
    data["protocol"]["num_edits"] = asked or edits
    data["ending"]["edits_done"] = edits
    data["journal_sha256"] = {"edits.jsonl": f"{editor} {sample} {seed} {run}"}
    data["summary"]["immediate"] = means(lines, score)
    left = {"instant": 0.5, "sticky": 0.25, "all_edits": 0.5}
    data["summary"]["retention"] = {name: left for name in kept or {}}
    data["curves"]["retention"] = {
        name: {"edits": [at or edits], **{kind: [value] for kind, value in left.items()}}
        for name in kept or {}
    }
    return Entry(
        run=run or f"{editor}-{sample}-{seed}",
        submission=submission(editor),
        result=Result.model_validate(changed(data, changes or {})),
        series=series_of(lines, done),
        collapse=collapsed(collapse),
    )


def _asked(metrics: Mapping[str, Values], place: int) -> dict[str, float | None]:
    found = {name: values[place] for name, values in metrics.items()}
    return {
        name: None if math.isnan(value) else value
        for name, value in found.items()
        if value is not None
    }


def submission(editor: str, team: str = "testers", **card: Any) -> Submission:
    """Return who submits an entry, and a card that says what the editor is."""
    about = {
        "name": editor[:300],
        "summary": f"what {editor} does"[:300],
        "paper": "Meng et al. 2022 (arXiv 2202.05262)",
        "code": None,
        "licence": None,
        "kind": "weights",
        "needs": [],
    }
    return Submission(team=team, paper=None, card=Card.model_validate(about | card))


def collapsed(edit: int | None) -> Collapse:
    """Return a collapse at an edit, or none."""
    return Collapse(type="none" if edit is None else "catastrophic", edit=edit)


def written(entry: Entry, folder: Path) -> Path:
    """Write an entry to its place below a folder."""
    path = folder / entry.place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(entry.to_json(), encoding="utf-8")
    return path
