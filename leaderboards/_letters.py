"""Letters that a reader sees, and the few besides that writing needs."""

from __future__ import annotations

_JOINERS = "\u200c\u200d"
"""ZWNJ and ZWJ: without them Persian and the scripts of India are spelt wrong."""
_LATER_SCRIPTS = "\u0590"
"""Hebrew, Arabic and India's scripts come after this; Latin, Greek and Cyrillic before it."""


def visible(text: str, keep: str = "") -> str:
    """Replace what steers a terminal or turns the writing around by a sign that is seen.

    Args:
        text: Any.
        keep: Letters to keep besides.

    Example:
        >>> visible("a" + chr(27) + "[2J") == "a" + chr(0xFFFD) + "[2J"
        True
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter in keep or _is_seen(text, place) else "\ufffd"
        for place, letter in enumerate(text)
    )


def unseen(text: str) -> list[str]:
    """Return the letters of a text that cannot be seen, each as often as it is there."""
    return [letter for place, letter in enumerate(text) if not _is_seen(text, place)]


def _is_seen(text: str, place: int) -> bool:
    """Return whether a letter is seen; a joiner inside a word that needs it is spelling."""
    sides = text[max(0, place - 1) : place], text[place + 1 : place + 2]
    joins = text[place] in _JOINERS and all(side > _LATER_SCRIPTS for side in sides)
    return joins or text[place].isprintable()
