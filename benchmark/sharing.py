"""Which tokens must be run: pure functions of token ids, without torch.

Benchmarks ask the same model nearly the same thing again and again: two targets after one prompt,
two hundred questions behind one block of shots. Each distinct token needs to be run only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

STEP = 16
"""Shared prefixes that differ by less than this many tokens are not told apart."""
PREFIX_SHARE = 4
"""A batch may hold this many times its budget in copies of a shared prefix's keys and values."""


class Tree(NamedTuple):
    """Rows as one sequence in which whatever they begin with in common stands once.

    Tokens stand in depth-first order, so that a token's continuations lie between it and its end:
    token i sees token j if j <= i < ends[j].
    """

    tokens: list[int]
    depths: list[int]
    """Position of each token in its row, from 0."""
    ends: list[int]
    """Where the continuations of each token end."""
    paths: list[list[int]]
    """For each row, where its tokens stand."""


class Group(NamedTuple):
    """Rows that begin with the same tokens."""

    prefix: int
    """Number of tokens they share and that are run once; 0 for rows that are run whole."""
    rows: list[int]
    """Indices of the rows."""


def shared_rows(inputs: Sequence[Sequence[int]]) -> tuple[list[list[int]], list[int]]:
    """Find the rows that must be run: those that are a prefix of no other.

    A causal model's states at a position depend on nothing behind it, so a row serves all its
    prefixes. In lexicographic order a row is a prefix of some row only if it is one of the next.

    Args:
        inputs: Token ids.

    Returns:
        The rows to run, and for each input the index of the row that serves it.

    Example:
        >>> shared_rows([[1, 2], [1], [3], [1, 2]])
        ([[3], [1, 2]], [1, 1, 0, 1])
    """
    order = sorted(range(len(inputs)), key=lambda index: list(inputs[index]))
    rows: list[list[int]] = []
    host_of = [0] * len(inputs)
    for index in reversed(order):
        row = list(inputs[index])
        if not rows or rows[-1][: len(row)] != row:
            rows.append(row)
        host_of[index] = len(rows) - 1
    return rows, host_of


def grow(rows: Sequence[Sequence[int]]) -> Tree:
    """Lay rows out as a tree.

    Args:
        rows: Token ids; rows that are alike, or begin alike, should be neighbors: only what a row
            shares with the one before it is told apart from new tokens.

    Example:
        >>> tree = grow([[5, 6, 7], [5, 6], [5, 8]])
        >>> tree.tokens, tree.ends, tree.paths
        ([5, 6, 7, 8], [4, 3, 3, 4], [[0, 1, 2], [0, 1], [0, 3]])
    """
    tree = Tree([], [], [], [])
    row: Sequence[int] = ()
    path: list[int] = []
    for new in rows:
        shared = _common(row, new)
        for place in path[shared:]:
            tree.ends[place] = len(tree.tokens)
        added = range(len(tree.tokens), len(tree.tokens) + len(new) - shared)
        tree.tokens.extend(new[shared:])
        tree.depths.extend(range(shared, len(new)))
        tree.ends.extend(added)
        row, path = new, [*path[:shared], *added]
        tree.paths.append(path)
    for place in path:
        tree.ends[place] = len(tree.tokens)
    return tree


def group_rows(rows: Sequence[Sequence[int]], limits: Sequence[int], *, worth: int) -> list[Group]:
    """Group rows by the prefix they share, so that the fewest tokens are run.

    Args:
        rows: Token ids.
        limits: For each row, the most tokens that may go into a shared prefix: what is read off
            the model's output must lie behind it.
        worth: Tokens that a group must save; sharing costs calls of its own.

    Returns:
        Groups that hold every row once, each in lexicographic order; the group without a prefix,
        if any, comes last.

    Example:
        >>> rows = [[7] * 40 + [index] for index in range(3)] + [[1, 2]]
        >>> group_rows(rows, [40, 40, 40, 1], worth=50)
        [Group(prefix=40, rows=[0, 1, 2]), Group(prefix=0, rows=[3])]
    """
    order = sorted(range(len(rows)), key=lambda index: list(rows[index]))
    common = [
        min(_common(rows[left], rows[right]), limits[left], limits[right])
        for left, right in pairwise(order)
    ]
    groups = [
        Group(min(common[start : end - 1]), order[start:end])
        for start, end in _split(common, 0, len(order), worth)[1]
    ]
    grouped = {row for group in groups for row in group.rows}
    alone = [index for index in order if index not in grouped]
    return [*groups, Group(0, alone)] if alone else groups


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count


def _split(
    common: Sequence[int], start: int, end: int, worth: int
) -> tuple[int, list[tuple[int, int]]]:
    """Return the most tokens that rows start to end (exclusive) can save, and in which groups.

    `common[i]` is what row i shares with the next. Either all rows are one group, or they are cut
    wherever the fewest tokens are shared.
    """
    inner = common[start : end - 1]
    if not inner or len(inner) * max(inner) < worth:
        return 0, []
    least = min(inner)
    whole = len(inner) * least - worth
    cuts = [
        start + index + 1 for index, shared in enumerate(inner) if shared // STEP == least // STEP
    ]
    saved, groups = 0, []
    for left, right in zip([start, *cuts], [*cuts, end], strict=True):
        part, found = _split(common, left, right, worth)
        saved += part
        groups += found
    return (whole, [(start, end)]) if whole >= max(saved, 0) else (saved, groups)


def next_tree(rows: Sequence[Sequence[int]], group: Group, *, budget: int) -> list[int]:
    """Return the first rows of a group that make a tree of at most `budget` tokens.

    Args:
        rows: Token ids of all rows.
        group: Those to choose from, neighbors as `grow` wants them; one at least is returned.
        budget: Tokens of the tree, the shared prefix aside.
    """
    batch: list[int] = []
    tokens = 0
    before: Sequence[int] = ()
    for index in group.rows:
        tokens += len(rows[index]) - max(group.prefix, _common(before, rows[index]))
        if batch and tokens > budget:
            break
        batch.append(index)
        before = rows[index]
    return batch


def next_padded(rows: Sequence[Sequence[int]], group: Group, *, budget: int) -> list[int]:
    """Return the longest rows of a group that make a batch of at most `budget` tokens with padding.

    Args:
        rows: Token ids of all rows.
        group: Those to choose from; one at least is returned.
        budget: Tokens of the batch, the shared prefix aside; of copies of the prefix's keys and
            values it may hold `PREFIX_SHARE` times as many.
    """
    order = sorted(group.rows, key=lambda row: -len(rows[row]))
    longest = len(rows[order[0]])
    many = budget // max(longest - group.prefix, 1)
    if group.prefix:
        many = min(many, PREFIX_SHARE * budget // longest)
    return order[: max(many, 1)]
