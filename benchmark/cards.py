"""Editor cards: of our own editors as the leaderboard knows them, of others from a YAML file."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ..leaderboards.entry import Card
from ..leaderboards.known import Known, around
from ..leaderboards.recompute import Ran
from ..leaderboards.referee.rules import card_problems
from ..tasks.errors import InputError, unknown_name
from ..tasks.sources import read_text
from ..tasks.yamltext import parse_yaml


def card_for(ran: Ran, given: Path | None, known: Known) -> Card:
    """Return the card of the editor that a run is of, wrappers included.

    Args:
        ran: The run.
        given: Where its card is; None takes ours, or looks beside the editor's file.
        known: Says which editors are ours.

    Raises:
        InputError: an editor that is not ours has no card, it cannot be used, is not of that
            editor, or its name is too long with those of its wrappers.
    """
    editor = ran.result.editor
    *wrappers, base = editor.name.split("+")
    if known.is_ours(editor.name):
        if given is not None:
            raise InputError(f"--card: {editor.name} is an editor of this project and has its card")
        return known.cards(editor.name)[-1]
    path = given or _beside(ran, base)
    card = read_card(path)
    for wrapper in reversed(wrappers):
        try:
            card = around(wrapper, known.own.editors[wrapper][-1], card)
        except ValidationError as error:
            raise _unfit(f"card of {wrapper}+{card.name}", error) from None
    for problem in card_problems(card, ran.result, known):
        raise InputError(f"editor card {path}: {problem.field}: {problem.text}")
    return card


def _beside(ran: Ran, base: str) -> Path:
    """Return where the card of an editor from a file is looked for."""
    request = ran.journal.part("request").get("editor_path")
    path = None
    if isinstance(request, str) and request:
        # From where the run was made it may be another file than from here: messages name it whole.
        path = Path(request).with_suffix(".yaml").absolute()
    if path is None or not path.is_file():
        where = f"there is none at {path}" if path else "it came with another package"
        raise InputError(
            f"editor {base!r} is not of this project and needs a card, and {where}: write one (as "
            "`new-editor` does) and name it with --card"
        )
    return path


def read_card(path: Path) -> Card:
    """Read an editor's card from a YAML file.

    Raises:
        InputError: it is missing, not YAML, or a key is unknown, missing or has no such value.
    """
    try:
        text = read_text(path)
    except InputError as error:
        raise InputError(f"editor card {error}") from None
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise InputError(f"editor card {path}: not YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"editor card {path}: write key: value, a line each")
    return _card(values, f"editor card {path}")


def _card(values: dict[str, object], what: str) -> Card:
    for key in values:
        if key not in Card.model_fields:
            raise InputError(f"{what}: {unknown_name('key', str(key), Card.model_fields)}")
    try:
        return Card.model_validate(values, strict=True)
    except ValidationError as error:
        raise _unfit(what, error) from None


def _unfit(what: str, error: ValidationError) -> InputError:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    hint = "; an https link" if where == "code" else ""
    return InputError(f"{what}: key {where}: {first['msg']}{hint}")
