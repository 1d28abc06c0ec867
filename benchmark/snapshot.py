"""A model and an editor as they are now, to come back to."""

from __future__ import annotations

from ..editors import Editor
from .model import OriginalWeights


class Snapshot:
    """What an edit can change, kept: the edited matrices, and what the editor remembers.

    Args:
        editor: The editor, prepared.
        weights: Copies of its matrices, where they are kept already; None takes them now.
    """

    def __init__(self, editor: Editor, weights: OriginalWeights | None = None) -> None:
        self._editor = editor
        self._weights = weights or OriginalWeights(editor.model, editor.edited_parameters())
        self._state = {name: value.clone() for name, value in editor.state_dict().items()}

    def restore(self) -> None:
        """Put weights and editor back, bit for bit."""
        self._weights.restore()
        self._editor.load_state_dict({name: value.clone() for name, value in self._state.items()})
