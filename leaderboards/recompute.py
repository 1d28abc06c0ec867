"""A run read back line by line, and its result computed from them once more."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ._files import file_sha256
from ._jsontext import parse_json
from .analysis.analyse import analyse
from .analysis.journal import CHECKPOINTS, EDITS, SINGLE_EDITS, RunJournal, read_run
from .canonical import rounded
from .differences import Difference, differences
from .entry import Collapse, Series
from .known import score_of
from .results import Cost, Result, ResultError
from .series import series_of
from .summary import curves, ending, summary

CONFIG = "config.json"
FROM_CONFIG = ("suite", "editor", "model", "data", "protocol", "seed")
_SECONDS = 1e-3
"""What rounding may leave of the difference of two sums of seconds, as a share."""
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished run, with its journal as it was written."""

    journal: RunJournal
    """The same, checked and without what analysis does not read."""
    result: Result
    """`leaderboard.json`."""
    edits: list[Line]
    checkpoints: list[Line]
    single_edits: list[Line]
    digests: dict[str, str]
    """Digest of each journal file there is."""

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self.journal.folder


def read_ran(folder: Path) -> Ran:
    """Read a finished run.

    Raises:
        ResultError: it is none, is not finished, or a file in it cannot be used; says which.
    """
    journal = read_run(folder)
    if journal.result is None:
        raise ResultError(
            f"{folder}: the run is not finished ({len(journal.edits)} edits so far): go on with "
            f"seqedit-bench resume {folder}"
        )
    names = (CONFIG, EDITS, CHECKPOINTS, SINGLE_EDITS)
    present = [name for name in names if (folder / name).is_file()]
    return Ran(
        journal,
        journal.result,
        edits=_lines(folder / EDITS),
        checkpoints=_lines(folder / CHECKPOINTS),
        single_edits=_lines(folder / SINGLE_EDITS),
        digests={name: file_sha256(folder / name) for name in present},
    )


def _lines(path: Path) -> list[Line]:
    """Read all lines of a journal file of a finished run; none is an empty one."""
    if not path.is_file():
        return []
    lines = []
    # Not `splitlines`: texts in a line may hold what Unicode takes for the end of one.
    for number, text in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not text.strip():
            continue
        try:
            line = parse_json(text)
        except ValueError as error:
            raise ResultError(f"{path}: line {number} is not JSON: {error}") from None
        if not isinstance(line, dict):
            raise ResultError(f"{path}: line {number} is no JSON object")
        lines.append(line)
    return lines


def recomputed(ran: Ran) -> Result:
    """Compute a run's result once more, from nothing but its configuration and its journal.

    Times, memory and tokens, which no line has, are those of the result.

    Raises:
        ResultError: the journal lacks what a result is computed from; says what.
    """
    config, edits = ran.journal.config, ran.edits
    definition = ran.journal.part("suite_definition")
    try:
        drawn = curves(edits, ran.checkpoints, definition["smoothing"])
        score = score_of(definition["score"], config["data"]["edits"])
        done = len(edits)
        seconds = ran.result.cost.seconds_edit
        asked = config["protocol"]["num_edits"]
        provenance = dict(config["provenance"])
        if "resumed" in ran.result.provenance:  # known only after `config.json` was written
            provenance["resumed"] = ran.result.provenance["resumed"]
        return Result.model_validate(
            {
                **{name: config[name] for name in FROM_CONFIG},
                "ending": ending(edits, ran.result.ending.stopped if done < asked else None),
                "curves": drawn,
                "summary": summary(edits, ran.checkpoints, ran.single_edits, drawn, score),
                "cost": {
                    **ran.result.cost.model_dump(),
                    "edits_per_second": done / seconds if seconds else 0.0,
                },
                "provenance": provenance,
                "journal_sha256": ran.digests,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ResultError(f"{ran.folder}: {CONFIG}, {where}: {first['msg']}") from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ResultError(
            f"{ran.folder}: its result cannot be computed from its journal: "
            f"{type(error).__name__} {error}"
        ) from None


def found_again(stored: Any, again: Any) -> list[Difference]:
    """Return where two records differ at the digits that entries have; `then` is the stored one."""
    return differences(rounded(stored), rounded(again))


def mismatches(ran: Ran) -> Iterator[str]:
    """Yield where a run's result is not what its journal makes it: field and both values."""
    stored = ran.result
    for name in sorted({*stored.journal_sha256, *ran.digests}):
        said, found = stored.journal_sha256.get(name), ran.digests.get(name)
        if said != found:
            yield (
                f"journal_sha256.{name}: leaderboard.json has {said or 'none'}, and the file's is "
                f"{found or 'none: it is missing'}"
            )
    definition = ran.journal.part("suite_definition")
    for key in ("name", "version", "sha256"):
        if definition.get(key) != (said := getattr(stored.suite, key)):
            yield (
                f"suite.{key}: leaderboard.json has {said!r}, and suite_definition in "
                f"{CONFIG} {definition.get(key)!r}"
            )
    again = recomputed(ran)
    for each in found_again(stored.model_dump(mode="json"), again.model_dump(mode="json")):
        if not each.key.startswith("journal_sha256"):
            yield (
                f"{each.key}: leaderboard.json has {each.then!r}, and {_source(each.key)} "
                f"{each.now!r}"
            )
    yield from seconds(ran, ran.result.cost, "leaderboard.json")


def _source(key: str) -> str:
    named = key.partition(".")[0]
    return f"{CONFIG} has" if named in (*FROM_CONFIG, "provenance") else "the journal gives"


def seconds(ran: Ran, cost: Cost, where: str) -> Iterator[str]:
    """Hold seconds against those of a run's lines; a run that was resumed took more than these.

    Args:
        ran: The run.
        cost: What it is said to have cost.
        where: Who says so.

    Raises:
        ResultError: a line says no seconds.
    """
    lines = ran.edits
    try:
        found = {
            "seconds_edit": _sum(lines, "edit"),
            "seconds_evaluate": _sum([*lines, *ran.checkpoints], "evaluate"),
        }
    except (KeyError, TypeError):
        raise ResultError(f"{ran.folder}: a line of its journal says no seconds") from None
    for name, total in found.items():
        said = getattr(cost, name)
        if not ran.result.provenance.get("resumed") and not math.isclose(
            said, total, rel_tol=_SECONDS, abs_tol=_SECONDS
        ):
            yield f"cost.{name}: {where} has {said:g}, and the journal gives {total:g}"


def _sum(lines: Sequence[Line], what: str) -> float:
    return math.fsum(line["seconds"][what] for line in lines)


def series_and_collapse(ran: Ran) -> tuple[Series, Collapse]:
    """Return what an entry has beside the result.

    Collapse is looked for in the journal alone: what was replayed or compared later, on whatever
    machine, is no part of the run.
    """
    alone = replace(ran.journal, replays=[], overlaps=[])
    found = analyse(alone).collapse
    return (
        series_of(ran.edits, ran.checkpoints),
        Collapse(type=found.kind, edit=found.edit),
    )
