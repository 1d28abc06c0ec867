"""Results in the shape that lm-evaluation-harness writes, for whatever reads that.

One file a run: `DIR/<model>__<editor>/results_<time>.json`. The model that the harness would have
seen is the edited one, so the editor is a part of its name. Values are those after the last edit;
of tasks about edits, means over all edits.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from .._files import write_whole
from ..compare.sources import Run
from ..results import Result, ResultError

NO_ERROR = "N/A"
"""What the harness writes where it has no standard error."""


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """What a task's file says."""

    version: float | None
    num_fewshot: int | None
    metrics: dict[str, bool]
    """Its metrics; whether more is better."""
    config: dict[str, Any] = field(default_factory=dict)
    """What else is plain data in it."""


@dataclass(frozen=True, slots=True)
class HarnessFacts:
    """What a result does not say of itself."""

    tasks: Mapping[str, TaskFacts]
    """Task files that are known; a task that is not among them has no version."""
    versions: Mapping[str, str]
    """Of `lm_eval` and of this package."""
    documents: Callable[[Result], Mapping[str, tuple[int, int]]]
    """Counts the documents of a result's tasks, as far as its data is here: all there are, and
    those that were asked."""


def write_harness(runs: Sequence[Run], known: HarnessFacts, folder: Path) -> list[Path]:
    """Write runs as the harness writes its results.

    Args:
        runs: What to write.
        known: What they do not say.
        folder: Where to.

    Raises:
        ResultError: a file cannot be written.
    """
    written: dict[Path, str] = {}
    for run in runs:
        when = _started(run.result)
        place = folder / sanitized(model_name(run.result))
        # The harness tells files apart by their time alone.
        while (path := place / f"results_{_stamp(when)}.json") in written:
            when += timedelta(microseconds=1)
        record = harness_record(run, known)
        written[path] = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    for path, text in written.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultError(f"{path.parent}: cannot be made: {error.strerror}") from None
        write_whole(path, text)
    return list(written)


def harness_record(run: Run, known: HarnessFacts) -> dict[str, Any]:
    """Return a run as the harness's `simple_evaluate` and its evaluation tracker would."""
    result, versions = run.result, known.versions
    found = {name: {"alias": name, **values} for name, values in _results(run, known.tasks).items()}
    tasks = {name: known.tasks[name] for name in sorted(found) if name in known.tasks}
    name = model_name(result)
    cost = result.cost
    return {
        "results": found,
        "group_subtasks": {task: [] for task in found},
        "configs": {task: {"task": task, **facts.config} for task, facts in tasks.items()},
        "versions": {
            task: facts.version for task, facts in tasks.items() if facts.version is not None
        },
        "n-shot": {
            task: facts.num_fewshot
            for task, facts in tasks.items()
            if facts.num_fewshot is not None
        },
        "higher_is_better": {task: facts.metrics for task, facts in tasks.items()},
        "n-samples": _documents(result, found, known),
        "config": _config(result),
        "git_hash": result.provenance.get("commit"),
        "date": _started(result).timestamp(),
        "lm_eval_version": versions.get("lm_eval"),
        "task_hashes": {},
        "model_source": "seqedit",
        "model_name": name,
        "model_name_sanitized": sanitized(name),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": False,
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": str(cost.seconds_evaluate),
        "seqedit_bench": _about(result, versions),
    }


def _results(run: Run, tasks: Mapping[str, TaskFacts]) -> dict[str, dict[str, Any]]:
    """Return values by task and `metric,filter`."""
    summary, protocol = run.result.summary, run.result.protocol
    found: dict[str, dict[str, Any]] = {}
    for task in protocol.each_edit:
        values = {}
        for metric in tasks[task].metrics if task in tasks else ():
            if metric in summary.immediate:
                values[f"{metric},none"] = summary.immediate[metric]
                values[f"{metric}_stderr,none"] = _standard_error(run, metric)
        if values:
            found[task] = values
    for task in protocol.checkpoint:
        values = {}
        for metric in tasks[task].metrics if task in tasks else ():
            kinds = summary.retention.get(metric) if "retention" in task else None
            for kind, value in (kinds or {}).items():
                name = metric if kind == "all_edits" else f"{metric}_{kind}"
                values[f"{name},none"] = _number(value)
                values[f"{name}_stderr,none"] = NO_ERROR
        if values:
            found[task] = values
    for task, metrics in summary.tasks.items():
        found[task] = {}
        for metric, when in metrics.items():
            name, _, filtered = metric.partition(",")
            found[task][f"{name},{filtered or 'none'}"] = _number(when.get("final"))
            found[task][f"{name}_stderr,{filtered or 'none'}"] = NO_ERROR
    return found


def _number(value: float | None) -> float | str:
    # What is not finite has no place in JSON, and is not to be taken for a measurement left out.
    return "N/A" if value is None else value


def _standard_error(run: Run, metric: str) -> float | str:
    """Return the standard error of a mean over edits, where single edits are known."""
    series = run.series.immediate.get(metric, []) if run.series else []
    known = [value for value in series if value is not None]
    if len(known) < 2:
        return NO_ERROR
    return statistics.stdev(known) / len(known) ** 0.5


def _documents(
    result: Result, tasks: Mapping[str, Any], known: HarnessFacts
) -> dict[str, dict[str, int]]:
    """Return how many documents a task has and how many were asked; nothing where not known."""
    return {
        task: {"original": every, "effective": asked}
        for task, (every, asked) in known.documents(result).items()
        if task in tasks
    }


def _config(result: Result) -> dict[str, Any]:
    return {
        "model": "seqedit",
        "model_args": json.dumps(_model_args(result)),
        "model_num_parameters": result.model.num_parameters,
        "model_dtype": result.model.dtype,
        "model_revision": result.model.revision or "",
        "model_sha": result.model.weights_sha256,
        # Rows are packed by tokens; facts given to the editor at a time are no batch of its.
        "batch_size": None,
        "batch_sizes": [],
        "device": _device(result),
        "use_cache": None,
        "limit": None,
        "bootstrap_iters": 0,
        "gen_kwargs": None,
        "random_seed": result.seed,
        "numpy_seed": result.seed,
        "torch_seed": result.seed,
        "fewshot_seed": 1234,
    }


def _model_args(result: Result) -> dict[str, Any]:
    """Return what `lm-eval --model seqedit --model_args` takes, as JSON, to make the model again.

    A folder of data or of a model, and an editor's own file, are named by whoever has them.
    """
    wrappers = result.editor.name.split("+")[:-1]
    hparams = {key: value for key, value in result.editor.hparams.items() if key not in wrappers}
    for wrapper in wrappers:
        own = result.editor.hparams.get(wrapper, {})
        hparams |= {f"{wrapper}.{key}": value for key, value in own.items()}
    return {
        "pretrained": result.model.name,
        "dtype": result.model.dtype,
        **({"trust_remote_code": True} if result.model.trust_remote_code else {}),
        "editor": result.editor.name,
        "hparams": hparams,
        "edits": result.data.edits,
        "data_source": result.data.source,
        "sample": result.data.sample,
        "num_edits": result.ending.edits_done,
        "edit_batch_size": result.protocol.batch_size,
        "seed": result.seed,
    }


def _device(result: Result) -> str | None:
    """Return torch's name of where a run was made.

    Older results have a GPU's own name or the machine's alone.
    """
    if isinstance(kind := result.provenance.get("device_type"), str):
        return kind
    named, platform = (str(result.provenance.get(key) or "") for key in ("device", "platform"))
    return ("cpu" if named in platform else "cuda") if named and platform else None


def _about(result: Result, versions: Mapping[str, str]) -> dict[str, Any]:
    """Return what the harness has no field for."""
    return {
        "version": versions.get("seqedit-bench"),
        "suite": result.suite.model_dump(mode="json"),
        "protocol": result.protocol.model_dump(mode="json"),
        "edit_batch_size": result.protocol.batch_size,
        "ending": result.ending.model_dump(mode="json"),
        "score": result.summary.immediate.get("s"),
        "unedited": {
            task: {metric: when.get("unedited") for metric, when in metrics.items()}
            for task, metrics in result.summary.tasks.items()
        },
    }


def model_name(result: Result) -> str:
    """Return the name of the edited model."""
    return f"{result.model.name}__{result.editor.name}"


def sanitized(name: str) -> str:
    r"""Return a name as a folder: what the harness does, and no way out of the parent folder.

    Example:
        >>> sanitized("EleutherAI/gpt-j-6b__rome"), sanitized("..")
        ('EleutherAI__gpt-j-6b__rome', '__')
    """
    name = re.sub(r"[\"<>:/|\\?*\[\]]+", "__", name)
    name = "".join(letter if letter.isprintable() else "_" for letter in name)[:150]
    return "_" * len(name) if not name.strip(". ") else name


def _started(result: Result) -> datetime:
    """Return when the run began; a run that does not say so began with the epoch."""
    try:
        found = datetime.fromisoformat(str(result.provenance.get("started")))
        zoned = found if found.tzinfo else found.replace(tzinfo=timezone.utc)
        return zoned.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return datetime.fromtimestamp(0, timezone.utc)


def _stamp(when: datetime) -> str:
    # As the harness does it: without a time zone, colons as dashes, microseconds always there.
    naive = when.replace(tzinfo=None)
    return naive.isoformat(timespec="microseconds").replace(":", "-")
