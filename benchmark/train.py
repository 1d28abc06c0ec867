"""`seqedit-bench train`: train what an editor needs, on facts that no benchmark run asks about."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from ..editors import get_editor, resolve_hparams
from ..editors._architecture import Architecture
from ..tasks import EditCase
from ..tasks.edits import FILES, STREAMS, load_stream
from ..tasks.errors import InputError, unknown_name
from ..tasks.sources import Source, read_records, recording
from ..tasks.yamltext import key_values
from .model import keep_in_float32, load_model
from .observer import Observer

HELD_BACK = 1000
"""Edits at the start of a stream that are never trained on: as many as the longest suite makes."""
SAMPLE = 1
"""The order whose start that is: the default of a run."""


SETS = {**FILES, "zsre": FILES["zsre"]._replace(names=("zsre_mend_train.json", "zsre.jsonl"))}
"""What can be trained on: files and how to read them."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Facts to train on, and others to validate with."""

    cases: tuple[EditCase, ...]
    validation: tuple[EditCase, ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    """Files with their digests, and what was kept back."""


def training_data(
    source: Source,
    names: Sequence[str],
    *,
    facts: int,
    validation: int,
    held_back: int = HELD_BACK,
    seed: int = 0,
) -> TrainingData:
    """Choose facts to train on, none about a subject that a benchmark run edits.

    Kept back are the subjects of the first `held_back` edits, in order 1, of every stream that
    the bundled data or this source has; of a stream whose own file is trained on, at most half.
    Facts with other wordings come first; which of them follows from the seed.

    Args:
        source: Where the files are.
        names: Keys of `SETS`.
        facts: How many to train on, at most.
        validation: How many more to validate with; at most a fifth of what is left.
        held_back: See above.
        seed: Seed of the choice.

    Raises:
        InputError: an unknown name, a missing file, or nothing left to train on.
    """
    for name in names:
        if name not in SETS:
            raise unknown_name("training data", name, SETS)
    with recording() as digests:
        paths = {name: source.require(*SETS[name].names) for name in names}
        trained = dict(digests)
    kept = _held_back_subjects(source, set(trained.values()), held_back)
    found = [
        case
        for name, path in paths.items()
        for case in _read(path, SETS[name].read)
        if case.request.subject.lower() not in kept
    ]
    random.Random(f"training data {seed}").shuffle(found)
    found.sort(key=lambda case: not case.paraphrase_prompts)
    found = _one_of_each_subject(found)
    many = min(validation, len(found) // 5)
    if not many:
        raise InputError(
            f"--data {','.join(names)}: {len(found)} facts are left to train on when those that a "
            f"run edits are kept back: name more data, or a smaller --hold-back than {held_back}"
        )
    chosen = found[: many + facts]
    provenance = {
        "data": list(names),
        "data_source": source.name,
        "files_sha256": trained,
        "held_back": {"edits": held_back, "sample": SAMPLE, "subjects": len(kept)},
        "facts": len(chosen) - many,
        "validation_facts": many,
    }
    return TrainingData(tuple(chosen[many:]), tuple(chosen[:many]), provenance)


def _read(path: Path, read: Callable[[Any, str, int], EditCase | None]) -> Iterator[EditCase]:
    for position, (where, record) in enumerate(read_records(path)):
        case = read(record, where, position)
        if case is not None:
            yield case


def _one_of_each_subject(cases: Sequence[EditCase]) -> list[EditCase]:
    seen: dict[str, EditCase] = {}
    for case in cases:
        seen.setdefault(case.request.subject.lower(), case)
    return list(seen.values())


def _held_back_subjects(source: Source, trained: set[str], held_back: int) -> set[str]:
    """Return lower-cased subjects; `trained` holds the digests of files that are trained on."""
    subjects: set[str] = set()
    for place in (Source("bundled"), source):
        for name in STREAMS:
            try:
                with recording() as read:
                    cases = load_stream(place, name, sample=SAMPLE).cases
            except InputError:
                continue  # not every place has every stream
            # The first file is the stream's own; another may only say the order.
            own = next(iter(read.values())) in trained
            many = min(held_back, len(cases) // 2) if own else held_back
            subjects |= {case.request.subject.lower() for case in cases[:many]}
    return subjects


class TrainingOutcome(NamedTuple):
    """What a command did."""

    path: Path
    """The file for runs to use; they find it by themselves."""
    lines: list[str]
    """What to tell the user."""


def train_editor(
    name: str,
    *,
    model: str,
    data: Sequence[str],
    data_dir: Path | None,
    data_source: str | None,
    steps: int,
    settings: Sequence[str],
    hparams: Sequence[str],
    held_back: int,
    restart: bool,
    trust_remote_code: bool = False,
    device: str | None,
    dtype: str = "float32",
    cache_dir: Path,
    from_pt: Path | None,
    observer: Observer,
) -> TrainingOutcome:
    """Train an editor's network on a model, or convert a published one.

    Args:
        name: The editor.
        model: Alias, hub id or folder.
        data: Keys of `SETS`.
        data_dir: Folder with the official data files.
        data_source: bundled, folder or hub.
        steps: Steps in all.
        settings: `key=value` of the editor's training settings.
        hparams: `key=value` of its hyper-parameters.
        held_back: See `training_data`.
        restart: Begin anew, whatever is there.
        trust_remote_code: Whether code that comes with the model may run.
        device: Torch device.
        dtype: Type of the model's weights, as runs will load them.
        cache_dir: Where the trained network is kept.
        from_pt: Convert this file instead of training.
        observer: Told about progress.

    Raises:
        InputError: a name, a file or a value is wrong, or the editor is not trained.
    """
    cls: Any = get_editor(name)
    if not hasattr(cls, "train"):
        raise InputError(f"editor {name!r} has nothing to train")
    values = _settings(cls.Training, settings)
    chosen = None
    if from_pt is None:
        chosen = training_data(
            Source.choose(data_source, data_dir),
            data,
            facts=values.facts,
            validation=values.validation_facts,
            held_back=held_back,
            seed=values.seed,
        )
    observer.note(f"loading {model}")
    loaded = load_model(
        model,
        device=device,
        dtype=dtype,
        cache_dir=cache_dir,
        trust_remote_code=trust_remote_code,
    )
    shape = Architecture.of(loaded.model).shape(loaded.model)
    resolved = resolve_hparams(name, cls, model_name=model, shape=shape, overrides=hparams)
    editor = cls(
        loaded.model,
        loaded.tokenizer,
        resolved.hparams,
        cache_dir=cache_dir,
        progress=observer.working,
    )
    editor.weights_sha256 = loaded.weights_sha256
    if from_pt is not None:
        return TrainingOutcome(editor.convert(from_pt, restart=restart), [f"converted {from_pt}"])
    assert chosen is not None
    keep_in_float32(loaded.model, editor.edited_parameters())
    observer.note(
        f"training on {len(chosen.cases)} facts, validating with {len(chosen.validation)}"
    )
    trained = editor.train(
        chosen.cases,
        chosen.validation,
        values,
        steps=steps,
        provenance=chosen.provenance,
        restart=restart,
        note=observer.note,
    )
    why = "no better for a while" if trained.patience else "the same command with more goes on"
    return TrainingOutcome(
        trained.path,
        [
            f"untrained        {trained.untrained.text()}",
            f"best (step {trained.best_step})  {trained.best.text()}",
            f"{trained.steps} steps ({why})",
        ],
    )


def _settings(cls: Any, items: Sequence[str]) -> Any:
    values = key_values("--training", items, "training setting", cls.model_fields)
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"training setting {first['loc'][0]}: {first['msg']}") from None
