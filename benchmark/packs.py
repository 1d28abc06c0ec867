"""Which rows the model runs together: what scoring and generation share."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel

from ..editors import Editor
from .attention import Attention
from .lower import LowerStates
from .prefix import WORTH, Prefix
from .sharing import Group, group_rows, next_padded, next_tree

BATCH_TOKENS = 4096
"""Tokens run at a time on a GPU, and where rows are padded."""
LEAST_TOKENS = 256
"""Tokens at a time from which on matrix products on a CPU are at full speed."""


class Packs:
    """How rows are put together for one model.

    Rows are packed into one sequence, unless hooks must see each of them, or the model carries a
    state from token to token: then they are a padded batch.

    Args:
        model: The live model.
        hooks: An editor of kind `hooks`.
    """

    def __init__(self, model: PreTrainedModel, hooks: Editor | None) -> None:
        self._model, self._hooks = model, hooks
        self.attention = Attention.of(model)
        self.packed = hooks is None and self.attention.not_packed is None
        self.not_shared: str | None = None
        """Why prefixes were not shared the last time they could have been."""

    @property
    def tokens(self) -> int:
        """Tokens to run at a time.

        In one sequence every token attends to all others, masked or not. A pass of n tokens spends
        4 n d_model operations a layer and token on attention, and about 24 d_model^2 on the rest:
        at n = d_model / 2 a twelfth. On a CPU more at a time gains nothing; on a GPU it does.
        """
        if self.packed and self._model.device.type == "cpu":
            width = self._model.config.get_text_config().hidden_size
            return min(BATCH_TOKENS, max(LEAST_TOKENS, width // 2))
        return BATCH_TOKENS

    def groups(self, rows: Sequence[Sequence[int]], limits: Sequence[int]) -> list[Group]:
        """Group rows by the prefixes they share; see `group_rows`."""
        alone = [Group(0, list(range(len(rows))))]
        if self._hooks is not None and not self._hooks.shares_prefixes:
            return alone
        groups = group_rows(rows, limits, worth=WORTH)
        if not self.packed and any(group.prefix for group in groups):
            self.not_shared = self.attention.not_behind_prefix(max(map(len, rows)))
            if self.not_shared:
                return alone
        return groups

    def prefix(
        self, rows: Sequence[Sequence[int]], group: Group, lower: LowerStates | None = None
    ) -> Prefix:
        """Run the prefix of a group."""
        ids = rows[group.rows[0]][: group.prefix]
        return Prefix(
            self._model,
            ids,
            attention=self.attention,
            packed=self.packed,
            lower=lower,
            hooks=self._hooks,
        )

    def take(
        self, rows: Sequence[Sequence[int]], prefix: int, left: Sequence[int], budget: int
    ) -> list[int]:
        """Return which of the rows that are left come next."""
        choose = next_tree if self.packed else next_padded
        return choose(rows, Group(prefix, list(left)), budget=budget)
