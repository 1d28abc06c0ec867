"""How many documents the tasks of a result have, counted in its data where that is here."""

from __future__ import annotations

import importlib
import re
from contextlib import suppress
from typing import Any

from ..leaderboards.results import DataInfo, Result
from ..tasks import InputError
from ..tasks.documents import source_from
from ..tasks.sources import file_sha256
from .task_facts import task_configs


def count_documents(result: Result) -> dict[str, tuple[int, int]]:
    """Count the documents of our tasks: all there are, and those that were asked.

    Of tasks about edits the first are of the edits asked for, the second of those made. Nothing is
    downloaded, and nothing is counted in other data than the result's.
    """
    if not _is_here(result.data):
        return {}
    protocol, configs = result.protocol, task_configs()
    found = {}
    for name in dict.fromkeys([*protocol.each_edit, *protocol.checkpoint, *protocol.start_end]):
        if name not in configs:
            continue
        # A result can name what no run has: a stream without such facts, or one there is not.
        with suppress(InputError):
            every = _count(configs[name], result, protocol.num_edits)
            asked = _count(configs[name], result, result.ending.edits_done)
            found[name] = every, min(asked, protocol.limits.get(name, asked))
    return found


def _is_here(data: DataInfo) -> bool:
    """Return whether every file that a run read is where such data is looked for."""
    # Names out of a result lead to no other folder, and are no patterns.
    if data.source == "hub" or not all(
        re.fullmatch(r"[\w.-]+", name) for name in data.files_sha256
    ):
        return False
    try:
        source = source_from(data.source)
        paths = {name: source.find(name) for name in data.files_sha256}
    except InputError:
        return False
    return all(
        path and file_sha256(path) == data.files_sha256[name] for name, path in paths.items()
    )


def _count(config: dict[str, Any], result: Result, num_edits: int) -> int:
    """Return how many documents a task of ours has, made as the harness makes them."""
    module, _, function = config["custom_dataset"].rpartition(".")
    documents = getattr(importlib.import_module(module), function)(
        **config.get("dataset_kwargs", {}),
        data_source=result.data.source,
        edits=result.data.edits,
        sample=result.data.sample,
        num_edits=num_edits,
    )
    return len(documents[config["test_split"]])
