"""Which entries are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..results import Result
from .filed import Filed
from .protocol import model_name

KINDS = ("weights", "hooks", "context")


@dataclass(frozen=True, slots=True)
class Choice:
    """What must hold for an entry to be shown; nothing said is no condition."""

    suite: str | None = None
    """Its name, or name@version."""
    model: str | None = None
    """Its name, or name@revision."""
    kind: str | None = None
    needs: tuple[str, ...] = ()
    """What the editor must need before its first edit."""
    without: tuple[str, ...] = ()
    """What it must not need."""

    def chosen(self, filed: Iterable[Filed]) -> list[Filed]:
        """Return the entries for which all of it holds."""
        return [each for each in filed if self._holds(each.entry.result)]

    def _holds(self, result: Result) -> bool:
        editor = result.editor
        return (
            self.suite in (None, *suite_names(result))
            and self.model in (None, *model_names(result))
            and self.kind in (None, editor.kind)
            and set(self.needs) <= set(editor.needs)
            and not set(self.without) & set(editor.needs)
        )

    def __str__(self) -> str:
        said = {"suite": self.suite, "model": self.model, "kind": self.kind}
        parts = [f"{what} {value}" for what, value in said.items() if value is not None]
        parts += [f"needs {name}" for name in self.needs]
        parts += [f"without {name}" for name in self.without]
        return ", ".join(parts)


def suite_names(result: Result) -> tuple[str, str]:
    """Return what a suite can be called."""
    return result.suite.name, result.suite.versioned


def model_names(result: Result) -> tuple[str, str]:
    """Return what a model can be called."""
    return result.model.name, model_name(result)


def known(filed: Sequence[Filed], names: Callable[[Result], Iterable[str]]) -> list[str]:
    """Return all names of one kind that entries have."""
    return sorted({name for each in filed for name in names(each.entry.result)})
