"""Which tokens are run: every row once, in groups that really share what they say."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from seqedit_bench.benchmark.sharing import (
    PREFIX_SHARE,
    Group,
    group_rows,
    grow,
    next_padded,
    next_tree,
    shared_rows,
)

TOKENS = st.integers(0, 2)
BLOCKS = [[7] * 20, [7] * 20 + [8] * 30, [9] * 40]
ROWS = st.lists(
    st.tuples(st.sampled_from([[], *BLOCKS]), st.lists(TOKENS, min_size=1, max_size=6)).map(
        lambda parts: [*parts[0], *parts[1]]
    ),
    min_size=1,
    max_size=14,
)


@given(st.lists(st.lists(TOKENS, min_size=1, max_size=5), min_size=1, max_size=12))
def test_shared_rows_cover_all_inputs_and_none_twice(inputs: list[list[int]]) -> None:
    rows, host_of = shared_rows(inputs)
    for each, host in zip(inputs, host_of, strict=True):
        assert rows[host][: len(each)] == each
    for index, row in enumerate(rows):
        others = rows[:index] + rows[index + 1 :]
        assert not any(other[: len(row)] == row for other in others)


@given(ROWS, st.sampled_from([1, 20, 60]))
@settings(deadline=None)
def test_groups_hold_every_row_once_and_share_their_prefix(
    inputs: list[list[int]], worth: int
) -> None:
    rows, _ = shared_rows(inputs)
    limits = [len(row) - 1 for row in rows]
    groups = group_rows(rows, limits, worth=worth)
    assert sorted(index for group in groups for index in group.rows) == list(range(len(rows)))
    for group in groups:
        prefix = rows[group.rows[0]][: group.prefix]
        assert all(rows[index][: group.prefix] == prefix for index in group.rows)
        assert all(group.prefix <= limits[index] for index in group.rows)
        if group.prefix:
            assert (len(group.rows) - 1) * group.prefix >= worth


def test_nested_prefixes_are_cut_where_most_is_saved() -> None:
    """Two tasks that begin alike: each block of shots is shared by its own task."""
    long = [[1] * 20 + [2] * 100 + [index] for index in range(10)]
    other = [[1] * 20 + [3] * 80 + [index] for index in range(10)]
    groups = group_rows(long + other, [100] * 20, worth=50)
    assert sorted((group.prefix, sorted(group.rows)) for group in groups) == [
        (100, list(range(10))),
        (100, list(range(10, 20))),
    ]
    assert group_rows(long, [100] * 10, worth=901) == [Group(0, list(range(10)))]


def test_what_is_read_lies_behind_the_prefix() -> None:
    rows = [[1] * 50 + [index] for index in range(5)]
    (group,) = group_rows(rows, [50, 50, 30, 50, 50], worth=10)
    assert group.prefix == 30


def test_a_thousand_nested_rows_do_not_exhaust_the_stack() -> None:
    rows = [[1] * length + [2] for length in range(1, 2000)]
    groups = group_rows(rows, [len(row) - 1 for row in rows], worth=512)
    assert sum(len(group.rows) for group in groups) == len(rows)


@given(st.lists(st.lists(TOKENS, min_size=1, max_size=6), min_size=1, max_size=12))
def test_a_tree_holds_each_beginning_once_and_every_token_sees_its_own_row(
    rows: list[list[int]],
) -> None:
    rows = sorted(rows)
    tree = grow(rows)
    assert len(tree.tokens) == len({tuple(row[: at + 1]) for row in rows for at in range(len(row))})
    for row, path in zip(rows, tree.paths, strict=True):
        assert [tree.tokens[place] for place in path] == row
        assert [tree.depths[place] for place in path] == list(range(len(row)))
        for depth, place in enumerate(path):
            seen = [j for j in range(place + 1) if j <= place < tree.ends[j]]
            assert seen == path[: depth + 1]


def batches(rows: list[list[int]], prefix: int, budget: int, choose: Any) -> list[list[int]]:
    left, found = list(range(len(rows))), []
    while left:
        found.append(choose(rows, Group(prefix, left), budget=budget))
        assert found[-1]
        left = [row for row in left if row not in found[-1]]
    return found


@given(
    st.lists(st.lists(TOKENS, min_size=1, max_size=30), min_size=1, max_size=30),
    st.sampled_from([0, 10]),
    st.sampled_from([1, 64, 300]),
)
def test_trees_hold_every_row_once_within_the_budget(
    suffixes: list[list[int]], prefix: int, budget: int
) -> None:
    rows = sorted([7] * prefix + suffix for suffix in suffixes)
    found = batches(rows, prefix, budget, next_tree)
    assert [row for batch in found for row in batch] == list(range(len(rows)))
    for batch in found:
        tokens = len(grow([rows[row] for row in batch]).tokens) - prefix
        assert len(batch) == 1 or tokens <= budget
    if budget == 300:
        sizes = [len(grow([rows[row] for row in batch]).tokens) - prefix for batch in found]
        assert all(one + other > budget - 30 for one, other in pairwise(sizes)), "nearly full"


@given(
    st.lists(st.integers(11, 60), min_size=1, max_size=30),
    st.sampled_from([0, 10]),
    st.sampled_from([1, 64, 300]),
)
def test_padded_batches_hold_every_row_once_within_the_budget(
    lengths: list[int], prefix: int, budget: int
) -> None:
    rows = [[7] * length for length in lengths]
    found = batches(rows, prefix, budget, next_padded)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    for batch in found:
        longest = max(lengths[index] for index in batch)
        if len(batch) > 1:
            assert len(batch) * (longest - prefix) <= budget
            if prefix:
                assert len(batch) * longest <= PREFIX_SHARE * budget
