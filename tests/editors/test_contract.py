"""What holds for every editor, whatever it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from seqedit_bench.editors import (
    Editor,
    EditRequest,
    ModelShape,
    about_editor,
    available_editors,
    get_editor,
)

EDITORS = available_editors()
FAMILIES = ["gpt2", "gptj", "llama"]
Make = Callable[..., Any]


def snapshot(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def changed(before: dict[str, Tensor], model: PreTrainedModel) -> set[str]:
    return {
        name for name, tensor in model.named_parameters() if not torch.equal(before[name], tensor)
    }


def run(editor: Editor, requests: list[EditRequest]) -> None:
    for request in requests:
        editor.edit([request])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", EDITORS)
def test_edits_in_place_and_only_what_it_declares(
    name: str, family: str, make_model: Make, make_editor: Make, requests: list[EditRequest]
) -> None:
    model = make_model(family)
    editor = make_editor(name, model)
    pristine = snapshot(model)
    declared = set(editor.edited_parameters())
    assert declared <= set(pristine)
    report = editor.edit(requests[:1])
    first = snapshot(model)
    assert changed(pristine, model) == declared
    assert set(report.update_norms) == declared
    for parameter, norm in report.update_norms.items():
        assert (first[parameter] - pristine[parameter]).norm().item() == pytest.approx(
            norm, rel=1e-3
        )
    assert len(report.per_request) == 1
    editor.edit(requests[1:2])
    assert changed(first, model) == declared, "the second edit must add to the first"


@pytest.mark.parametrize("name", EDITORS)
def test_leaves_modes_flags_and_random_state(
    name: str, main_model: PreTrainedModel, make_editor: Make, requests: list[EditRequest]
) -> None:
    next(main_model.parameters()).requires_grad_(False)
    flags = [parameter.requires_grad for parameter in main_model.parameters()]
    state = torch.random.get_rng_state()
    run(make_editor(name, main_model), requests)
    assert not main_model.training
    assert [parameter.requires_grad for parameter in main_model.parameters()] == flags
    assert all(parameter.grad is None for parameter in main_model.parameters())
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(module._forward_hooks for module in main_model.modules())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", EDITORS)
def test_same_seed_same_weights(
    name: str, family: str, make_model: Make, make_editor: Make, requests: list[EditRequest]
) -> None:
    models = [make_model(family), make_model(family)]
    for model in models:
        run(make_editor(name, model, seed=3), requests)
    assert not changed(snapshot(models[0]), models[1])


@pytest.mark.parametrize("name", EDITORS)
def test_state_round_trip_gives_the_same_next_edit(
    name: str, make_model: Make, make_editor: Make, requests: list[EditRequest]
) -> None:
    """An editor made anew on the edited weights, with another seed, takes the old one's state."""
    model = make_model("llama")
    editor = make_editor(name, model)
    editor.edit(requests[:1])
    resumed = make_model("llama")
    other = make_editor(name, resumed, seed=99)
    other.load_state_dict(editor.state_dict())
    resumed.load_state_dict(model.state_dict())
    editor.edit(requests[1:2])
    other.edit(requests[1:2])
    assert not changed(snapshot(model), resumed)


@pytest.mark.parametrize("name", EDITORS)
def test_several_facts_at_a_time(
    name: str, make_model: Make, make_editor: Make, requests: list[EditRequest]
) -> None:
    editor = make_editor(name, make_model("gpt2"))
    if editor.batched:
        assert len(editor.edit(requests).per_request) == len(requests)
    else:
        with pytest.raises(ValueError, match=r"unpack|one fact"):
            editor.edit(requests)


@pytest.mark.parametrize("name", [name for name in EDITORS if name != "none"])
def test_broken_weights_are_reported_not_raised(
    name: str, main_model: PreTrainedModel, make_editor: Make, requests: list[EditRequest]
) -> None:
    editor = make_editor(name, main_model)
    with torch.no_grad():
        for parameter in editor.edited_parameters():
            main_model.get_parameter(parameter).fill_(float("nan"))
    for request in requests:
        (report,) = editor.edit([request]).per_request
        assert report["loss"] != report["loss"], "the report must say that the model is broken"


@pytest.mark.parametrize("name", EDITORS)
def test_card_equals_class(name: str) -> None:
    """`list editors` reads the card, without importing the class."""
    about, cls = about_editor(name), get_editor(name)
    assert about["kind"] == cls.kind
    assert about["batched"] is cls.batched
    assert set(about["needs"]) == cls.needs


@pytest.mark.parametrize("name", EDITORS)
@pytest.mark.parametrize("depth", [1, 2, 4, 28, 48])
def test_derived_hparams_fit_any_depth(name: str, depth: int) -> None:
    cls = get_editor(name)
    values = cls.Hparams.model_validate(cls.Hparams.derive(ModelShape(depth, 1024, 4096)))
    assert all(0 <= layer < depth for layer in getattr(values, "layers", []))
