"""What our task files say, read as data: without the harness, and nothing in them is run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..leaderboards.exports.harness import TaskFacts
from ..tasks.yamltext import parse_yaml

_PLAIN = ("output_type", "test_split", "num_fewshot", "tag", "metadata")


def task_facts() -> dict[str, TaskFacts]:
    """Return the facts of every task of ours, by name."""
    return {name: _facts(config) for name, config in task_configs().items()}


def task_configs() -> dict[str, dict[str, Any]]:
    """Return the configuration of every task of ours, by name; functions are named in it."""
    root = Path(str(files("seqedit_bench.tasks")))
    configs = map(_config, sorted(root.rglob("*.yaml")))
    return {config["task"]: config for config in configs if isinstance(config.get("task"), str)}


def _config(path: Path) -> dict[str, Any]:
    """Return a task's configuration on top of the ones it includes."""
    # The harness's tag for functions is taken as the text that it is.
    text = re.sub(r"!function (\S+)", r'"\1"', path.read_text(encoding="utf-8"))
    config = parse_yaml(text)
    below = config.pop("include", None)
    return {**_config(path.parent / below), **config} if below else config


def _facts(config: Mapping[str, Any]) -> TaskFacts:
    return TaskFacts(
        version=config.get("metadata", {}).get("version"),
        num_fewshot=config.get("num_fewshot"),
        metrics={each["metric"]: each["higher_is_better"] for each in config["metric_list"]},
        config={name: config[name] for name in _PLAIN if name in config},
    )
