"""Entries made of nothing but numbers: what each edit scored, and what is left of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from seqedit_bench.leaderboards import Result
from seqedit_bench.leaderboards.curves import harmonic_mean
from seqedit_bench.leaderboards.entry import Card, Collapse, Entry, Followed, Series, Submission

Values = Sequence[float | None]

_EXAMPLE = json.loads(
    (Path(__file__).parent / "leaderboards" / "result.json").read_text(encoding="utf-8")
)


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
    """Make an entry from values of single edits, its summary consistent with them."""
    metrics = metrics or {"es": [1.0, 0.0, 1.0, 1.0]}
    edits = len(next(iter(metrics.values())))
    data = copy.deepcopy(_EXAMPLE)
    data["editor"]["name"] = editor
    data["data"]["sample"], data["seed"] = sample, seed
    data["protocol"]["num_edits"] = asked or edits
    data["ending"]["edits_done"] = edits
    data["journal_sha256"] = {"edits.jsonl": f"{editor} {sample} {seed} {run}"}
    immediate = {
        name: fmean([value for value in values if value is not None])
        for name, values in metrics.items()
        if any(value is not None for value in values)
    }
    for names in (("es", "ps", "ns"), ("efficacy", "paraphrase", "specificity")):
        if all(name in immediate for name in names):
            immediate["s"] = harmonic_mean([immediate[name] for name in names])
    data["summary"]["immediate"] = immediate
    data["summary"]["retention"] = {
        name: {"instant": 0.5, "sticky": 0.25, "all_edits": 0.5} for name in kept or {}
    }
    data["curves"]["retention"] = {
        name: {
            "edits": [at or edits],
            "instant": [0.5],
            "sticky": [0.25],
            "all_edits": [0.5],
        }
        for name in kept or {}
    }
    for path, value in (changes or {}).items():
        *parents, last = path.split("__")
        place = data
        for key in parents:
            place = place[key]
        place[last] = value
    return Entry(
        run=run or f"{editor}-{sample}-{seed}",
        submission=Submission(
            team="testers",
            paper=None,
            card=Card(
                name=editor[:300],
                summary="an editor",
                paper="Meng et al. 2022 (arXiv 2202.05262)",
                code=None,
                licence=None,
                kind="weights",
                needs=[],
            ),
        ),
        result=Result.model_validate(data),
        series=Series(
            case_ids=list(case_ids or range(100 * sample, 100 * sample + edits)),
            immediate={name: list(values) for name, values in metrics.items()},
            retained={
                name: Followed(at=at or edits, values=list(values))
                for name, values in (kept or {}).items()
            },
        ),
        collapse=Collapse(type="none" if collapse is None else "catastrophic", edit=collapse),
    )


def written(entry: Entry, folder: Path) -> Path:
    """Write an entry to its place below a folder."""
    path = folder / entry.place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(entry.to_json(), encoding="utf-8")
    return path
