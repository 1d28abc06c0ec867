"""What the leaderboard knows: `suites.json` and `own.json` in `leaderboards/`, by `make schema`.

A version that is in there stays: its entries are judged by it when its file is long another one.
"""

from __future__ import annotations

from ..editors import about_editor, get_editor, get_wrapper, own_editors
from ..leaderboards import entry, results
from ..leaderboards.canonical import canonical
from ..leaderboards.known import (
    OWN,
    SUITES,
    Known,
    Own,
    OwnEditor,
    Protocol,
    Protocols,
    known_own,
    known_suites,
)
from ..tasks.edits import FILES, NUM_ORDERS, load_stream
from ..tasks.sources import Source, file_sha256
from .aliases import model_aliases
from .suite import Suite, available_suites, load_suite
from .task_facts import task_facts


def known() -> Known:
    """Return what entries are judged by; starts without torch."""
    return Known(
        suites=known_suites(),
        models={
            name: about["weights"] for name, about in model_aliases().items() if "wheel" in about
        },
        own=known_own(),
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


def own_editor(name: str) -> OwnEditor:
    """Return what an editor or wrapper of this project says of itself now."""
    about = about_editor(name)
    kind = about.get("kind")
    hparams = get_editor(name).Hparams if kind else get_wrapper(name).Settings
    return OwnEditor(
        summary=about["summary"],
        paper=about["paper"],
        kind=kind,
        needs=about.get("needs", []),
        hparams=sorted(hparams.model_fields),
    )


def with_present(own: Own) -> Own:
    """Return what is this project's with the present state among it: editors last, data beside."""
    made = own.model_copy(deep=True)
    for name in own_editors():
        now = own_editor(name)
        made.editors[name] = [each for each in made.editors.get(name, []) if each != now] + [now]
    source = Source.choose("bundled", None)
    for path in sorted(source.require("counterfact.jsonl").parent.iterdir()):
        if path.suffix in (".jsonl", ".txt"):
            digests = made.files.setdefault(path.name, [])
            digests += {file_sha256(path)} - set(digests)
    for name, (names, _) in FILES.items():
        if (path := source.find(*names)) is not None:
            made.orders.setdefault(name, {})[file_sha256(path)] = [
                [case.case_id for case in load_stream(source, name, sample=sample).cases]
                for sample in range(NUM_ORDERS)
            ]
    return made


def write() -> None:
    """Write what is known and both schemas again."""
    text = SUITES.read_text(encoding="utf-8") if SUITES.is_file() else "{}"
    protocols = with_current(Protocols.model_validate_json(text))
    SUITES.write_text(canonical(protocols.model_dump(mode="json")), encoding="utf-8")
    empty = Own(editors={}, files={}, orders={})
    own = Own.model_validate_json(OWN.read_text(encoding="utf-8")) if OWN.is_file() else empty
    OWN.write_text(canonical(with_present(own).model_dump(mode="json")), encoding="utf-8")
    results.write_schema()
    entry.write_schema()


if __name__ == "__main__":
    write()
