"""Runs to report on, one of them with a stranger's texts in every field."""

from __future__ import annotations

import dataclasses

import pytest

from reported import HOSTILE, named
from seqedit_bench.leaderboards.analysis.journal import RunJournal
from seqedit_bench.leaderboards.analysis.synthetic import Story, synthetic_run


@pytest.fixture(scope="session")
def runs() -> list[RunJournal]:
    """A run that edit 80 breaks, one that forgets, one that goes well."""
    stories = {
        "rome": Story(num_edits=160, broken_at=80, spikes={80: 300.0, 40: 20.0}),
        "ft_c": Story(num_edits=160, es=1.0, forgetting=0.1),
        "memit": Story(num_edits=120),
    }
    return [named(synthetic_run(story), name) for name, story in stories.items()]


@pytest.fixture(scope="session")
def hostile() -> RunJournal:
    """A run whose every text is markup."""
    run = synthetic_run(Story(num_edits=60, spikes={30: 50.0}))
    edits = [
        line.model_copy(
            update={
                "subject": HOSTILE,
                "prompt": f"{HOSTILE} {{}}",
                "target_new": HOSTILE,
                "target_true": HOSTILE,
                "relation_id": HOSTILE,
                "texts": {"counterfact_free": [f"{HOSTILE}\x1b[2J\u202e\u2028"]},
            }
        )
        for line in run.edits
    ]
    texts = {"generation": [{"prompt": HOSTILE, "text": HOSTILE}]}
    checkpoints = [
        line.model_copy(
            update={"texts": texts, "tasks": {f"{HOSTILE}_gen": line.tasks["sst2_gen"]}}
        )
        for line in run.checkpoints
    ]
    run = dataclasses.replace(run, edits=edits, checkpoints=checkpoints)
    model = {"name": HOSTILE, "dtype": HOSTILE, "weights_sha256": HOSTILE}
    return named(run, HOSTILE, model=model, provenance={HOSTILE: {HOSTILE: [HOSTILE]}})
