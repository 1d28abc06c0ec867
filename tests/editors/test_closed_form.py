"""ROME's and MEMIT's updates against their analytic solutions, and on tiny models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from seqedit_bench.editors import Editor, EditRequest
from seqedit_bench.editors._architecture import Architecture, oriented
from seqedit_bench.editors._keys import keys_and_layer_output, keys_and_outputs, subject_rows
from seqedit_bench.editors._locate import moments_for
from seqedit_bench.editors.memit import MEMIT, least_squares_update
from seqedit_bench.editors.rome import ROME, rank_one_update

D, F = 6, 12


def spd(size: int, *, seed: int = 0) -> Tensor:
    """A random symmetric positive definite matrix, like a second moment of many keys."""
    keys = torch.randn(8 * size, size, generator=torch.Generator().manual_seed(seed))
    return (keys.T @ keys / len(keys)).double()


def vectors(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def test_rank_one_is_the_constrained_least_squares_solution() -> None:
    """On a linear associative memory: min ||(W + U) K - V||^2 with (W + U) k* = v*.

    The Lagrangian's solution is U = (v* - W k*) (C^-1 k*)^T / (k*^T C^-1 k*), C = K K^T.
    """
    memory_keys, weight = vectors(F, 60, seed=2), vectors(D, F, seed=3)
    moment = memory_keys @ memory_keys.T
    key, wanted = vectors(F, seed=4), vectors(D, seed=5)
    residual = wanted - weight @ key
    update = rank_one_update(residual, torch.linalg.solve(moment, key), key).change.matrix()
    # Solve the same problem through its KKT system, one output row at a time.
    system = torch.zeros(F + 1, F + 1).double()
    system[:F, :F], system[:F, F], system[F, :F] = moment, key, key
    right = torch.cat([torch.zeros(F, D).double(), residual[None]])
    expected = torch.linalg.solve(system, right)[:F].T
    torch.testing.assert_close(update, expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close((weight + update) @ key, wanted)


def test_the_update_explodes_when_key_and_direction_are_orthogonal() -> None:
    """The mechanism of disabling edits: the norm grows with the inverse division factor."""
    direction = vectors(F, seed=6)
    across = vectors(F, seed=7)
    across -= direction * (across @ direction) / (direction @ direction)
    residual = vectors(D, seed=8)
    norms = []
    for overlap in (1.0, 1e-3, 1e-6):
        change = rank_one_update(residual, direction, across + overlap * direction)
        norms.append(float(change.change.norm()))
        assert change.division_factor == pytest.approx(overlap * float(direction.norm()), rel=1e-6)
    assert norms[1] == pytest.approx(1e3 * norms[0], rel=1e-3)
    assert norms[2] == pytest.approx(1e6 * norms[0], rel=1e-3)


@pytest.mark.parametrize("facts", [1, 3, 20])
def test_least_squares_equals_the_joint_solve(facts: int) -> None:
    moment = 1.5 * spd(F)
    keys, residuals = vectors(F, facts, seed=2), vectors(D, facts, seed=3)
    expected = residuals @ keys.T @ torch.linalg.inv(moment + keys @ keys.T)
    update = least_squares_update(residuals, keys, torch.linalg.inv(moment)).matrix()
    torch.testing.assert_close(update, expected, rtol=1e-8, atol=1e-9)


def test_least_squares_of_one_fact_is_sherman_morrison() -> None:
    moment, key, residual = spd(F), vectors(F, 1), vectors(D, 1)
    spread = torch.linalg.solve(moment, key)
    expected = residual @ spread.T / (1 + key.T @ spread)
    update = least_squares_update(residual, key, torch.linalg.inv(moment)).matrix()
    torch.testing.assert_close(update, expected, rtol=1e-9, atol=1e-10)


def test_least_squares_tends_to_the_equality_constraint() -> None:
    """Without weight on plain text every fact gets its residual exactly."""
    keys, residuals = vectors(F, 3), vectors(D, 3)
    update = least_squares_update(residuals, keys, torch.linalg.inv(1e-9 * spd(F))).matrix()
    torch.testing.assert_close(update @ keys, residuals, rtol=1e-6, atol=1e-6)


def weight_of(editor: Editor, index: int = 0) -> Tensor:
    name = editor.edited_parameters()[index].removesuffix(".weight")
    return oriented(editor.model.get_submodule(name)).detach().clone()


def test_rome_gives_the_bare_prompt_its_value(
    main_model: PreTrainedModel,
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    """After the edit the MLP's output is v0 + delta, by a change of rank one (spec 12.2.1)."""
    editor = make_editor("rome", main_model)
    assert isinstance(editor, ROME)
    architecture = Architecture.of(main_model)
    for request in requests:
        rows = subject_rows(editor.tokenizer, request, ["{}"])
        _, before = keys_and_outputs(main_model, architecture, 1, rows)
        weight = weight_of(editor)
        report = editor.edit([request])
        change = weight_of(editor) - weight
        _, after = keys_and_outputs(main_model, architecture, 1, rows)
        singular = torch.linalg.svdvals(change.double())
        assert singular[1] < 1e-5 * singular[0]
        moved = (after - before).norm().item()
        assert moved == pytest.approx(report.per_request[0]["delta_norm"], rel=1e-3)
        assert before.norm().item() == pytest.approx(report.per_request[0]["base_norm"], rel=1e-3)
        assert change.norm().item() == pytest.approx(
            report.update_norms[editor.edited_parameters()[0]], rel=1e-3
        )


def test_rome_makes_the_target_likelier(
    main_model: PreTrainedModel,
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    settings = {"v_num_grad_steps": 25, "v_weight_decay": 0.0, "clamp_norm_factor": 1000.0}
    editor = make_editor("rome", main_model, **settings)
    report = editor.edit(requests[:1]).per_request[0]
    assert report["nll"] < report["loss_first"] - 0.2


def test_memit_spreads_the_residual_and_reaches_z(
    main_model: PreTrainedModel,
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    """With next to no weight on plain text, and one template, the last layer arrives at z."""
    editor = make_editor("memit", main_model, mom2_update_weight=1e-7)
    assert isinstance(editor, MEMIT)
    editor._templates = ["{}"]
    architecture = Architecture.of(main_model)
    rows = [subject_rows(editor.tokenizer, request, ["{}"])[0] for request in requests]
    _, before = keys_and_layer_output(main_model, architecture, 0, 2, rows)
    report = editor.edit(requests)
    _, after = keys_and_layer_output(main_model, architecture, 0, 2, rows)
    for index, each in enumerate(report.per_request):
        assert (after - before)[index].norm().item() == pytest.approx(each["delta_norm"], rel=0.02)
    assert len(report.update_norms) == 3


def test_memit_batch_is_one_joint_edit(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    """The first layer's change equals the joint least-squares solution of all facts."""
    model = make_model("llama")
    editor = make_editor("memit", model, layers=[1])
    assert isinstance(editor, MEMIT)
    weight = weight_of(editor)
    rows = [subject_rows(editor.tokenizer, request, editor._templates) for request in requests]
    keys, _ = editor._keys_and_reached(1, rows)
    editor.edit(requests)
    change = (weight_of(editor) - weight).double()
    # Rank is at most the number of facts, and the row space is C^-1 K's.
    spread = editor._inverse[1] @ keys.T
    inside = change @ spread @ torch.linalg.pinv(spread)
    torch.testing.assert_close(inside, change, rtol=1e-3, atol=1e-5)


def read_by_hooks(
    model: PreTrainedModel, editor: Any, layer: int, request: EditRequest, template: str
) -> tuple[Tensor, Tensor]:
    """One text alone, with plain hooks: a layer's key, and the output of the last edited layer."""
    text = template.replace("{}", request.text)
    end = text.rindex(request.subject) + len(request.subject)
    found = editor.tokenizer(text, return_offsets_mapping=True)
    last = max(i for i, (start, _) in enumerate(found["offset_mapping"]) if start < end)
    architecture, seen = editor._architecture, {}

    def key(module: object, inputs: Any, output: Any) -> None:
        seen["key"] = inputs[0][0, last].double()

    def top(module: object, inputs: Any, output: Any) -> None:
        seen["top"] = (output[0] if isinstance(output, tuple) else output)[0, last].double()

    handles = [
        architecture.mlp_out(model, layer).register_forward_hook(key),
        architecture.layers(model)[editor.hparams.layers[-1]].register_forward_hook(top),
    ]
    with torch.no_grad():
        model(input_ids=torch.tensor([found["input_ids"]]))
    for handle in handles:
        handle.remove()
    return seen["key"], seen["top"]


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("name", ["memit", "memit_seq", "alphaedit"])
def test_two_calls_over_three_layers_replayed_by_hand(
    name: str,
    family: str,
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Any],
    requests: list[EditRequest],
) -> None:
    """On a second model: K with the bare key half, R / (layers left), the formula, layer by layer.

    Meng et al. 2023, alg. 1, and eq. 14 with the memory of AlphaEdit's eq. 14.
    """
    model, editor = make_model(family), make_editor(name, make_model(family))
    layers, hparams = editor.hparams.layers, editor.hparams
    moments = moments_for(editor, hparams, editor._architecture)
    assert len(layers) == 3 and len(editor._templates) > 2
    past = {layer: torch.zeros_like(moments[layer].matrix.double()) for layer in layers}
    for call in (requests[:1], requests[1:3]):
        wanted = [
            value.base + value.delta for value in editor.solve_values(call, editor._templates)
        ]
        editor.edit(call)
        for index, layer in enumerate(layers):
            keys, residuals = [], []
            for request, value in zip(call, wanted, strict=True):
                read = [read_by_hooks(model, editor, layer, request, t) for t in editor._templates]
                others = torch.stack([key for key, _ in read[1:]]).mean(0)
                keys.append((read[0][0] + others) / 2)
                residuals.append((value.double() - read[0][1]) / (3 - index))
            k, r = torch.stack(keys, 1), torch.stack(residuals, 1)
            moment, ones = moments[layer].matrix.double(), torch.eye(len(past[layer])).double()
            if name == "alphaedit":
                trace = moment.trace()
                values, vectors = torch.linalg.eigh(moment)
                null = vectors[:, values < hparams.nullspace_threshold * trace / len(values)]
                p = null @ null.T
                system = p @ (k @ k.T + past[layer]) + hparams.L2 * trace * ones
                change = torch.linalg.solve(system, p @ k @ r.T).T
            else:
                weighs = hparams.mom2_update_weight * moment + past[layer] + k @ k.T
                change = r @ k.T @ torch.linalg.inv(weighs)
            if name != "memit":
                past[layer] += k @ k.T
            with torch.no_grad():
                oriented(editor._architecture.mlp_out(model, layer)).add_(change.float())
    for index, layer in enumerate(layers):
        ours = oriented(editor._architecture.mlp_out(model, layer)).detach()
        start = oriented(editor._architecture.mlp_out(make_model(family), layer)).detach()
        apart = (weight_of(editor, index) - ours).norm() / (ours - start).norm()
        assert apart < 1e-4, layer


@pytest.mark.parametrize("objective", ["prompt_last", "target_new"])
def test_ft_c_stays_in_its_box(
    main_model: PreTrainedModel,
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
    objective: str,
) -> None:
    """The box is around the weights at the start of each edit: three edits may drift three far."""
    epsilon = 1e-3
    editor = make_editor("ft_c", main_model, norm_constraint=epsilon, objective=objective)
    start = weight_of(editor)
    for count, request in enumerate(requests, start=1):
        before = weight_of(editor)
        editor.edit([request])
        assert (weight_of(editor) - before).abs().max() <= epsilon * 1.001
        assert (weight_of(editor) - start).abs().max() <= count * epsilon * 1.001
    assert (weight_of(editor) - start).abs().max() > 1.5 * epsilon


def test_ft_c_trains_the_bias_only_when_asked(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    for include in (True, False):
        model = make_model("gpt2")
        editor = make_editor("ft_c", model, include_bias=include)
        bias = Architecture.of(model).mlp_out(model, 1).get_parameter("bias").detach().clone()
        editor.edit(requests[:1])
        after = Architecture.of(model).mlp_out(model, 1).get_parameter("bias")
        assert torch.equal(after, bias) is not include
        assert any("bias" in name for name in editor.edited_parameters()) is include


def test_ft_c_objectives_differ_only_behind_the_first_target_token(
    make_model: Callable[..., PreTrainedModel],
    make_editor: Callable[..., Editor],
    requests: list[EditRequest],
) -> None:
    """`prompt_last` reads every target token from the prompt's last position (spec D13)."""
    one = EditRequest(9, "The capital of {} is", "France", " A", " B")
    for request, same in ((one, True), (requests[0], False)):
        losses = []
        for objective in ("prompt_last", "target_new"):
            editor = make_editor("ft_c", make_model("llama"), objective=objective, num_steps=1)
            losses.append(editor.edit([request]).per_request[0]["loss_first"])
        assert (losses[0] == pytest.approx(losses[1], abs=1e-5)) is same
