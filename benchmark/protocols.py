"""Suites as the leaderboard knows them: `leaderboards/suites.json`, written by `make schema`.

A version that is in there stays: its entries are judged by it when its file is long another one.
"""

from __future__ import annotations

from ..editors import own_editors
from ..leaderboards import entry, results
from ..leaderboards.canonical import canonical
from ..leaderboards.known import SUITES, Known, Protocol, Protocols, known_suites
from .aliases import model_aliases
from .suite import Suite, available_suites, load_suite
from .task_facts import task_facts


def known() -> Known:
    """Return what entries are judged by; starts without torch."""
    return Known(
        suites=known_suites(),
        models=frozenset(name for name, about in model_aliases().items() if "wheel" in about),
        editors=frozenset(own_editors()),
    )


def protocol_of(suite: Suite) -> Protocol:
    """Return what the leaderboard keeps of a suite."""
    fields = suite.model_dump(include=set(Protocol.model_fields) - {"single_edit", "metrics"})
    named = {*suite.each_edit, *suite.checkpoint, *suite.start_end}
    metrics = {
        name: [metric for metric in facts.metrics if "_nll" not in metric]
        for name, facts in task_facts().items()
        if name in named
    }
    return Protocol(**fields, single_edit=suite.single_edit is not None, metrics=metrics)


def with_current(protocols: Protocols) -> Protocols:
    """Return protocols with the suites of this package among them.

    Raises:
        ValueError: a suite has changed and its version has not.
    """
    made = {name: dict(versions) for name, versions in protocols.root.items()}
    for name in available_suites():
        suite = load_suite(name)
        now = protocol_of(suite)
        if made.setdefault(name, {}).setdefault(suite.version, now) != now:
            raise ValueError(f"suite {name}@{suite.version} has changed: give it another version")
    return Protocols(made)


def write() -> None:
    """Write the known protocols and both schemas again."""
    text = SUITES.read_text(encoding="utf-8") if SUITES.is_file() else "{}"
    protocols = with_current(Protocols.model_validate_json(text))
    SUITES.write_text(canonical(protocols.model_dump(mode="json")), encoding="utf-8")
    results.write_schema()
    entry.write_schema()


if __name__ == "__main__":
    write()
