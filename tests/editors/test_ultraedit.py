"""UltraEdit against its closed forms: collector, normaliser, ridge solve, and the whole edit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.editors import Editor, EditRequest, get_editor, resolve_hparams
from seqedit_bench.editors._architecture import Architecture, oriented
from seqedit_bench.editors._base import ModelShape
from seqedit_bench.editors._token_gradients import Normaliser, TokenGradients, token_gradients
from seqedit_bench.editors.ultraedit import UltraEdit, UltraEditHparams, ridge_update, step
from seqedit_bench.tasks.errors import InputError
from seqedit_bench.tasks.tokenization import Pair, encode_pair

CPU = torch.device("cpu")


def vectors(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def pairs_of(tokenizer: PreTrainedTokenizerFast, requests: list[EditRequest]) -> list[Pair]:
    return [encode_pair(tokenizer, each.text, each.target_new) for each in requests]


def weights(editor: Editor) -> dict[str, Tensor]:
    names = [name.removesuffix(".weight") for name in editor.edited_parameters()]
    return {name: oriented(editor.model.get_submodule(name)).detach().clone() for name in names}


@pytest.mark.parametrize("tokens", [1, 3, 12, 40])
def test_ridge_update_on_either_side(tokens: int) -> None:
    """The push-through identity: V H^T (H H^T + I)^-1 = V (H^T H + I)^-1 H^T."""
    shifts, inputs = vectors(6, tokens), vectors(12, tokens, seed=2)
    update = ridge_update(shifts, inputs)
    for expected in (
        shifts @ inputs.T @ torch.linalg.inv(inputs @ inputs.T + torch.eye(12)),
        shifts @ torch.linalg.inv(inputs.T @ inputs + torch.eye(tokens)) @ inputs.T,
    ):
        torch.testing.assert_close(update, expected, rtol=1e-9, atol=1e-10)


def test_one_token_moves_its_own_output() -> None:
    """DW h = v |h|^2 / (1 + |h|^2)."""
    shift, key = vectors(6, 1), vectors(12, 1, seed=2)
    square = key.square().sum()
    moved = ridge_update(shift, key) @ key
    torch.testing.assert_close(moved, shift * square / (1 + square))


def test_step_is_down_the_gradient() -> None:
    """|(1, 2)|^2 = 5."""
    shifts = step(torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 7.0]]), 2, 0.1)
    torch.testing.assert_close(shifts, torch.tensor([[-1.5, 0.0]]))


@pytest.mark.parametrize("cuts", [[30], [1, 29], [29, 1], [1, 1, 1, 27], [10, 10, 10]])
def test_normaliser_merges_as_if_it_were_one_batch(cuts: list[int]) -> None:
    sample = 1e3 + vectors(30, 5) * torch.tensor([1e-6, 1.0, 10.0, 1e4, 0.0])
    normaliser = Normaliser(5, CPU)
    for part in sample.split(cuts):
        normaliser.add(part)
    assert normaliser.count == 30
    torch.testing.assert_close(normaliser.mean, sample.mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(normaliser.variance, sample.var(0), rtol=1e-5, atol=1e-18)
    scaled = normaliser(sample)
    torch.testing.assert_close(scaled[:, :4].std(0), torch.ones(4).double(), rtol=1e-5, atol=0)
    assert not scaled[:, 4].any()  # it never varied


def test_normaliser_of_one_vector_is_finite() -> None:
    """The published one is NaN from here on."""
    normaliser = Normaliser(3, CPU)
    normaliser.add(vectors(1, 3))
    assert not normaliser(vectors(1, 3)).any()
    normaliser.add(vectors(4, 3, seed=2))
    together = torch.cat([vectors(1, 3), vectors(4, 3, seed=2)])
    torch.testing.assert_close(normaliser.variance, together.var(0))


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_collected_inputs_and_gradients(
    any_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    requests: list[EditRequest],
    batch_size: int,
) -> None:
    """Their outer products are the weight's gradient of a fact's mean NLL, in the last layer.

    There nothing attends to what the projection gives out: all gradient is at answer positions.
    """
    architecture = Architecture.of(any_model)
    module = architecture.mlp_out(any_model, 3)
    pairs = pairs_of(tokenizer, requests)
    found, nll = token_gradients(any_model, {"m": module}, pairs, batch_size=batch_size)
    inputs, gradients = found["m"]
    assert len(inputs) == sum(len(pair.continuation) for pair in pairs)
    start = 0
    for pair, loss in zip(pairs, nll, strict=True):
        ids = torch.tensor([pair.context + pair.continuation])
        logits = any_model(input_ids=ids, use_cache=False).logits[0]
        reads = len(pair.context) - 1 + torch.arange(len(pair.continuation))
        expected = functional.cross_entropy(logits[reads], torch.tensor(pair.continuation))
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-4, atol=1e-4)
        weight = module.get_parameter("weight")
        (whole,) = torch.autograd.grad(expected, weight)
        whole = whole if oriented(module).shape == weight.shape else whole.T
        part = slice(start, start + len(pair.continuation))
        torch.testing.assert_close(
            gradients[part].T @ inputs[part], whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max())
        )
        start += len(pair.continuation)
    assert all(parameter.grad is None for parameter in any_model.parameters())


def test_lower_layers_get_gradients_through_upper_ones(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, requests: list[EditRequest]
) -> None:
    """Against a finite difference of the mean NLL."""
    architecture = Architecture.of(main_model)
    modules = {str(layer): architecture.mlp_out(main_model, layer) for layer in (0, 2)}
    pair = pairs_of(tokenizer, requests)[0]
    found, _ = token_gradients(main_model, modules, [pair], batch_size=1)
    column, small = len(pair.context) - 1, 1e-2
    direction = found["0"].gradients[0] / found["0"].gradients[0].norm()
    losses = []
    for sign in (1, -1):

        def push(_: object, __: object, output: Tensor, sign: int = sign) -> Tensor:
            return output.index_add(1, torch.tensor([column]), sign * small * direction[None, None])

        handle = modules["0"].register_forward_hook(push)
        _, nll = token_gradients(main_model, {"2": modules["2"]}, [pair], batch_size=1)
        handle.remove()
        losses.append(nll.item())
    slope = (losses[0] - losses[1]) / (2 * small)
    assert slope == pytest.approx(found["0"].gradients[0].norm().item(), rel=0.02)


@pytest.mark.parametrize("warmup", [0, 10])
def test_an_edit_is_the_formula(
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
    warmup: int,
) -> None:
    """Both layers' matrices have one shape, so one normaliser sees the tokens of both."""
    editor = make_editor("ultraedit", main_model, lr=0.01, warmup=warmup)
    assert isinstance(editor, UltraEdit)
    pairs = editor._warmup_pairs() if warmup else []
    assert len(pairs) == warmup
    seen = []
    for group in (pairs, pairs_of(tokenizer, requests)):
        if group:
            found, _ = token_gradients(main_model, editor._modules, group, batch_size=20)
            seen.append(found)
    rows = [torch.cat(each, 1).double() for found in seen for each in found.values()]
    mean, deviation = torch.cat(rows).mean(0), torch.cat(rows).std(0)
    before = weights(editor)
    editor.edit(requests)
    after = weights(editor)
    for name, (inputs, gradients) in seen[-1].items():
        scaled = (torch.cat([inputs, gradients], 1).double() - mean) / deviation
        scaled = torch.where(deviation == 0, 0.0, scaled)
        h, g = scaled[:, : inputs.shape[1]], scaled[:, inputs.shape[1] :]
        shifts = -0.01 * (h.square().sum(1)[:, None] * g).T
        keys = inputs.double()
        expected = shifts @ torch.linalg.inv(keys @ keys.T + torch.eye(len(keys))) @ keys
        change = (after[name] - before[name]).double()
        torch.testing.assert_close(change, expected, rtol=1e-3, atol=1e-3 * float(change.std()))


def test_the_scale_of_the_loss_does_not_matter(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changes = []
    for scale in (1.0, 1e-4):

        def scaled(*args: object, scale: float = scale, **kwargs: object) -> object:
            found, nll = token_gradients(*args, **kwargs)  # pyright: ignore[reportArgumentType]
            return {
                name: TokenGradients(each.inputs, scale * each.gradients)
                for name, each in found.items()
            }, nll

        monkeypatch.setattr("seqedit_bench.editors.ultraedit.token_gradients", scaled)
        editor = make_editor("ultraedit", make_model("llama"), warmup=0)
        before = weights(editor)
        editor.edit(requests)
        changes.append({name: after - before[name] for name, after in weights(editor).items()})
    for name, change in changes[0].items():
        assert change.any()
        torch.testing.assert_close(change, changes[1][name], rtol=1e-2, atol=1e-5)


def test_facts_of_a_call_have_no_order(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    results = []
    for facts, size in ((requests, 10), (requests[::-1], 10), (requests, 1)):
        editor = make_editor("ultraedit", make_model("llama"), batch_size=size)
        editor.edit(facts)
        results.append(weights(editor))
    for name in results[0]:
        for other in results[1:]:
            torch.testing.assert_close(results[0][name], other[name], rtol=1e-4, atol=1e-6)


def test_an_empty_normaliser_wastes_the_first_token(
    make_model: Callable[..., PreTrainedModel], make_editor: Callable[..., Editor]
) -> None:
    """As published, with one fact a call; what the warm-up is for."""
    one = EditRequest(9, "The capital of {} is", "France", " A", " B")
    moved = []
    for warmup in (0, 10):
        editor = make_editor(
            "ultraedit", make_model("llama"), modules={"mlp_out": [2]}, warmup=warmup
        )
        report = editor.edit([one])
        moved.append(sum(report.update_norms.values()))
        assert report.per_request[0]["loss"] > 0
    assert moved[0] == 0
    assert moved[1] > 0


def test_edits_make_targets_likelier(
    main_model: PreTrainedModel, make_editor: Callable[..., Editor], requests: list[EditRequest]
) -> None:
    """One fact a call, which the published normaliser is not made for."""
    editor = make_editor("ultraedit", main_model, lr=0.003, warmup=100)
    for request in requests:
        before = editor.edit([request]).per_request[0]["loss"]
        assert editor.edit([request]).per_request[0]["loss"] < before


def test_modules_of_several_shapes(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    chosen = {"mlp.gate_proj": [0], "mlp.up_proj": [0, 1], "mlp_out": [2]}
    editor = make_editor("ultraedit", make_model("llama"), modules=chosen)
    assert editor.edited_parameters() == [
        "model.layers.0.mlp.gate_proj.weight",
        "model.layers.0.mlp.up_proj.weight",
        "model.layers.1.mlp.up_proj.weight",
        "model.layers.2.mlp.down_proj.weight",
    ]
    assert {name.split(".")[0] for name in editor.state_dict()} == {"48x32", "32x48"}
    assert all(norm > 0 for norm in editor.edit(requests[:1]).update_norms.values())


def test_modules_that_are_not_there(
    make_model: Callable[..., PreTrainedModel], make_editor: Callable[..., Editor]
) -> None:
    for chosen, message in [
        (
            {"mlp.gate": [0]},
            "unknown projection of a layer 'mlp.gate': did you mean 'mlp.gate_proj'",
        ),
        ({"mlp": [0]}, "unknown projection of a layer 'mlp'"),
        ({"mlp_out": [4]}, "layer 4: the model has layers 0 to 3"),
    ]:
        with pytest.raises(InputError, match=message):
            make_editor("ultraedit", make_model("llama"), modules=chosen)
    with pytest.raises(InputError, match="warmup=100000: the bundled prose has"):
        make_editor("ultraedit", make_model("llama"), warmup=100_000)


@pytest.mark.parametrize("depth", [1, 2, 4, 28, 48])
def test_derived_layers_exist(depth: int) -> None:
    resolved = resolve_hparams(
        "ultraedit", get_editor("ultraedit"), model_name="new", shape=ModelShape(depth, 8, 32)
    )
    assert isinstance(resolved.hparams, UltraEditHparams)
    layers = resolved.hparams.modules["mlp_out"]
    assert layers
    assert 0 <= min(layers) <= max(layers) < depth
    if depth == 28:
        assert layers == list(range(18, 27))
