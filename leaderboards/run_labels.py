"""What runs are called in one figure: by no more than tells them apart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .compare.rows import differing, in_words, short_names
from .results import Result

_Named = Sequence[tuple[Result, Path]]


def run_labels(runs: _Named) -> list[str]:
    """Return a label for each run: its editor; of several runs of one, the sample too.

    Where that is not enough the seed stands behind it, then the hyper-parameters in which these
    runs differ, then the folder.

    Args:
        runs: Results, and the path that each was read from.
    """
    labels = [result.editor.name for result, _ in runs]
    for part in (_samples, _seeds, _hparams, _folders):
        for label in {label for label in labels if labels.count(label) > 1}:
            places = [at for at, each in enumerate(labels) if each == label]
            texts = part([runs[at] for at in places])
            if part is _samples or len(set(texts)) > 1:
                for at, text in zip(places, texts, strict=True):
                    labels[at] = f"{label}, {text}" if text else label
    return labels


def _samples(runs: _Named) -> list[str]:
    return [f"sample {result.data.sample}" for result, _ in runs]


def _seeds(runs: _Named) -> list[str]:
    return [f"seed {result.seed}" for result, _ in runs]


def _hparams(runs: _Named) -> list[str]:
    return list(map(in_words, differing([result.editor.hparams for result, _ in runs])))


def _folders(runs: _Named) -> list[str]:
    """Return where runs lie; a result by another name than a run's has a name of its own."""
    paths = [path.parent if path.name == "leaderboard.json" else path for _, path in runs]
    return short_names(list(map(str, paths)))
