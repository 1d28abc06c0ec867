"""Text from anyone as it may stand in a file: on one line, and steering nothing."""

from __future__ import annotations

from ._letters import visible


def one_line(text: str, *, ascii_only: bool = False) -> str:
    """Return text on one line, without control characters or what turns the writing around.

    Args:
        text: Any.
        ascii_only: Whether letters that are not ASCII become question marks.

    Example:
        >>> one_line("a  b" + chr(27)) == "a b" + chr(0xFFFD)
        True
    """
    line = visible(" ".join(text.split()))
    return line.encode("ascii", "replace").decode() if ascii_only else line
