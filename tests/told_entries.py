"""Entries out of a story of a run, for tests that look at boards: what a journal says of it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from made_entries import collapsed, submission, written
from records import changed, example, sha
from seqedit_bench.leaderboards.entry import Entry
from seqedit_bench.leaderboards.results import Result
from seqedit_bench.leaderboards.series import series_of
from seqedit_bench.leaderboards.summary import curves, summary

EVERY = 10


@dataclass(frozen=True, slots=True)
class Tale:
    """What happens in a made-up run of the leaderboard."""

    editor: str = "rome"
    sample: int = 1
    seed: int = 0
    num_edits: int = 60
    es: float = 0.95
    ps: float = 0.9
    ns: float = 0.8
    kept: float = 0.97
    """Share of exact edits that outlive ten further ones."""
    f1: float = 0.75
    """Downstream F1 at the end; 0.8 at the start, 1/3 is a constant answer's."""
    collapse: int | None = None
    seconds: float = 2.0
    kind: str = "weights"
    needs: tuple[str, ...] = ("subject",)
    hparams: dict[str, Any] = field(default_factory=lambda: {"layers": [5], "v_lr": 0.5})
    model: str = "tiny-gpt2"
    suite: str = "quick"
    team: str = "seqedit-bench"
    card: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of the result that are other than they come about: `provenance__dirty=True`."""


def made_entry(tale: Tale) -> Entry:
    """Tell a tale as an entry: what is in its summary and curves follows from its edits."""
    edits, checkpoints = _journal(tale)
    data = example()
    data["suite"] |= {"name": tale.suite}
    data["model"] |= {"name": tale.model, "weights_sha256": sha(tale.model)}
    data["editor"] |= {
        "name": tale.editor, "kind": tale.kind, "needs": list(tale.needs), "hparams": tale.hparams,
    }  # fmt: skip
    data["data"] |= {"sample": tale.sample, "case_ids_sha256": f"order {tale.sample}"}
    data["protocol"] |= {"num_edits": tale.num_edits, "checkpoint": {"retention": EVERY}}
    data["seed"] = tale.seed
    data["ending"]["edits_done"] = tale.num_edits
    data["cost"] |= {"seconds_edit": tale.seconds * tale.num_edits}
    data["provenance"] = {
        "started": f"2026-01-0{1 + tale.sample}T03:04:05",
        "device": "x86_64",
        "commit": "c0ffee",
        "dirty": False,
        "versions": {"seqedit-bench": "0.1.0", "torch": "2.13.0"},
    }
    drawn = curves(edits, checkpoints, "buckets")
    data["curves"] = drawn.model_dump()
    score = ("es", "ps", "ns")
    data["summary"] = summary(edits, checkpoints, [], drawn, score).model_dump()
    return Entry(
        run=f"s{tale.sample}-{tale.seed}-{sha(repr(tale))[:8]}",
        submission=submission(
            tale.editor, tale.team, **{"kind": tale.kind, "needs": list(tale.needs), **tale.card}
        ),
        result=Result.model_validate(changed(data, tale.changes)),
        series=series_of(edits, checkpoints),
        collapse=collapsed(tale.collapse),
    )


def write_entries(folder: Path, tales: list[Tale]) -> Path:
    """Write entries where they belong below a folder."""
    for tale in tales:
        written(made_entry(tale), folder)
    return folder


def _journal(tale: Tale) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    # Facts are as hard for one editor as for the other, as real ones are.
    facts, luck = random.Random(tale.sample), random.Random(repr((tale.editor, tale.sample)))
    edits: list[dict[str, Any]] = []
    checkpoints = [_checkpoint(tale, 0, [], [])]
    alive: list[bool] = []
    for number in range(1, tale.num_edits + 1):
        broken = tale.collapse is not None and number > tale.collapse
        hard = [0.7 * facts.random() + 0.3 * luck.random() for _ in range(8)]
        es = float(hard[0] < (0.4 if broken else tale.es))
        exact = float(not broken and es and hard[1] < 0.9)
        # What a hard fact falls short of in one editor it falls short of in all.
        metrics = {
            "es": es,
            "ps": sum(h < (0.4 if broken else tale.ps) for h in hard[2:4]) / 2,
            "ns": sum(h < (0.45 if broken else tale.ns) for h in hard[4:8]) / 4,
            "es_exact": exact,
            "es_nll_new": 1.5,
        }
        edits.append({"case_id": 100 * tale.sample + number, "metrics": metrics})
        alive.append(bool(exact))
        if number % EVERY == 0 or number == tale.num_edits:
            if broken:
                alive = [False] * number
            alive = [was and luck.random() < tale.kept for was in alive]
            checkpoints.append(_checkpoint(tale, number, edits, alive))
    return edits, checkpoints


def _checkpoint(
    tale: Tale, number: int, edits: list[dict[str, Any]], alive: list[bool]
) -> dict[str, Any]:
    broken = tale.collapse is not None and number > tale.collapse
    gone = number / tale.num_edits
    f1 = 0.31 if broken else 0.8 + (tale.f1 - 0.8) * gone
    unedited = {"es": 0.1, "ps": 0.15, "ns": 0.85, "es_exact": 0.0}
    tasks = {
        "sst2_ll": {"weighted_f1": f1, "constant_f1": 1 / 3, "acc": f1},
        # Nothing to lose: the unedited model does it no better than a constant answer.
        "cola_ll": {"weighted_f1": 0.35, "constant_f1": 1 / 3, "acc": 0.5},
        "heldout_perplexity": {"word_perplexity": 100.0 * (1e6 if broken else 1 + gone)},
    }
    distance = {"l2": 3.0 * gone, "l2_per_param": 1e-4 * gone, "l2_relative": 0.2 * gone}
    es = [
        edit["metrics"]["es"] if fact else edit["metrics"]["es"] * (not broken)
        for edit, fact in zip(edits, alive, strict=True)
    ]
    return {
        "edits": number,
        "edited": {"es": es, "es_exact": [float(fact) for fact in alive]},
        "tasks": tasks,
        "distance": {"layer.weight": distance},
        "baseline": [{**unedited} for _ in range(4)] if number == 0 else [],
    }
