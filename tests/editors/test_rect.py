"""RECT: what is kept, and when it is masked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from changes import same, vectors, weights
from seqedit_bench.editors import Editor, EditReport, EditRequest
from seqedit_bench.editors.rect import largest_relative

MakeEditor = Callable[..., Editor]
MakeModel = Callable[..., PreTrainedModel]


@pytest.mark.parametrize("keep", [0.001, 0.07, 0.25, 0.4, 1.0])
def test_rect_keeps_exactly_its_share(keep: float) -> None:
    """0.07 * 100 is 7.000000000000001: a ceiling in floating point keeps one too many."""
    update, weight = vectors(10, 10), vectors(10, 10, seed=2)
    mask = largest_relative(update, weight, keep)
    assert int(mask.sum()) == {0.001: 1, 0.07: 7, 0.25: 25, 0.4: 40, 1.0: 100}[keep]
    scores = (update / weight).abs()
    if keep < 1:
        assert scores[mask].min() >= scores[~mask].max()


def test_rect_counts_ties_once() -> None:
    assert int(largest_relative(torch.ones(4, 5), torch.ones(4, 5), 0.4).sum()) == 8


def test_rect_does_not_see_the_scale_of_a_change() -> None:
    update, weight = vectors(8, 9), vectors(8, 9, seed=2)
    mask = largest_relative(update, weight, 0.3)
    for factor in (-1.0, 4.0, 2.0**-20):
        assert torch.equal(largest_relative(factor * update, weight, 0.3), mask)


def test_rect_always_keeps_changes_of_zero_weights() -> None:
    weight = vectors(8, 8, seed=2)
    weight[3, :5] = 0
    update = vectors(8, 8)
    update[3, :5] = 1e-4
    assert largest_relative(update, weight, 0.1)[3, :5].all()


@pytest.mark.parametrize("base", ["memit", "rome", "ft_c"])
@pytest.mark.parametrize("when", ["each_layer", "after_all"])
def test_rect_that_keeps_all_is_its_base(
    base: str,
    when: str,
    main_model: PreTrainedModel,
    make_editor: MakeEditor,
    requests: list[EditRequest],
) -> None:
    wrapped = make_editor(f"rect+{base}", main_model, rect={"keep": 1.0, "when": when})
    start = weights(wrapped)
    wrapped.edit(requests[:1])
    after = weights(wrapped)
    for name, tensor in start.items():
        main_model.get_parameter(name).data.copy_(tensor)
    plain = make_editor(base, main_model)
    plain.edit(requests[:1])
    assert same(after, weights(plain))
    assert not same(after, start)


def changes(
    make_editor: MakeEditor, model: PreTrainedModel, request: EditRequest, name: str, **hparams: Any
) -> tuple[list[Tensor], EditReport]:
    editor = make_editor(name, model, **hparams)
    before = weights(editor)
    report = editor.edit([request])
    return [now - before[name] for name, now in weights(editor).items()], report


def test_rect_masks_each_layer_before_the_next_is_solved(
    make_model: MakeModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    """Both ways agree on the first layer; behind it, what the mask left out is made up for."""
    found = {
        when: changes(
            make_editor, make_model("llama"), requests[0], "rect+memit", rect={"when": when}
        )
        for when in ("each_layer", "after_all")
    }
    (each, report), (after, _) = found["each_layer"], found["after_all"]
    torch.testing.assert_close(each[0], after[0], rtol=0, atol=1e-7)
    assert not torch.allclose(each[-1], after[-1], rtol=0, atol=1e-5)
    for change, norm in zip(each, report.update_norms.values(), strict=True):
        count = math.ceil(0.4 * change.numel())
        # A kept change may be too small to be seen in float32.
        assert 0.95 * count < int((change != 0).sum()) <= count
        assert norm == pytest.approx(float(change.norm()), rel=1e-4)


def test_rect_holds_for_what_a_wrapper_inside_writes(
    make_model: MakeModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    """PRUNE in place, here of weights so small that it acts, would fill in what RECT left out."""
    model = make_model("llama")
    for layer in range(3):
        model.get_parameter(f"model.layers.{layer}.mlp.down_proj.weight").data.mul_(1e-3)
    prune = {"mode": "in_place", "function": "linear"}
    each, report = changes(make_editor, model, requests[0], "rect+prune+memit", prune=prune)
    for change, norm in zip(each, report.update_norms.values(), strict=True):
        assert 0 < int((change != 0).sum()) <= math.ceil(0.4 * change.numel())
        assert norm == pytest.approx(float(change.norm()), rel=1e-4)


def test_rect_after_all_is_the_mask_of_what_the_base_does(
    make_model: MakeModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    model = make_model("gpt2")
    before = [tensor.double() for tensor in weights(make_editor("memit", model)).values()]
    plain, plain_report = changes(make_editor, model, requests[0], "memit")
    masked, report = changes(
        make_editor, make_model("gpt2"), requests[0], "rect+memit", rect={"when": "after_all"}
    )
    for change, kept, weight in zip(plain, masked, before, strict=True):
        expected = torch.where(largest_relative(change.double(), weight, 0.4), change, 0.0)
        assert int((expected != kept).sum()) <= 2  # nearly equal scores at the border
    for name, norm in report.update_norms.items():
        assert 0 < norm < plain_report.update_norms[name]


def test_rect_leaves_biases_to_the_base(
    make_model: MakeModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    plain, _ = changes(make_editor, make_model("gpt2"), requests[0], "ft_c")
    masked, _ = changes(make_editor, make_model("gpt2"), requests[0], "rect+ft_c")
    assert [change.dim() for change in plain] == [2, 1]
    assert torch.equal(plain[1], masked[1])
    assert int((masked[0] != 0).sum()) == math.ceil(0.4 * plain[0].numel())
