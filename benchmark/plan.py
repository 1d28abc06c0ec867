"""What a run will do: every name resolved and every file read, before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from ..editors import Editor, get_editor, load_editor_file
from ..leaderboards.results import SKIPPED
from ..tasks import EditCase, InputError
from ..tasks.edits import EditStream, load_stream
from ..tasks.errors import unknown_name
from ..tasks.sources import Source, recording
from .config import Mode, RunConfig
from .lmeval import TaskSet
from .model import locate_model
from .suite import Suite, load_suite


@dataclass(frozen=True, slots=True)
class SinglePlan:
    """Edits beside the sequence, with their tasks."""

    stream: EditStream
    cases: tuple[EditCase, ...]
    tasks: TaskSet
    names: list[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """A request with everything it names."""

    config: RunConfig
    suite: Suite
    editor_class: type[Editor]
    source: Source
    files_sha256: dict[str, str]
    """Digest of every data file read, by name."""
    stream: EditStream
    cases: tuple[EditCase, ...]
    """The edits to make, in order."""
    batch_size: int
    """Facts given to the editor at a time."""
    tasks: TaskSet
    checkpoint: dict[str, int]
    """Edits between measurements of each task: the suite's, and those asked for beside it."""
    single: SinglePlan | None
    started: datetime

    @property
    def output(self) -> Path:
        """The run directory."""
        return self.config.output_dir(self.suite.name, self.started)

    @property
    def mode(self) -> Mode:
        """How facts reach the editor, in the words of Gu et al. 2024 (RECT)."""
        if self.batch_size == 1:
            return "instance-sequential"
        return "batch-single" if self.batch_size == len(self.cases) else "batch-sequential"

    @property
    def score(self) -> list[str]:
        """Metrics whose harmonic mean is the score S of these edits."""
        return self.suite.score.get(self.stream.family, [])

    @property
    def not_measured(self) -> dict[str, str]:
        """Tasks that the suite has and this run leaves out, and why."""
        downstream = self.config.downstream
        asked = {*downstream}.union(*map(self.tasks.leaves_of, downstream))
        left_out = [name for name in self.config.skip if name not in asked]
        return {**self.tasks.skipped, **dict.fromkeys(left_out, SKIPPED)}

    @property
    def limits(self) -> dict[str, int]:
        """Documents asked of tasks that are not asked in full."""
        limit = self.config.downstream_limit
        return {name: limit for name in self.config.downstream} if limit else {}

    def due(self, done: int, before: int, *, last: bool = False) -> list[str]:
        """Return the tasks to ask after `done` edits, the last batch having begun at `before`.

        Args:
            done: Edits made so far.
            before: How many there were before the last batch.
            last: Whether no more follow, though more were asked for.
        """
        ends = last or done in (0, len(self.cases))
        names = [
            name
            for name, every in self.checkpoint.items()
            if ends or done // every > before // every
        ]
        return names + self.suite.start_end if ends else names


def make_plan(config: RunConfig) -> Plan:
    """Resolve a request; refuses all that can be refused without the model.

    Raises:
        InputError: a name is unknown, data is missing or malformed, or the parts do not fit.
    """
    whole = load_suite(config.suite)
    suite = whole.without(config.skip)
    if config.editor_path is not None:
        load_editor_file(config.editor_path)
    editor_class = get_editor(config.editor)
    if config.keep_model and editor_class.kind != "weights":
        raise InputError(
            f"--keep-model: {config.editor} keeps its edits beside the weights, which stay as they "
            "are: `seqedit-bench lm-eval --model seqedit` asks such a model"
        )
    locate_model(config.model, cache_dir=config.cache_dir)
    named = config.data_source or (None if config.data_dir else suite.data_source)
    source = Source.choose(named, config.data_dir)
    checkpoint = _checkpoint(config, suite)
    with recording() as digests:
        stream = load_stream(source, config.edits or suite.edits, sample=config.sample)
        num_edits = config.num_edits or suite.num_edits
        if num_edits > len(stream.cases):
            raise InputError(
                f"--num-edits {num_edits}: the stream {stream.name!r} of this data has "
                f"{len(stream.cases)} edits"
            )
        batch_size = _batch_size(config, num_edits)
        if batch_size > 1 and not editor_class.batched:
            raise InputError(f"editor {config.editor!r} takes one fact at a time: --batch-size 1")
        limit = config.downstream_limit
        tasks = TaskSet(
            sorted({*suite.each_edit, *checkpoint, *suite.start_end}),
            metadata=_metadata(config, source, stream, num_edits),
            include=include_folders(config),
            limits={name: limit for name in config.downstream} if limit else {},
        )
        single = _single(config, suite, source)
    if not (set(suite.each_edit) - set(tasks.empty)):
        raise InputError(
            f"suite {suite.name} asks nothing about {stream.name} edits: "
            f"none of {', '.join(suite.each_edit)} has documents for them"
        )
    _must_not_be_asked_already(config.downstream, suite, tasks)
    _must_be_about_edits(suite, "each_edit", suite.each_edit, tasks)
    _must_not_share_metrics(suite, "each_edit", suite.each_edit, tasks)
    later = [name for name in [*checkpoint, *suite.start_end] if tasks.about_edits(name)]
    _must_not_share_metrics(suite, "checkpoint and start_end", later, tasks, config.downstream)
    if single is not None:
        _must_be_about_edits(suite, "single_edit.tasks", single.names, single.tasks)
        _must_not_share_metrics(suite, "single_edit.tasks", single.names, single.tasks)
    # What is left out may have the metrics that are missing.
    if not {*config.skip, *tasks.skipped} & {*whole.each_edit}:
        _must_have_metrics(suite, stream.family, tasks)
    return Plan(
        config,
        suite,
        editor_class,
        source,
        digests,
        stream,
        stream.cases[:num_edits],
        batch_size,
        tasks,
        checkpoint,
        single,
        datetime.now(),
    )


def _must_not_be_asked_already(names: Sequence[str], suite: Suite, tasks: TaskSet) -> None:
    """Refuse what would have the suite's own tasks asked otherwise than the suite says.

    Raises:
        InputError: one of the names is, or stands for, such a task.
    """
    for name in names:
        for own in (*suite.checkpoint, *suite.start_end):
            if shared := tasks.leaves_of(name) & tasks.leaves_of(own):
                what = min(shared)
                among = "it" if what == name else f"its task {what}"
                raise InputError(
                    f"--downstream {name}: suite {suite.name} asks {among} already; "
                    f"--skip {own} has it asked as you say"
                )


def _must_be_about_edits(suite: Suite, key: str, names: Sequence[str], tasks: TaskSet) -> None:
    """Refuse tasks whose answers would be thrown away, for they belong to no edit.

    Raises:
        InputError: one of them is such a task.
    """
    for name in names:
        if not tasks.about_edits(name):
            raise InputError(
                f"suite {suite.name}: {key} names {name}, whose documents belong to no edit: "
                "checkpoint and start_end are for such tasks"
            )


def _must_not_share_metrics(
    suite: Suite, key: str, names: Sequence[str], tasks: TaskSet, downstream: Sequence[str] = ()
) -> None:
    """Refuse tasks that answer about an edit under the same name: one would hide the other.

    Args:
        suite: The suite.
        key: Where in it the tasks are named.
        names: The tasks.
        tasks: All tasks.
        downstream: Which of them the request names, not the suite.

    Raises:
        InputError: two of them do.
    """
    owner: dict[str, str] = {}
    for name in names:
        for metric in tasks.metrics_of(name) if name not in tasks.empty else ():
            if (other := owner.setdefault(metric, name)) == name:
                continue
            both = f"both have the metric {metric!r}, and an edit has one value of it"
            if asked := {name, other}.intersection(downstream):
                raise InputError(f"--downstream: {other} and {name} {both}: leave out {min(asked)}")
            raise InputError(
                f"suite {suite.name}: {other} and {name} in {key} {both}: rename it in one of them"
            )


def _must_have_metrics(suite: Suite, family: str, tasks: TaskSet) -> None:
    """Refuse a score that would never come about.

    Raises:
        InputError: no task that is asked after each edit has one of its metrics.
    """
    asked = [name for name in suite.each_edit if name not in tasks.empty]
    known = list(dict.fromkeys(metric for name in asked for metric in tasks.metrics_of(name)))
    for metric in suite.score.get(family, ()):
        if metric not in known:
            raise unknown_name(f"metric of score.{family} in suite {suite.name}", metric, known)


def _batch_size(config: RunConfig, num_edits: int) -> int:
    """Return how many facts a call brings.

    Raises:
        InputError: the mode and the batch size that were asked for contradict each other.
    """
    size = min(config.batch_size, num_edits)
    if config.mode == "batch-single" and size == 1:
        return num_edits
    fits = {
        None: True,
        "instance-sequential": size == 1,
        "batch-sequential": 1 < size < num_edits,
        "batch-single": size == num_edits,
    }
    if not fits[config.mode]:
        raise InputError(
            f"--mode {config.mode} does not go with --batch-size {config.batch_size} "
            f"and {num_edits} edits"
        )
    return size


def _metadata(
    config: RunConfig, source: Source, stream: EditStream, num_edits: int
) -> dict[str, object]:
    return {
        "data_source": source.name,
        "data_dir": str(config.data_dir) if config.data_dir else None,
        "edits": stream.name,
        "sample": config.sample,
        "num_edits": num_edits,
    }


def include_folders(config: RunConfig) -> list[str]:
    """Return the folders of further task files that a request names.

    Raises:
        InputError: one is not there.
    """
    if config.include_path is None:
        return []
    if not config.include_path.is_dir():
        raise InputError(f"task folder {config.include_path} is not there: check --include-path")
    return [str(config.include_path)]


def _checkpoint(config: RunConfig, suite: Suite) -> dict[str, int]:
    if (config.downstream_every or config.downstream_limit) and not config.downstream:
        raise InputError("--downstream-every and --downstream-limit need --downstream TASKS")
    shortest = min(suite.checkpoint.values(), default=config.num_edits or suite.num_edits)
    every = config.downstream_every or shortest
    return {**suite.checkpoint, **{name: every for name in config.downstream}}


def _single(config: RunConfig, suite: Suite, source: Source) -> SinglePlan | None:
    if suite.single_edit is None:
        return None
    wanted = suite.single_edit
    stream = load_stream(source, wanted.edits, sample=config.sample)
    cases = stream.cases[: wanted.num_edits]
    metadata = _metadata(config, source, stream, len(cases))
    tasks = TaskSet(wanted.tasks, metadata=metadata, include=include_folders(config))
    return SinglePlan(stream, cases, tasks, wanted.tasks)
