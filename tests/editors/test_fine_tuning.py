"""Fine-tuning with and without its box: one loop, two objectives, layers of text and of code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.editors import Editor, EditRequest, get_editor, resolve_hparams
from seqedit_bench.editors._architecture import Architecture
from seqedit_bench.editors._base import ModelShape
from seqedit_bench.editors._fine_tuning import FactLoss, TrainingHparams, descend
from seqedit_bench.editors.ft_c import FTCHparams
from seqedit_bench.tasks.errors import InputError
from seqedit_bench.tasks.tokenization import encode_pair

SHAPE = ModelShape(depth=24, d_model=8, d_ff=32)


def weights_of(editor: Editor) -> dict[str, Tensor]:
    names = editor.edited_parameters()
    return {name: editor.model.get_parameter(name).detach().clone() for name in names}


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("objective", ["prompt_last", "target_new"])
def test_loss_equals_a_plain_forward_pass(
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    requests: list[EditRequest],
    objective: str,
    layer: int,
) -> None:
    """Row by row, without padding and from the embeddings up."""
    facts = FactLoss(
        main_model,
        tokenizer,
        Architecture.of(main_model),
        requests,
        layer=layer,
        objective="target_new" if objective == "target_new" else "prompt_last",
    )
    expected = []
    for request in requests:
        context, continuation = encode_pair(tokenizer, request.text, request.target_new)
        ids = torch.tensor([context + continuation])
        with torch.no_grad():
            logits = main_model(input_ids=ids, use_cache=False).logits[0]
        reads = torch.arange(len(continuation)) if objective == "target_new" else 0
        scores = logits[torch.zeros(len(continuation), dtype=torch.long) + len(context) - 1 + reads]
        expected.append(functional.cross_entropy(scores, torch.tensor(continuation)))
    torch.testing.assert_close(facts().detach(), torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_descend_is_adam_with_a_box_and_a_threshold() -> None:
    """Adam's first steps are of size lr: from 1, with a box of 0.25 and lr 0.1, to 0.75."""

    def settings(threshold: float) -> TrainingHparams:
        values = {"num_steps": 5, "lr": 0.1, "loss_threshold": threshold}
        return TrainingHparams.model_validate(values)

    hparams = settings(0.0)
    weight = torch.ones(1, requires_grad=True)
    (report,) = descend([weight], lambda: 3 * weight, hparams, radius=0.25)
    assert weight.item() == pytest.approx(0.75)
    assert report["loss_first"] == pytest.approx(3.0)
    assert report["loss"] == pytest.approx(2.25)
    assert report["steps"] == 5
    assert weight.grad is None
    free = torch.ones(1, requires_grad=True)
    descend([free], lambda: 3 * free, hparams)
    assert free.item() == pytest.approx(0.5, abs=1e-5)
    stopped = torch.ones(1, requires_grad=True)
    hparams = settings(2.5)
    (report,) = descend([stopped], lambda: 3 * stopped, hparams)
    assert report["steps"] == 2  # losses 3.0, 2.7, 2.4
    assert stopped.item() == pytest.approx(0.8, abs=1e-5)


def test_ft_c_with_a_wide_box_is_ft(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    shared = {"layers": [1], "num_steps": 6, "lr": 0.005}
    free = make_editor("ft", make_model("gpt2"), **shared)
    wide = make_editor("ft_c", make_model("gpt2"), norm_constraint=10.0, **shared)
    tight = make_editor("ft_c", make_model("gpt2"), norm_constraint=0.01, **shared)
    for editor in (free, wide, tight):
        editor.edit(requests[:1])
    ours, theirs, boxed = map(weights_of, (free, wide, tight))
    assert list(ours) == list(theirs)
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)
        assert not torch.allclose(ours[name], boxed[name])


@pytest.mark.parametrize("objective", ["prompt_last", "target_new"])
def test_ft_fits_a_fact(
    main_model: PreTrainedModel,
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
    objective: str,
) -> None:
    """Several tokens read from one position cannot all be likely: there the loss stays above."""
    base: Any = main_model.base_model
    with torch.no_grad():  # a random head on short hidden states could not be sure of anything
        (base.norm if hasattr(base, "norm") else base.ln_f).weight.mul_(8)
    editor = make_editor("ft", main_model, objective=objective, num_steps=60, lr=0.02)
    (report,) = editor.edit(requests[:1]).per_request
    tokens = len(encode_pair(editor.tokenizer, requests[0].text, requests[0].target_new)[1])
    if objective == "target_new":
        assert report["loss"] < 0.01 < report["loss_first"]
        assert report["steps"] < 60
    else:
        assert tokens > 1
        assert report["loss"] > 0.1
        assert report["steps"] == 60


def test_a_batch_reports_each_fact(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    together = make_editor("ft", make_model("llama")).edit(requests)
    alone = [make_editor("ft", make_model("llama")).edit([each]) for each in requests]
    for ours, theirs in zip(together.per_request, alone, strict=True):
        assert ours["loss_first"] == pytest.approx(theirs.per_request[0]["loss_first"], rel=1e-4)


def test_ft_trains_a_whole_layer_where_asked(
    main_model: PreTrainedModel, make_editor: Callable[..., Editor], requests: list[EditRequest]
) -> None:
    editor = make_editor("ft", main_model, part="layer", layers=[2])
    layer = Architecture.of(main_model).layers(main_model)[2]
    before = weights_of(editor)
    assert len(before) == len(list(layer.parameters()))
    editor.edit(requests[:1])
    unmoved = [
        name for name, weight in weights_of(editor).items() if torch.equal(weight, before[name])
    ]
    assert not unmoved


def test_ft_c_layers_of_text_and_of_code() -> None:
    def layers(model: str, *overrides: str) -> list[int]:
        resolved = resolve_hparams(
            "ft_c", get_editor("ft_c"), model_name=model, shape=SHAPE, overrides=overrides
        )
        assert isinstance(resolved.hparams, FTCHparams)
        return resolved.hparams.layers

    assert layers("gpt2-xl") == [17]
    assert layers("gpt2-xl", "layer_choice=code") == [0]
    assert layers("gpt2-xl", "layer_choice=code", "layers=[3, 4]") == [3, 4]
    assert layers("somebody's") == [4]
    assert layers("somebody's", "layer_choice=code") == [0]
    with pytest.raises(InputError, match="layers of ft_c"):
        resolve_hparams(
            "ft_c", get_editor("ft_c"), model_name="gpt2-xl", shape=SHAPE, overrides=["layers=[]"]
        )


def test_published_layers_of_ft() -> None:
    for model, layer in {"gpt2-xl": 1, "gpt-j-6B": 21, "another": 18}.items():
        resolved = resolve_hparams("ft", get_editor("ft"), model_name=model, shape=SHAPE)
        assert resolved.hparams.model_dump()["layers"] == [layer]


def test_a_layer_that_is_not_there(
    make_model: Callable[..., PreTrainedModel], make_editor: Callable[..., Editor]
) -> None:
    for part in ("mlp_out", "layer"):
        with pytest.raises(InputError, match="layer 9: the model has layers 0 to 3"):
            make_editor("ft", make_model("gpt2"), layers=[9], part=part)
