"""Memory that runs out halves what is run at a time, and nothing is lost."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from seqedit_bench.editors import EditRequest
from seqedit_bench.editors import _spread as spread
from seqedit_bench.editors import _values as values
from seqedit_bench.editors._keys import subject_rows
from seqedit_bench.editors._memory import Budget, OutOfMemory, is_out_of_memory

ERRORS = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"
    ),
    RuntimeError("[...] not enough memory: you tried to allocate 9000000000 bytes."),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GB, max allowed: 9.07 GB)"),
]


def first(left: Sequence[int], many: int) -> Sequence[int]:
    return left[: max(many, 1)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("size", [8, sys.maxsize])
def test_everything_is_done_in_batches_that_fit(error: Exception, size: int) -> None:
    done: list[list[int]] = []

    def work(batch: Sequence[int]) -> None:
        if len(batch) > 3:
            raise error
        done.append(list(batch))

    budget = Budget(size, "fact")
    budget.run(range(10), first, work)
    assert [item for batch in done for item in batch] == list(range(10))
    assert budget.size in (2, 3)
    halved = budget.halved
    assert halved >= 1
    budget.run(range(10), first, work)
    assert budget.halved == halved, "what was learnt is remembered"


def test_one_that_does_not_fit_is_an_error_of_one_line() -> None:
    def work(_: Sequence[int]) -> None:
        raise MemoryError

    budget = Budget(4, "fact")
    with pytest.raises(OutOfMemory, match=r"^out of memory with a single fact: use a device with"):
        budget.run(range(4), first, work)
    with pytest.raises(OutOfMemory):
        budget.once(lambda: work([0]))


@pytest.mark.parametrize("many", [1, 4])
def test_what_can_be_given_back_is_given_back_before_less_is_tried(many: int) -> None:
    kept, tried = [1], []

    def relief() -> bool:
        return bool(kept and kept.pop())

    def work(batch: Sequence[int]) -> None:
        tried.append(list(batch))
        if kept or len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    whole = list(range(many))
    budget = Budget(many, "fact", relief)
    budget.run(whole, first, work)
    assert tried == ([whole] * 2 if many == 1 else [whole] * 2 + [[0, 1], [2, 3]])
    assert budget.halved == (many > 2)
    kept.append(1)
    assert budget.once(lambda: work([0]) or "made") == "made"


def test_what_frees_nothing_in_the_end_is_not_tried_for_ever() -> None:
    tried = []

    def work(batch: Sequence[int]) -> None:
        tried.append(len(batch))
        raise MemoryError

    with pytest.raises(OutOfMemory):
        Budget(2, "fact", relief=lambda: True).run(range(2), first, work)
    assert tried == [2, 2, 1, 1]


def test_other_errors_go_through() -> None:
    def work(_: Sequence[int]) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    budget = Budget(4, "fact")
    with pytest.raises(RuntimeError, match="shapes"):
        budget.run(range(4), first, work)
    assert budget.halved == 0
    assert not is_out_of_memory(ValueError("not enough memory"))
    assert not is_out_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_values_of_a_batch_are_found_in_parts(
    main_model: PreTrainedModel,
    make_editor: Callable[..., Any],
    requests: list[EditRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each request stops at its own threshold, so parts find what the whole batch finds."""
    editor = make_editor("memit", main_model)
    whole = editor.solve_values(requests, ["{}"])
    descend, sizes = values._descend, []

    def scarce(reach: Any, count: int, settings: Any) -> Any:
        sizes.append(count)
        if count > 2:
            raise MemoryError
        return descend(reach, count, settings)

    monkeypatch.setattr(values, "_descend", scarce)
    parts = editor.solve_values(requests, ["{}"])
    assert sizes == [4, 2, 2]
    for one, other in zip(whole, parts, strict=True):
        assert torch.allclose(one.delta, other.delta, atol=1e-4)
    editor.solve_values(requests, ["{}"])
    assert sizes == [4, 2, 2, 2, 2], "not tried again with every call"


def test_keys_of_a_batch_are_read_in_parts(
    main_model: PreTrainedModel,
    make_editor: Callable[..., Any],
    requests: list[EditRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    editor = make_editor("memit", main_model)
    rows = [subject_rows(editor.tokenizer, request, editor._templates) for request in requests]
    whole = editor._keys_and_reached(1, rows)
    read, sizes = spread.keys_and_layer_output, []

    def scarce(*arguments: Any) -> Any:
        sizes.append(len(arguments[-1]) // len(editor._templates))
        if sizes[-1] > 2:
            raise MemoryError
        return read(*arguments)

    monkeypatch.setattr(spread, "keys_and_layer_output", scarce)
    for one, other in zip(whole, editor._keys_and_reached(1, rows), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert sizes == [4, 2, 2]
