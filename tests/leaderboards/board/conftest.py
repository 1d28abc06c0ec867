"""Entries to rank, some of them a stranger's."""

from __future__ import annotations

from pathlib import Path

import pytest

from reported import HOSTILE
from told_entries import Tale, write_entries

COVARIANCE = ("covariance", "subject")
TALES = [
    *(
        Tale("memit", sample, ps=0.98, ns=0.9, kept=1.0, needs=COVARIANCE, seconds=4.0)
        for sample in (1, 2)
    ),
    *(Tale("rome", sample, collapse=40, needs=COVARIANCE, f1=0.6) for sample in (1, 2)),
    Tale("ft", ps=0.3, ns=0.6, kept=0.8, needs=(), seconds=3.0),
    Tale("grace", ps=0.05, ns=0.99, kept=1.0, kind="hooks", needs=(), f1=0.8, team="Else where"),
    Tale("mend", needs=("training",), ps=0.6, ns=0.5, model="gpt-j-6b", suite="clean"),
    Tale("memit", needs=COVARIANCE, model="gpt-j-6b", suite="clean"),
]
NASTY = f"{HOSTILE}\x1b[2J\u202e\u2028" + "long" * 40
HOSTILE_TALE = Tale(
    NASTY[:250],
    team=NASTY[:280],
    model=HOSTILE,
    suite=HOSTILE,
    needs=(HOSTILE, '"quoted"'),
    hparams={HOSTILE: [HOSTILE], 'a"b': "javascript:alert(1)", "=cmd()": None},
    card={
        "summary": NASTY[:280],
        "paper": "javascript:window.hacked=1",
        "code": "https://example.org/'onmouseover='window.hacked=1'?<b>&\"q\"",
        "licence": HOSTILE,
    },
    changes={
        "provenance": {"started": HOSTILE, HOSTILE: {HOSTILE: HOSTILE}},
        "model__dtype": HOSTILE,
        "editor__hparams_source": HOSTILE,
        "editor__prepared": {HOSTILE: HOSTILE},
        "data__edits": HOSTILE,
    },
)


@pytest.fixture(scope="session")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight entries of two protocols."""
    return write_entries(tmp_path_factory.mktemp("entries"), TALES)


@pytest.fixture(scope="session")
def hostile_entries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two entries whose every text is markup; the second differs in its settings."""
    folder = tmp_path_factory.mktemp("hostile")
    return write_entries(folder, [HOSTILE_TALE, Tale(HOSTILE_TALE.editor, model=HOSTILE)])
