"""The one exception for what a user can put right: bad names, bad files, missing sources."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 60


class InputError(ValueError):
    """A mistake in the input: says what, where and what to do, in one line.

    The command line prints it without a traceback and exits with status 2.
    """


class RequestError(InputError):
    """One fact cannot be edited; others can.

    Editors raise it before they have changed anything. A run writes it down and goes on.

    Args:
        case_id: Which fact.
        reason: Why.
    """

    def __init__(self, case_id: int, reason: str) -> None:
        super().__init__(f"case {case_id}: {reason}")
        self.case_id, self.reason = case_id, reason


class NoDocuments(InputError):
    """A task has nothing to ask: no record of the data has prompts of its kind."""


class OtherStream(NoDocuments):
    """A task asks about edits of another kind than those that are made."""


def shown(text: str) -> str:
    """Return a text as a message repeats it: quoted, and not at any length.

    Example:
        >>> shown("a" * 100)
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'"
    """
    return repr(text if len(text) <= _LONGEST else text[:_LONGEST] + "...")


def unknown_name(
    kind: str, name: str, known: Iterable[str], *, shown: Iterable[str] | None = None
) -> InputError:
    """Return the error for a name that is not in `known`, with the nearest one that is.

    Args:
        kind: What it should be a name of.
        name: What was given.
        known: The names there are.
        shown: Those of them to list, where all are too many.

    Example:
        >>> print(unknown_name("editor", "memitt", ["memit", "rome"]))
        unknown editor 'memitt': did you mean 'memit'? (known: memit, rome)
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" did you mean {near[0]!r}?" if near else ""
    listed = names if shown is None else [*sorted(shown), "..."]
    return InputError(f"unknown {kind} {name!r}:{hint} (known: {', '.join(listed)})")
