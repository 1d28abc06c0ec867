"""`verify --replay`: the first edits of an entry made again, from nothing but the entry.

The unedited model, the editor and its settings are put together from the entry; each edit is then
made and measured as the run did it, without checkpoints, which change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from ..editors import Editor, available_editors, resolve_hparams
from ..editors._architecture import Architecture
from ..leaderboards.canonical import rounded
from ..leaderboards.entry import Entry
from ..leaderboards.results import Result
from ..leaderboards.verify import Check
from ..tasks import EditCase, InputError
from ..tasks.sources import data_folder
from .attempt import attempt
from .changes import keep_threads
from .config import RunConfig
from .journal import finite
from .lm import SequentialEditLM
from .model import LoadedModel
from .observer import Observer
from .options import make_config
from .plan import Plan, make_plan
from .ready import Ready, load_for, make_ready
from .record import describe
from .rerun import TEMPLATES, put_back_templates
from .scorable import refuse_unscorable
from .snapshot import Snapshot
from .suite import load_suite
from .tolerance import compared_values

Values = dict[str, float | None]
_SAME = ("versions", "platform", "device", "cpu", "threads")
"""What of a machine must be equal for numbers to come out the same to the last bit."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are on this machine; None asks for the usual place."""

    data_dir: Path | None = None
    device: str | None = None
    cache_dir: Path | None = None
    editor_path: Path | None = None
    model: str | None = None
    trust_remote_code: bool = False


def again(entry: Entry, count: int, places: Places, observer: Observer) -> list[Check]:
    """Make the first edits of an entry again and compare every metric of each.

    Where data or model are others than the entry's no edit is made: numbers would mean nothing.

    Args:
        entry: The entry; its lists fit each other.
        count: Edits to make; a batch is made as a whole.
        places: Where things are here.
        observer: Told how far this has come.

    Raises:
        InputError: the entry cannot be made again here; says why, and what to do.
    """
    result = entry.result
    if count > result.ending.edits_done:
        raise InputError(f"--replay {count}: the entry has {result.ending.edits_done} edits")
    plan = make_plan(_request(entry, _whole_batches(result, count), places))
    keep_threads({"provenance": result.provenance}, plan.config)
    checks = [_suite(plan, result), *_data(plan, entry)]
    config = plan.config
    observer.note(f"loading {config.model}")
    loaded = load_for(config)
    weights = {"weights_sha256": result.model.weights_sha256}
    checks.append(
        Check(
            "model weights",
            f"{loaded.name} here",
            _differing("result.model", weights, {"weights_sha256": loaded.weights_sha256}),
        )
    )
    if any(check.differs for check in checks):
        return checks
    ready = _ready(plan, loaded, result, observer)
    now = describe(plan, loaded, ready)
    checks.append(_hparams(result, ready))
    checks.append(_code(result, now.editor.code_sha256, now.provenance))
    made = list(_edits(plan, loaded, ready.editor, observer))
    elsewhere = _elsewhere(result, now.provenance, loaded.model.device)
    return [*checks, compared_values(entry.series, made, elsewhere)]


# --- The request, out of the entry -----------------------------------------------------------


def _whole_batches(result: Result, count: int) -> int:
    size = result.protocol.batch_size
    return min(-(-count // size) * size, result.ending.edits_done)


def _request(entry: Entry, count: int, places: Places) -> RunConfig:
    """Return the request of the run, without what is asked at checkpoints.

    Raises:
        InputError: code is needed that was not named, or the suite is another one here.
    """
    result = entry.result
    suite = load_suite(result.suite.name)
    if (suite.version, suite.sha256) != (result.suite.version, result.suite.sha256):
        raise InputError(
            f"the entry is of {result.suite.versioned}, and this program has "
            f"{suite.name}@{suite.version}: install the version that measured it "
            f"({result.provenance.get('versions', {}).get('seqedit-bench', '?')})"
        )
    base = result.editor.name.rpartition("+")[2]
    if places.editor_path is None and base not in available_editors():
        raise InputError(
            f"editor {base!r} is none that is installed: read its code ({_place_of_code(entry)}), "
            "and if you trust it, which runs as you, name its file with --editor-path"
        )
    if result.model.trust_remote_code and not places.trust_remote_code:
        raise InputError(
            f"model {result.model.name!r} comes with Python code of its own, which runs as you: "
            "read it, and if you trust it say --trust-remote-code"
        )
    data_dir = data_folder(result.data.source, places.data_dir)
    if result.data.source == "folder" and data_dir is None:
        raise InputError("the entry is of official data files: say where they are with --data-dir")
    left_out = {*suite.checkpoint, *suite.start_end} - {*suite.each_edit}
    beside = {"single_edit"} if suite.single_edit else set()
    given: dict[str, Any] = {
        "data_dir": data_dir,
        "device": places.device,
        "cache_dir": places.cache_dir,
        "editor_path": places.editor_path,
    }
    return make_config(
        {
            "editor": result.editor.name,
            "model": places.model or result.model.name,
            "suite": result.suite.name,
            "edits": result.data.edits,
            "num_edits": count,
            "batch_size": result.protocol.batch_size,
            "sample": result.data.sample,
            "seed": result.seed,
            "skip": tuple(sorted(left_out | beside)),
            "data_source": result.data.source,
            "dtype": result.model.dtype,
            "trust_remote_code": places.trust_remote_code,
            **{name: value for name, value in given.items() if value is not None},
        }
    )


def _place_of_code(entry: Entry) -> str:
    return entry.submission.card.code or "its card does not say where"


def _ready(plan: Plan, loaded: LoadedModel, result: Result, observer: Observer) -> Ready:
    """Make the editor with the entry's hyper-parameters and context templates."""
    config = plan.config
    shape = Architecture.of(loaded.model).shape(loaded.model)
    usual = resolve_hparams(
        config.editor, plan.editor_class, model_name=config.model, shape=shape
    ).hparams.model_dump(mode="json")
    overrides = tuple(_overrides(usual, result.editor.hparams))
    ready = make_ready(
        config.model_copy(update={"hparams": overrides}), plan.editor_class, loaded, observer
    )
    recorded = result.editor.prepared.get(TEMPLATES)
    if recorded is not None and not (
        isinstance(recorded, list) and all(isinstance(each, str) for each in recorded)
    ):
        raise InputError(f"result.editor.prepared.{TEMPLATES}: not a list of texts")
    put_back_templates(ready, recorded, observer)
    return ready


def _overrides(usual: dict[str, Any], wanted: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield `key=value` for each hyper-parameter that is not the usual one.

    Example:
        >>> list(_overrides({"lr": 1e-06, "steps": 5}, {"lr": 2e-06, "steps": 5}))
        ['lr=2.0e-06']
    """
    for key, value in wanted.items():
        now = usual.get(key)
        if now == value and key in usual:
            continue
        if isinstance(value, dict) and isinstance(now, dict) and set(value) == set(now):
            yield from _overrides(now, value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={_yaml(value)}"


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=2**31, allow_unicode=True)
    return text.removesuffix("...\n").strip()


# --- What is looked at before an edit is made ------------------------------------------------


def _differing(field: str, stored: dict[str, Any], here: dict[str, Any]) -> list[str]:
    return [
        f"{field}.{name} is {stored.get(name)!r}, and {here.get(name)!r} here"
        for name in sorted({*stored, *here})
        if rounded(stored.get(name)) != rounded(here.get(name))
    ]


def _suite(plan: Plan, result: Result) -> Check:
    asked = {"each_edit": [n for n in plan.suite.each_edit if n not in plan.tasks.empty]}
    stored = {"each_edit": result.protocol.each_edit}
    return Check(
        "suite", f"{plan.suite.name}@{plan.suite.version} here",
        _differing("result.protocol", stored, asked),
    )  # fmt: skip


def _data(plan: Plan, entry: Entry) -> Iterator[Check]:
    # Only the files of what is asked after each edit are read.
    stored = entry.result.data.files_sha256
    wanted = {name: stored.get(name) for name in plan.files_sha256}
    found = _differing("result.data.files_sha256", wanted, plan.files_sha256)
    yield Check("data files", f"{len(wanted)} read here", found)
    facts = {str(index): case.case_id for index, case in enumerate(plan.cases)}
    said = {str(index): fact for index, fact in enumerate(entry.series.case_ids[: len(facts)])}
    yield Check("facts and their order", "the data", _differing("series.case_ids", said, facts))


def _hparams(result: Result, ready: Ready) -> Check:
    now = ready.resolved.hparams.model_dump(mode="json")
    found = _differing("result.editor.hparams", result.editor.hparams, now)
    prepared = _differing("prepared", result.editor.prepared, ready.record)
    note = f"prepared otherwise: {', '.join(prepared)[:200]}" if prepared else ""
    return Check("hyper-parameters", "the editor here", found, note)


def _code(result: Result, digest: str, here: dict[str, Any]) -> Check:
    """Say whether the code is the same: another may still give the same numbers."""
    others = [
        what
        for what, then, now in (
            ("editor", result.editor.code_sha256, digest),
            ("package", result.provenance.get("sources_sha256"), here["sources_sha256"]),
        )
        if then != now
    ]
    note = f"other code of the {' and the '.join(others)}" if others else ""
    return Check("code", "the code here", (), note)


def _elsewhere(result: Result, here: dict[str, Any], device: torch.device) -> list[str]:
    """Return in what this machine is not the entry's: without any, numbers must be the same."""
    names = [name for name in _SAME if device.type == "cpu" or name not in ("cpu", "threads")]
    return [name for name in names if result.provenance.get(name) != here.get(name)]


# --- The edits -------------------------------------------------------------------------------


def _edits(
    plan: Plan, loaded: LoadedModel, editor: Editor, observer: Observer
) -> Iterator[tuple[int, Values]]:
    """Make the edits, a batch at a time; yield fact and metrics of each."""
    lm = SequentialEditLM(loaded, seed=plan.config.seed, editor=editor)
    refuse_unscorable(lm, plan.cases)
    for start in range(0, len(plan.cases), plan.batch_size):
        batch = plan.cases[start : start + plan.batch_size]
        loaded.model.eval()
        attempt(
            editor,
            [case.request for case in batch],
            before=Snapshot(editor),
            window=lm.max_length,
        )
        loaded.model.eval()
        with editor.measured():
            found = _asked(plan, lm, batch)
        lm.interventions.clear()
        observer.working("edits", start + len(batch), len(plan.cases))
        yield from ((case.case_id, found[case.case_id]) for case in batch)


def _asked(plan: Plan, lm: SequentialEditLM, batch: Sequence[EditCase]) -> dict[int, Values]:
    found: dict[int, Values] = {case.case_id: {} for case in batch}
    for each in plan.tasks.evaluate(lm, plan.suite.each_edit, list(found)).values():
        for case_id, measured in each.by_case.items():
            found[case_id].update(finite(measured.metrics))
    return found
