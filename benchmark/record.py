"""What a run writes down of itself: the parts of the result, before and after the edits."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from ..editors import Editor
from ..leaderboards.results import (
    DataInfo,
    EditorInfo,
    ModelInfo,
    ProtocolInfo,
    SuiteInfo,
)
from ..tasks.sources import file_sha256
from . import provenance
from .model import LoadedModel
from .plan import Plan
from .ready import Ready


class Record(NamedTuple):
    """All that is known of a run before its first edit; the fields of a `Result`, by name."""

    suite: SuiteInfo
    editor: EditorInfo
    model: ModelInfo
    data: DataInfo
    protocol: ProtocolInfo
    seed: int
    provenance: dict[str, Any]

    def config(self, plan: Plan) -> dict[str, Any]:
        """Return the contents of `config.json`."""
        return {
            # Where things are kept on one machine is nobody else's business.
            "request": plan.config.model_dump(mode="json", exclude={"cache_dir", "output"}),
            "suite_definition": plan.suite.model_dump(),
            **_dumped(self),
        }


class Asked(NamedTuple):
    """What is known of a run before its model is loaded."""

    suite: SuiteInfo
    data: DataInfo
    protocol: ProtocolInfo
    seed: int

    def config(self) -> dict[str, Any]:
        """Return this part of `config.json`."""
        return _dumped(self)


def _dumped(parts: Record | Asked) -> dict[str, Any]:
    return {
        name: part.model_dump() if isinstance(part, BaseModel) else part
        for name, part in parts._asdict().items()
    }


def describe(plan: Plan, loaded: LoadedModel, ready: Ready) -> Record:
    """Describe a run that is about to begin.

    Args:
        plan: What it will do.
        loaded: The model, unedited.
        ready: The editor, prepared.
    """
    editor, resolved = ready.editor, ready.resolved
    return Record(
        **describe_plan(plan)._asdict(),
        editor=EditorInfo(
            name=plan.config.editor,
            kind=editor.kind,
            needs=sorted(editor.needs),
            hparams=resolved.hparams.model_dump(mode="json"),
            hparams_source=resolved.source,
            code_sha256=code_sha256(type(editor)),
            prepared=ready.record,
        ),
        model=describe_model(plan, loaded),
        provenance=provenance.collect(loaded.model.device, plan.started, plan.config.include_path),
    )


def code_sha256(editor_class: type[Editor]) -> str:
    """Return the digest of an editor's source file; empty where it has none."""
    code = inspect.getsourcefile(editor_class)
    return file_sha256(Path(code)) if code else ""


def describe_model(plan: Plan, loaded: LoadedModel) -> ModelInfo:
    """Describe an unedited model."""
    return ModelInfo(
        name=loaded.name,
        model_type=loaded.model.config.model_type,
        revision=loaded.revision,
        weights_sha256=loaded.weights_sha256,
        num_parameters=loaded.model.num_parameters(),
        dtype=plan.config.dtype,
        trust_remote_code=plan.config.trust_remote_code,
    )


def describe_plan(plan: Plan) -> Asked:
    """Describe what was asked for."""
    suite, stream = plan.suite, plan.stream
    ids = ",".join(str(case.case_id) for case in plan.cases)
    return Asked(
        suite=SuiteInfo(name=suite.name, version=suite.version, sha256=suite.sha256),
        data=DataInfo(
            source=plan.source.name,
            files_sha256=plan.files_sha256,
            edits=stream.name,
            sample=stream.sample,
            order=stream.order,
            case_ids_sha256=hashlib.sha256(ids.encode()).hexdigest(),
        ),
        protocol=ProtocolInfo(
            mode=plan.mode,
            num_edits=len(plan.cases),
            batch_size=plan.batch_size,
            each_edit=[name for name in suite.each_edit if name not in plan.tasks.empty],
            checkpoint={
                name: every
                for name, every in plan.checkpoint.items()
                if name not in plan.tasks.empty
            },
            start_end=suite.start_end,
            limits=plan.limits,
            not_measured=plan.not_measured,
            smoothing=suite.smoothing,
        ),
        seed=plan.config.seed,
    )
