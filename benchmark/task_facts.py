"""What our task files say, read as data: without the harness, and nothing in them is run."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ..leaderboards.exports.harness import TaskFacts

_PLAIN = ("output_type", "test_split", "num_fewshot", "tag", "metadata")


class _Loader(yaml.SafeLoader):
    """Takes the harness's tags for functions as the text they are."""


def _as_text(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    return loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None


_Loader.add_multi_constructor("!", _as_text)


def task_facts() -> dict[str, TaskFacts]:
    """Return the facts of every task of ours, by name."""
    root = Path(str(files("seqedit_bench.tasks")))
    found = {}
    for path in sorted(root.rglob("*.yaml")):
        config = _config(path)
        if isinstance(name := config.get("task"), str):
            found[name] = _facts(config)
    return found


def _config(path: Path) -> dict[str, Any]:
    """Return a task's configuration on top of the ones it includes."""
    config = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    below = config.pop("include", None)
    return {**_config(path.parent / below), **config} if below else config


def _facts(config: Mapping[str, Any]) -> TaskFacts:
    return TaskFacts(
        version=config.get("metadata", {}).get("version"),
        num_fewshot=config.get("num_fewshot"),
        metrics={each["metric"]: each["higher_is_better"] for each in config["metric_list"]},
        config={name: config[name] for name in _PLAIN if name in config},
    )
