"""Editor cards: of our own editors from their hyper-parameter files, of others from a YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from ..editors import about_editor
from ..leaderboards.entry import Card
from ..leaderboards.known import Known
from ..leaderboards.recompute import Ran
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
        InputError: an editor that is not ours has no card, or it cannot be used.
    """
    editor = ran.result.editor
    *wrappers, base = editor.name.split("+")
    if known.is_ours(editor.name):
        if given is not None:
            raise InputError(f"--card: {editor.name} is an editor of this project and has its card")
        return around(wrappers, own_card(base))
    return around(wrappers, read_card(given or _beside(ran, base)))


def own_card(name: str) -> Card:
    """Return the card of an editor of this project."""
    about = about_editor(name)
    return Card(
        name=name,
        summary=about["summary"],
        paper=about["paper"],
        code=None,
        licence=None,
        kind=about["kind"],
        needs=about["needs"],
    )


def around(wrappers: Sequence[str], card: Card) -> Card:
    """Return the card of some wrappers of ours, the outermost first, around an editor.

    Raises:
        InputError: together they say more than a card holds.
    """
    for wrapper in reversed(wrappers):
        about = about_editor(wrapper)
        made = {
            **card.model_dump(),
            "name": f"{wrapper}+{card.name}",
            "summary": f"{about['summary']}; around {card.name}: {card.summary}",
            "paper": "; ".join(each for each in (about["paper"], card.paper) if each != "-"),
        }
        card = _card(made, f"card of {made['name']}")
    return card


def _beside(ran: Ran, base: str) -> Path:
    """Return where the card of an editor from a file is looked for."""
    request = ran.journal.part("request").get("editor_path")
    path = Path(request).with_suffix(".yaml") if isinstance(request, str) and request else None
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
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        hint = "; an https link" if where == "code" else ""
        raise InputError(f"{what}: key {where}: {first['msg']}{hint}") from None
