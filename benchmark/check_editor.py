"""`seqedit-bench check-editor`: the contract of editors on tiny models, as a table."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..editors import Editor, get_editor, load_editor_file
from ..tasks.errors import InputError, unknown_name
from .contract import CHECKS, Check, CheckFailed
from .tiny_models import MAIN_FAMILIES
from .trial import Trial

Verdict = Literal["pass", "FAIL", "out of scope"]
_COLOURS: dict[Verdict, str] = {"pass": "green", "FAIL": "bold red", "out of scope": "dim"}


class Outcome(NamedTuple):
    """What one check found on one family."""

    check: str
    family: str
    verdict: Verdict
    reason: str = ""
    """Why not `pass`: what was observed and what the contract says, or the editor's own words."""


def find_editors(name: str) -> list[str]:
    """Return the editors that a name or a Python file stands for.

    A file is code and runs with your rights.

    Raises:
        InputError: there is no such editor or file, or the file registers none.
    """
    if not name.endswith(".py"):
        get_editor(name)
        return [name]
    if not Path(name).is_file():
        raise InputError(f"editor file {name} is not there")
    return load_editor_file(Path(name))


def check_editor(
    name: str,
    *,
    overrides: Sequence[str] = (),
    families: Sequence[str] = tuple(MAIN_FAMILIES),
) -> list[Outcome]:
    """Put an editor through all checks on tiny models of some families.

    Whatever the editor raises is a failure of the check, not of this function.

    Args:
        name: Its registered name.
        overrides: Hyper-parameters as `key=value`, over those for tiny models.
        families: Which families.

    Raises:
        InputError: no such editor, hyper-parameters that do not fit, or an unknown check in
            `out_of_scope`.
    """
    cls = get_editor(name)
    for check in cls.out_of_scope:
        if check not in CHECKS:
            raise unknown_name(f"check in out_of_scope of {name}", check, CHECKS)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as cache:
        for family in families:
            try:
                trial = Trial(name, cls, family, cache_dir=Path(cache), overrides=overrides)
            except InputError:
                raise
            except Exception as error:
                raise InputError(f"hyper-parameters of {name}: {_raised(error, cls)}") from error
            outcomes += [check_outcome(check, trial) for check in CHECKS.values()]
    return outcomes


def check_outcome(check: Check, trial: Trial) -> Outcome:
    """Run one check; whatever the editor raises is a failure with that one line as its reason."""
    declared = trial.editor_class.out_of_scope.get(check.name)
    if declared is not None:
        return Outcome(check.name, trial.family, "out of scope", declared)
    try:
        check.run(trial)
    except CheckFailed as failure:
        reason = f"{failure}. The contract: {check.title}."
        return Outcome(check.name, trial.family, "FAIL", reason)
    except (Exception, SystemExit) as error:
        return Outcome(check.name, trial.family, "FAIL", _raised(error, trial.editor_class))
    return Outcome(check.name, trial.family, "pass")


def _raised(error: BaseException, cls: type[Editor]) -> str:
    """Return an exception in one line, with the last line of the editor's own file it came by."""
    frames = traceback.extract_tb(error.__traceback__)
    own = getattr(sys.modules.get(cls.__module__), "__file__", None)
    frame = next((frame for frame in reversed(frames) if frame.filename == own), frames[-1])
    message = " ".join(str(error).split())
    place = f"{Path(frame.filename).name}, line {frame.lineno}"
    return f"raised {type(error).__name__}: {message} ({place})"


def passed(outcomes: Sequence[Outcome]) -> bool:
    """Return whether no check failed."""
    return all(outcome.verdict != "FAIL" for outcome in outcomes)


def report(name: str, outcomes: Sequence[Outcome]) -> RenderableType:
    """Return the table of checks and families, every reason once, and the sum."""
    families = list(dict.fromkeys(outcome.family for outcome in outcomes))
    verdicts: dict[tuple[str, str], Verdict] = {
        (outcome.check, outcome.family): outcome.verdict for outcome in outcomes
    }
    table = Table("check", *families, box=None, pad_edge=False)
    for check in CHECKS:
        cells: list[Verdict] = [verdicts[check, family] for family in families]
        table.add_row(check, *(Text(cell, style=_COLOURS[cell]) for cell in cells))
    return Group(table, "", *_reasons(outcomes), _sum(name, outcomes))


def _reasons(outcomes: Sequence[Outcome]) -> list[Text]:
    """Return one line a reason, with the checks and families that gave it."""
    by_reason: dict[tuple[Verdict, str], dict[str, list[str]]] = {}
    for outcome in outcomes:
        if outcome.verdict != "pass":
            checks = by_reason.setdefault((outcome.verdict, outcome.reason), {})
            checks.setdefault(outcome.check, []).append(outcome.family)
    lines = []
    for (verdict, reason), checks in by_reason.items():
        # Nothing depends on the family where a check is out of scope.
        places = [
            f"{check} ({', '.join(families)})" if verdict == "FAIL" else check
            for check, families in checks.items()
        ]
        lines.append(Text.assemble((verdict, _COLOURS[verdict]), f" {', '.join(places)}: {reason}"))
    return lines


def _sum(name: str, outcomes: Sequence[Outcome]) -> Text:
    checks = {outcome.check for outcome in outcomes}
    failed = {outcome.check for outcome in outcomes if outcome.verdict == "FAIL"}
    left_out = {outcome.check for outcome in outcomes if outcome.verdict == "out of scope"}
    counts = f"{len(checks - failed - left_out)} of {len(checks)} checks passed"
    if failed:
        counts += f", {len(failed)} failed"
    if left_out:
        counts += f", {len(left_out)} declared out of scope"
    return Text(f"{name}: {counts}")
