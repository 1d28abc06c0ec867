"""Editors after ROME and MEMIT against their closed forms, on matrices and on tiny models."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

from seqedit_bench.editors import Editor, EditRequest, ModelShape, get_editor, resolve_hparams
from seqedit_bench.editors._architecture import Architecture, oriented
from seqedit_bench.editors._keys import keys_and_outputs, subject_rows
from seqedit_bench.editors._locate import moments_for
from seqedit_bench.editors._rank_one import RankOneEditor
from seqedit_bench.editors._solve import (
    Change,
    PastKeys,
    least_squares_update,
    rank_one_update,
    update_along,
)
from seqedit_bench.editors._spread import SpreadEditor
from seqedit_bench.editors._steps import add_change
from seqedit_bench.editors._trace import Trace, record
from seqedit_bench.editors._values import Value, ValueSettings, optimise_values
from seqedit_bench.editors.alphaedit import AlphaEdit, used_directions
from seqedit_bench.editors.encore import ENCOREHparams
from seqedit_bench.tasks.errors import InputError
from seqedit_bench.tasks.tokenization import encode

D, F = 6, 12
ROMES = ["rome", "r_rome", "p_rome"]
SPREAD = ["memit", "emmet", "memit_seq", "alphaedit", "encore"]
Make = Callable[..., Any]
Requests = list[EditRequest]


def vectors(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def spd(size: int, *, seed: int = 0) -> Tensor:
    """A random second moment of many keys."""
    keys = vectors(8 * size, size, seed=seed)
    return keys.T @ keys / len(keys)


def weight_of(editor: Editor, index: int = 0) -> Tensor:
    name = editor.edited_parameters()[index].removesuffix(".weight")
    return oriented(editor.model.get_submodule(name)).detach().clone()


def change_by(editor: Editor, requests: Requests) -> list[Tensor]:
    """Edit, and return the change of every edited matrix in float64."""
    count = len(editor.edited_parameters())
    before = [weight_of(editor, index).double() for index in range(count)]
    editor.edit(requests)
    return [weight_of(editor, index).double() - old for index, old in enumerate(before)]


def keys_of(editor: Any, layer: int, requests: Requests) -> Tensor:
    """Averaged keys (d_ff, n) as the editor would take them now."""
    rows = [subject_rows(editor.tokenizer, fact, editor._templates) for fact in requests]
    return editor._keys_and_reached(layer, rows)[0].T


def residuals_of(editor: Any, requests: Requests) -> Tensor:
    """What the only layer's outputs lack, (d_model, n)."""
    values = optimise_values(
        editor.model,
        editor.tokenizer,
        editor._architecture,
        requests,
        editor._templates,
        layer=editor.hparams.layers[-1],
        site="layer",
        settings=editor.hparams.value_settings,
    )
    return torch.stack([value.delta for value in values]).double().T


def moment_of(editor: Any, layer: int = 1) -> Tensor:
    return moments_for(editor, editor.hparams, editor._architecture)[layer].matrix.double()


# Rank one: ROME, r-ROME, p-ROME.


def test_only_the_original_explodes() -> None:
    """Spec 12.2.2: the bare key nearly orthogonal to C^-1 times the averaged one.

    The original grows without bound as they come closer to orthogonal; one key in both places
    gives k^T C^-1 k > 0, which that does not touch.
    """
    inverse = torch.linalg.inv(spd(F))
    mean, residual = vectors(F, seed=3), vectors(D, seed=4)
    direction = inverse @ mean
    across = vectors(F, seed=5)
    across -= direction * (across @ direction) / (direction @ direction)
    norms: dict[str, list[float]] = {name: [] for name in ROMES}
    for overlap in (1e-2, 1e-5, 1e-8):
        bare = across + overlap * direction
        changes = {
            "rome": rank_one_update(residual, direction, bare),
            "r_rome": rank_one_update(residual, direction, mean),
            "p_rome": rank_one_update(residual, inverse @ bare, bare),
        }
        for name, change in changes.items():
            norms[name].append(float(change.change.norm()))
    assert norms["rome"][2] == pytest.approx(1e6 * norms["rome"][0], rel=1e-3)
    assert norms["r_rome"][2] == norms["r_rome"][0]
    assert norms["p_rome"][2] == pytest.approx(norms["p_rome"][0], rel=0.1)


@pytest.mark.parametrize("name", ROMES)
def test_which_denominator_can_vanish(
    name: str,
    make_model: Callable[..., PreTrainedModel],
    make_editor: Make,
    requests: Requests,
) -> None:
    """The same through the editors, on keys made up so that the original's denominator is tiny."""
    editor = make_editor(name, make_model("llama"))
    assert isinstance(editor, RankOneEditor)
    moment = moment_of(editor)
    size = len(moment)
    mean = vectors(size, seed=3)
    direction = torch.linalg.solve(moment, mean)
    bare = vectors(size, seed=4)
    bare -= direction * (bare @ direction) / (direction @ direction)
    bare += 1e-7 * direction / direction.norm()
    keys = torch.stack([bare, 2 * mean - bare])  # their average is `mean`
    outputs = vectors(2, 32, seed=5)
    change = editor._change(vectors(32, seed=6), keys, outputs)
    if name == "rome":
        assert change.division_factor == pytest.approx(1e-7, rel=1e-3)
        assert change.change.norm() > 1e7
    else:
        assert change.division_factor > 0.1
        assert change.change.norm() < 1e2


@pytest.mark.parametrize("name", ["r_rome", "p_rome"])
def test_one_key_in_both_places_is_always_positive(
    name: str, main_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    editor = make_editor(name, main_model)
    for request in requests:
        assert editor.edit([request]).per_request[0]["division_factor"] > 0


@pytest.mark.parametrize(("name", "bare"), [("rome", True), ("p_rome", True), ("r_rome", False)])
def test_who_gets_the_value_exactly(
    name: str, bare: bool, main_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    """The bare prompt's output, or the average over contexts, becomes v* = v0 + delta."""
    editor = make_editor(name, main_model)
    for request in requests:
        rows = subject_rows(editor.tokenizer, request, editor._templates)
        _, before = keys_and_outputs(main_model, editor._architecture, 1, rows)
        report = editor.edit([request]).per_request[0]
        _, after = keys_and_outputs(main_model, editor._architecture, 1, rows)
        reached = after[0] if bare else after.mean(0)
        assert (reached - before[0]).norm().item() == pytest.approx(report["delta_norm"], rel=1e-3)
        other = after.mean(0) if bare else after[0]
        assert (other - reached).norm() > 1e-3 * report["delta_norm"], "contexts must differ"


def test_the_three_agree_with_one_context(
    main_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    """Spec 12.2.1: with the bare prompt as the only context there is only one key."""
    start = {name: tensor.clone() for name, tensor in main_model.state_dict().items()}
    changes = {}
    for name in ROMES:
        main_model.load_state_dict(start)
        editor = make_editor(name, main_model, context_template_length_params=[])
        assert editor._templates == ["{}"]
        (changes[name],) = change_by(editor, requests[:1])
    scale = changes["rome"].norm()
    for name in ("r_rome", "p_rome"):
        torch.testing.assert_close(
            changes[name] / scale, changes["rome"] / scale, rtol=0, atol=1e-5
        )


def test_the_three_differ_with_several_contexts(
    make_model: Callable[..., PreTrainedModel], make_editor: Make, requests: Requests
) -> None:
    """Each against its own formula (spec 9.3)."""
    found = {}
    for name in ROMES:
        editor = make_editor(name, make_model("gptj"))
        rows = subject_rows(editor.tokenizer, requests[0], editor._templates)
        keys, outputs = keys_and_outputs(editor.model, editor._architecture, 1, rows)
        keys, outputs, moment = keys.double(), outputs.double(), moment_of(editor)
        (value,) = optimise_values(
            editor.model,
            editor.tokenizer,
            editor._architecture,
            requests[:1],
            editor._templates,
            layer=1,
            site="mlp",
            settings=editor.hparams.value_settings,
        )
        wanted = (value.base + value.delta).double()
        mean, bare = keys.mean(0), keys[0]
        towards, at, now = {
            "rome": (mean, bare, outputs[0]),
            "r_rome": (mean, mean, outputs.mean(0)),
            "p_rome": (bare, bare, outputs[0]),
        }[name]
        direction = torch.linalg.solve(moment, towards)
        expected = torch.outer(wanted - now, direction) / (at @ direction)
        (found[name],) = change_by(editor, requests[:1])
        scale = expected.norm()
        torch.testing.assert_close(found[name] / scale, expected / scale, rtol=0, atol=1e-5)
    assert (found["rome"] - found["r_rome"]).norm() > 1e-2 * found["rome"].norm()
    assert (found["rome"] - found["p_rome"]).norm() > 1e-2 * found["rome"].norm()


# The two solves that all others are made of.


@pytest.mark.parametrize("slack", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("facts", [1, 3])
def test_update_along_is_the_relaxed_minimum(facts: int, slack: float) -> None:
    """The minimum of |U K - R|^2 + slack tr(U A U^T); for slack 0 of tr(U A U^T) with U K = R."""
    weighs, keys, residuals = spd(F), vectors(F, facts, seed=2), vectors(D, facts, seed=3)
    update = update_along(residuals, keys, torch.linalg.solve(weighs, keys), slack=slack).matrix()
    if slack:
        gradient = (update @ keys - residuals) @ keys.T + slack * update @ weighs
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-9)
    else:
        torch.testing.assert_close(update @ keys, residuals, rtol=0, atol=1e-9)
        # Lagrange: U A lies in the span of the keys.
        multipliers = torch.linalg.lstsq(keys, (update @ weighs).T).solution
        torch.testing.assert_close(keys @ multipliers, (update @ weighs).T, rtol=0, atol=1e-9)


def past_keys(weighs: Tensor) -> PastKeys:
    return PastKeys(torch.linalg.inv(weighs).matmul, len(weighs), weighs.device)


def remember(past: PastKeys, keys: Tensor) -> None:
    past.update(torch.zeros(1, keys.shape[1]).to(keys), keys)


def test_no_past_is_least_squares() -> None:
    weighs, keys, residuals = spd(F), vectors(F, 3, seed=2), vectors(D, 3, seed=3)
    expected = least_squares_update(residuals, keys, torch.linalg.inv(weighs))
    past = past_keys(weighs)
    for _ in range(2):
        found = past.update(residuals, keys, remember=False)
        assert torch.equal(found.matrix(), expected.matrix())


@pytest.mark.parametrize("count", [1, 7, 2 * F, 2 * F + 1, 10 * F])
def test_past_keys_equal_the_joint_formula(count: int) -> None:
    """R K^T (A + K_p K_p^T + K K^T)^-1, however many keys came before, in batches of 1 to 4."""
    weighs, earlier = spd(F), 3 * vectors(F, count, seed=2)
    keys, residuals = vectors(F, 3, seed=3), vectors(D, 3, seed=4)
    past = past_keys(weighs)
    start = 0
    while start < count:
        size = 1 + start % 4
        remember(past, earlier[:, start : start + size])
        start += size
    joint = weighs + earlier @ earlier.T + keys @ keys.T
    expected = residuals @ keys.T @ torch.linalg.inv(joint)
    found = past.update(residuals, keys, remember=False).matrix()
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)
    assert past.factor.shape[1] <= 2 * F, "the state must stay below two products"
    assert count > 2 * F or past.factor.shape[1] == count, "it must be as small as the keys"
    inverse = torch.linalg.inv(weighs) - past.factor @ past.factor.T
    torch.testing.assert_close(
        inverse, torch.linalg.inv(weighs + earlier @ earlier.T), rtol=1e-7, atol=1e-10
    )


def test_past_keys_stand_a_badly_conditioned_moment() -> None:
    """Condition 1e8, and a key that comes back two hundred times."""
    basis = torch.linalg.qr(vectors(F, F)).Q
    weighs = basis @ torch.diag(torch.logspace(-6, 2, F).double()) @ basis.T
    past, key, residual = past_keys(weighs), vectors(F, 1, seed=2), vectors(D, 1, seed=3)
    for _ in range(200):
        remember(past, key)
    expected = residual @ key.T @ torch.linalg.inv(weighs + 201 * key @ key.T)
    found = past.update(residual, key).matrix()
    assert (found - expected).norm() < 1e-5 * expected.norm()


def test_broken_keys_pass_through() -> None:
    past = past_keys(spd(F))
    remember(past, torch.full((F, 2), float("nan")).double())
    for _ in range(2 * F):
        remember(past, vectors(F, 1))
    assert past.update(vectors(D, 1), vectors(F, 1)).matrix().isnan().all()


@pytest.mark.parametrize("conv", [False, True])
def test_a_change_is_added_in_its_factors(conv: bool) -> None:
    """Onto weights of either orientation, without its product; the norm is the product's."""
    module = Conv1D(D, F) if conv else torch.nn.Linear(F, D)
    change = Change(vectors(D, 3, seed=1), vectors(F, 3, seed=2).T)
    before = oriented(module).detach().clone()
    norm = add_change(module, change)
    torch.testing.assert_close(oriented(module) - before, change.matrix().float())
    assert norm == pytest.approx(float(change.matrix().norm()), rel=1e-12)
    assert math.isnan(add_change(module, Change(change.left * float("nan"), change.right)))


# EMMET.


def test_emmet_gives_one_fact_its_value_exactly(
    main_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    """Batch 1 is ROME's equality constraint, at the averaged key (spec 12.2.4)."""
    editor = make_editor("emmet", main_model)
    for request in requests:
        key, residual = keys_of(editor, 1, [request]), residuals_of(editor, [request])
        (change,) = change_by(editor, [request])
        torch.testing.assert_close(change @ key, residual, rtol=1e-4, atol=1e-5)
        expected = rank_one_update(
            residual[:, 0], torch.linalg.solve(moment_of(editor), key[:, 0]), key[:, 0]
        ).change.matrix()
        torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-5)


def check_value_is_reached(editor: Any, requests: Requests) -> None:
    """Edit, and the layer gives what it gave with delta put in where it was found."""
    model, architecture = editor.model, editor._architecture
    editor._templates = ["{}"]
    layer = architecture.layers(model)[1]
    site = architecture.mlp_out(model, 1) if editor.site == "mlp" else layer
    for request in requests:
        (row,) = subject_rows(editor.tokenizer, request, ["{}"])
        ids = torch.tensor([row.ids])
        (value,) = editor.solve_values([request], ["{}"])

        def put_in(_: str, output: Tensor, row: Any = row, delta: Tensor = value.delta) -> Tensor:
            changed = output.clone().view(1, -1, len(delta))
            changed[0, row.last] += delta
            return changed.view_as(output)

        before = record(model, {"layer": layer}, input_ids=ids)["layer"][0, row.last]
        with Trace({"site": site}, edit=put_in):
            wanted = record(model, {"layer": layer}, input_ids=ids)["layer"][0, row.last]
        editor.edit([request])
        reached = record(model, {"layer": layer}, input_ids=ids)["layer"][0, row.last]
        assert (reached - wanted).norm() < 1e-3 * (wanted - before).norm()


def test_one_layer_reaches_its_value_in_every_family(
    any_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    check_value_is_reached(make_editor("emmet", any_model), requests[:3])


def test_one_layer_reaches_its_value_where_norms_follow_sums(
    opt_350m: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    check_value_is_reached(make_editor("emmet", opt_350m), requests[:3])


@pytest.mark.parametrize("name", ["memit", "memit_seq", "alphaedit", "encore"])
def test_layers_behind_norms_cannot_share(
    name: str, make_model: Callable[..., PreTrainedModel], make_editor: Make, requests: Requests
) -> None:
    model = make_model("gemma2")
    with pytest.raises(InputError, match=r"gemma2: a norm .*name one .*layers=\[2\]"):
        make_editor(name, model)
    assert make_editor(name, model, layers=[2]).site == "mlp"


@pytest.mark.parametrize(("facts", "same"), [(1, True), (3, False)])
def test_the_weight_of_plain_text_cancels_for_one_fact(
    facts: int,
    same: bool,
    make_model: Callable[..., PreTrainedModel],
    make_editor: Make,
    requests: Requests,
) -> None:
    changes = [
        change_by(
            make_editor("emmet", make_model("gpt2"), mom2_update_weight=weight), requests[:facts]
        )[0]
        for weight in (1.0, 1000.0)
    ]
    distance = (changes[0] - changes[1]).norm() / changes[0].norm()
    assert bool(distance < 1e-5) is same


def test_emmet_batch_equals_its_formula(
    make_model: Callable[..., PreTrainedModel], make_editor: Make, requests: Requests
) -> None:
    """R (K^T (w C)^-1 K + lambda_E I)^-1 K^T (w C)^-1; with lambda_E = 1 it is MEMIT's."""
    editor = make_editor("emmet", make_model("llama"), mom2_update_weight=3.0)
    keys, residuals = keys_of(editor, 1, requests), residuals_of(editor, requests)
    inverse = torch.linalg.inv(3.0 * moment_of(editor))
    inner = keys.T @ inverse @ keys + 0.1 * torch.eye(len(requests)).double()
    expected = residuals @ torch.linalg.inv(inner) @ keys.T @ inverse
    (change,) = change_by(editor, requests)
    torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-5)
    one = make_editor("emmet", make_model("llama"), mom2_update_weight=3.0, emmet_lambda=1.0)
    memit = make_editor("memit", make_model("llama"), mom2_update_weight=3.0, layers=[1])
    assert torch.equal(change_by(one, requests)[0], change_by(memit, requests)[0])


# MEMIT with a memory.


@pytest.mark.parametrize("facts", [1, 4])
def test_memit_seq_begins_as_memit(
    facts: int, main_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    start = {name: tensor.clone() for name, tensor in main_model.state_dict().items()}
    memit = change_by(make_editor("memit", main_model), requests[:facts])
    main_model.load_state_dict(start)
    sequential = change_by(make_editor("memit_seq", main_model), requests[:facts])
    for ours, theirs in zip(sequential, memit, strict=True):
        assert torch.equal(ours, theirs)


def test_memit_seq_then_equals_the_joint_formula(
    main_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    """R K^T (lambda C + K_p K_p^T + K K^T)^-1, which is not MEMIT's second edit."""
    editor = make_editor("memit_seq", main_model, layers=[1], mom2_update_weight=0.5)
    editor.edit(requests[:2])
    editor.edit(requests[2:3])
    earlier = keys_of(editor, 1, requests[:3])  # an editor of one layer leaves its keys alone
    keys, residuals = keys_of(editor, 1, requests[3:]), residuals_of(editor, requests[3:])
    plain = 0.5 * moment_of(editor) + keys @ keys.T
    expected = residuals @ keys.T @ torch.linalg.inv(plain + earlier @ earlier.T)
    (change,) = change_by(editor, requests[3:])
    torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-5)
    forgetful = residuals @ keys.T @ torch.linalg.inv(plain)
    assert (change - forgetful).norm() > 1e-2 * forgetful.norm()


def test_memit_seq_spares_an_earlier_fact(
    make_model: Callable[..., PreTrainedModel], make_editor: Make, requests: Requests
) -> None:
    """The second edit moves the first one's output less than MEMIT's second edit does."""
    moved = {}
    for name in ("memit", "memit_seq"):
        editor = make_editor(name, make_model("llama"), layers=[1], mom2_update_weight=0.01)
        editor.edit(requests[:1])
        first = keys_of(editor, 1, requests[:1])
        (change,) = change_by(editor, requests[1:2])
        moved[name] = float((change @ first).norm() / change.norm())
    assert moved["memit_seq"] < 0.1 * moved["memit"]


@pytest.mark.parametrize("name", ["memit_seq", "alphaedit", "encore"])
def test_memory_is_saved_and_restored(
    name: str, make_model: Callable[..., PreTrainedModel], make_editor: Make, requests: Requests
) -> None:
    """After several edits, bit for bit; and going back to an earlier state forgets again."""
    model = make_model("gpt2")
    editor = make_editor(name, model)
    fresh = {key: value.clone() for key, value in editor.state_dict().items()}
    for request in requests[:3]:
        editor.edit([request])
    state = {key: value.clone() for key, value in editor.state_dict().items()}
    assert state["past_keys.1"].shape == (48, 3)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    first = change_by(editor, requests[3:])
    assert editor.state_dict()["past_keys.1"].shape == (48, 4)
    other = make_editor(name, make_model("gpt2"), seed=5)
    other.load_state_dict(state)
    other.model.load_state_dict(weights)
    for ours, theirs in zip(change_by(other, requests[3:]), first, strict=True):
        assert torch.equal(ours, theirs)
    assert state["past_keys.1"].shape == (48, 3), "a loaded state must not change with the editor"
    editor.load_state_dict(fresh)
    model.load_state_dict(weights)
    forgetful = change_by(editor, requests[3:])
    assert not torch.equal(forgetful[0], first[0])


@pytest.mark.parametrize("name", ["memit_seq", "alphaedit", "encore"])
def test_remembered_keys_are_those_of_the_edited_model(
    name: str, make_model: Callable[..., PreTrainedModel], make_editor: Make, requests: Requests
) -> None:
    """They are taken as each layer is solved; what changes later lies above them."""
    editor = make_editor(name, make_model("llama"))
    pristine = keys_of(editor, 2, requests[:2])
    editor.edit(requests[:2])
    for layer in (0, 1, 2):
        again = PastKeys(editor._past[layer]._solve, 48, torch.device("cpu"))
        remember(again, keys_of(editor, layer, requests[:2]))
        torch.testing.assert_close(editor._past[layer].factor, again.factor, rtol=1e-6, atol=1e-9)
    edited = keys_of(editor, 2, requests[:2])
    assert (edited - pristine).norm() > 1e-3 * pristine.norm(), "the last layer's keys must move"


# AlphaEdit.


def test_alphaedit_equals_its_formula(
    main_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    """[P (K K^T + K_p K_p^T) + L2 I]^-1 P K R^T, transposed (Fang et al. 2025, eq. 14)."""
    settings = {"layers": [1], "relative": False, "nullspace_threshold": 1.0, "L2": 0.7}
    moment = moment_of(make_editor("alphaedit", main_model, **settings | {"L2": 1.0}))
    threshold = float(torch.linalg.eigvalsh(moment)[30:32].mean())
    editor = make_editor("alphaedit", main_model, **settings | {"nullspace_threshold": threshold})
    _, singular, directions = torch.linalg.svd(moment)
    null = directions[singular < threshold]
    projector = null.T @ null
    assert len(null) == 31
    editor.edit(requests[:2])
    earlier = keys_of(editor, 1, requests[:2])
    keys, residuals = keys_of(editor, 1, requests[2:]), residuals_of(editor, requests[2:])
    system = projector @ (keys @ keys.T + earlier @ earlier.T) + 0.7 * torch.eye(48).double()
    expected = torch.linalg.solve(system, projector @ keys @ residuals.T).T
    (change,) = change_by(editor, requests[2:])
    torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-5)


def test_alphaedit_leaves_preserved_keys_alone(
    main_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    """Keys of which C has large eigenvalues keep their outputs; others do not."""
    editor = make_editor("alphaedit", main_model, layers=[1])
    moment = moment_of(editor)
    used = used_directions(moment, float(moment.trace()) / len(moment))
    preserved = used @ vectors(used.shape[1], 20)
    before = weight_of(editor).double()
    for request in requests:
        editor.edit([request])
    change = weight_of(editor).double() - before
    assert (change @ preserved).abs().max() < 1e-5
    assert (change @ vectors(48, 20)).abs().max() > 1e-2


@pytest.mark.parametrize("relative", [False, True])
def test_alphaedit_records_what_it_keeps(
    relative: bool,
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    make_editor: Make,
) -> None:
    editor = make_editor("alphaedit", make_model("llama"))
    moment = moment_of(editor)
    mean = float(moment.trace()) / 48
    values = torch.linalg.eigvalsh(moment)
    share = 0.5 if relative else 0.5 * mean
    hparams = editor.hparams.model_copy(
        update={"relative": relative, "nullspace_threshold": share, "L2": 0.25, "layers": [1]}
    )
    other = AlphaEdit(editor.model, tokenizer, hparams, cache_dir=editor.cache_dir)
    (record,) = other.prepare()["null_space"]
    assert record == {
        "layer": 1,
        "threshold": pytest.approx(0.5 * mean),
        "L2": pytest.approx(0.25 * 48 * mean if relative else 0.25),
        "rank_kept": int((values < 0.5 * mean).sum()),
        "d_ff": 48,
    }
    assert 0 < record["rank_kept"] < 48


def test_a_relative_threshold_knows_no_scale() -> None:
    """Keys a thousand times as large have the same null space; an absolute threshold has none."""
    moment = spd(F)
    for scale in (1.0, 1e6):
        used = used_directions(scale * moment, float(scale * moment.trace()) / F)
        expected = used_directions(moment, float(moment.trace()) / F)
        torch.testing.assert_close(used @ used.T, expected @ expected.T)
    assert used_directions(1e6 * moment, 0.02).shape[1] == F


def test_no_null_space_is_refused(
    make_model: Callable[..., PreTrainedModel], make_editor: Make
) -> None:
    with pytest.raises(InputError, match=r"layer 1: .*nullspace_threshold"):
        make_editor("alphaedit", make_model("gpt2"), layers=[1], nullspace_threshold=1e-9)


# ENCORE.

OFF: dict[str, Any] = {"most_probable_passes": 0, "norm_weight": 0.0, "keep_keys": False}


def test_encore_with_all_parts_off_is_memit(
    main_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    start = {name: tensor.clone() for name, tensor in main_model.state_dict().items()}
    changes = []
    for name, settings in (("memit", {}), ("encore", OFF)):
        main_model.load_state_dict(start)
        editor = make_editor(name, main_model, **settings)
        editor.edit(requests[:1])
        changes.append(change_by(editor, requests[1:3]))
    for ours, theirs in zip(*changes, strict=True):
        assert torch.equal(ours, theirs)


def test_encore_keeping_keys_only_is_memit_seq(
    make_model: Callable[..., PreTrainedModel], make_editor: Make, requests: Requests
) -> None:
    changes = []
    for name, settings in (("memit_seq", {}), ("encore", {**OFF, "keep_keys": True})):
        editor = make_editor(name, make_model("gptj"), layers=[1], **settings)
        editor.edit(requests[:1])
        changes.append(change_by(editor, requests[1:3])[0])
    torch.testing.assert_close(changes[0], changes[1], rtol=1e-6, atol=1e-8)


def test_encore_equals_its_formula(
    main_model: PreTrainedModel, make_editor: Make, requests: Requests
) -> None:
    """It minimises |U K - R|^2 + lambda tr(U C U^T) + lambda_n |U|^2 + |U K_p|^2."""
    editor = make_editor("encore", main_model, layers=[1], mom2_update_weight=0.5, norm_weight=0.3)
    editor.edit(requests[:2])
    earlier = keys_of(editor, 1, requests[:2])
    keys, residuals = keys_of(editor, 1, requests[2:]), residuals_of(editor, requests[2:])
    weighs = 0.5 * moment_of(editor) + 0.3 * torch.eye(48).double() + earlier @ earlier.T
    expected = residuals @ keys.T @ torch.linalg.inv(weighs + keys @ keys.T)
    (change,) = change_by(editor, requests[2:])
    torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-5)

    def objective(update: Tensor) -> float:
        missed = (update @ keys - residuals).square().sum()
        return float(missed + (update @ weighs @ update.T).trace())

    least = objective(expected)
    for seed in range(5):
        assert objective(expected + 1e-3 * vectors(32, 48, seed=seed)) > least


def test_a_heavier_norm_penalty_makes_a_smaller_change(
    make_model: Callable[..., PreTrainedModel], make_editor: Make, requests: Requests
) -> None:
    norms = []
    for weight in (0.0, 0.1, 10.0, 1e9):
        editor = make_editor("encore", make_model("llama"), layers=[1], norm_weight=weight)
        norms.append(float(change_by(editor, requests)[0].norm()))
    assert norms == sorted(norms, reverse=True)
    assert norms[0] > 2 * norms[2] and norms[3] < 1e-5


def target_of_rank(
    rank: int, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, request: EditRequest
) -> EditRequest:
    """The same prompt, with the model's own next token of this rank as the target."""
    context = encode(tokenizer, request.text)
    with torch.no_grad():
        logits = model(torch.tensor([context])).logits[0, -1]
    token = int(logits.argsort(descending=True)[rank])
    found = EditRequest(0, request.prompt, request.subject, str(tokenizer.decode([token])), " x")
    assert encode(tokenizer, found.text + found.target_new) == [*context, token]
    return found


def settings_with(passes: int, **others: Any) -> ValueSettings:
    values: dict[str, Any] = {
        "num_grad_steps": 12,
        "lr": 0.05,
        "weight_decay": 0.0,
        "clamp_norm_factor": 4.0,
        "kl_factor": 0.0,
        "loss_threshold": 0.0,
    }
    return ValueSettings(most_probable_passes=passes, **{**values, **others})


@pytest.mark.parametrize("passes", [1, 3])
def test_a_target_that_is_likeliest_already_stops_at_once(
    passes: int,
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    requests: Requests,
) -> None:
    """As many passes, so one step less; a request beside it, whose target is not, goes on."""
    model = make_model("gpt2")
    easy = target_of_rank(0, model, tokenizer, requests[0])
    found = optimise_values(
        model,
        tokenizer,
        Architecture.of(model),
        [easy, requests[2]],
        ["{}"],
        layer=1,
        site="layer",
        settings=settings_with(passes, lr=1e-3),
    )
    assert [value.report["steps"] for value in found] == [passes - 1, 11]
    if passes == 1:
        assert found[0].delta.norm() == 0


def test_the_bare_prompt_counts_among_the_contexts(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    requests: Requests,
    templates: list[str],
) -> None:
    """The released code tests all contexts but the bare prompt: one miss there must not stop."""
    model = make_model("gpt2")
    easy = target_of_rank(0, model, tokenizer, requests[0])
    for order, stops in (
        (["{}"], True),
        ([templates[2], "{}"], False),
        (["{}", templates[2]], False),
    ):
        (found,) = optimise_values(
            model,
            tokenizer,
            Architecture.of(model),
            [easy],
            order,
            layer=1,
            site="layer",
            settings=settings_with(1, lr=1e-4),
        )
        assert (found.report["steps"] == 0) is stops


@pytest.mark.parametrize("passes", [1, 3])
def test_early_stopping_waits_until_the_target_is_likeliest(
    passes: int,
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    requests: Requests,
) -> None:
    """The descent is the full one, cut off at the pass that the count asks for."""

    def descend(count: int, steps: int) -> Value:
        (value,) = optimise_values(
            main_model,
            tokenizer,
            Architecture.of(main_model),
            [target_of_rank(2, main_model, tokenizer, requests[0])],
            ["{}"],
            layer=1,
            site="layer",
            settings=settings_with(count, num_grad_steps=steps),
        )
        return value

    stopped = descend(passes, 40)
    steps = int(stopped.report["steps"])
    assert 0 < steps < 39
    full = descend(0, steps + 1)
    assert torch.equal(stopped.delta, full.delta)
    assert stopped.report == full.report
    assert descend(passes, steps + 2).report["steps"] == steps
    assert descend(passes, steps).report["steps"] == steps - 1, "it must not stop before"


def test_encore_hands_its_passes_on() -> None:
    hparams = ENCOREHparams.model_validate({"layers": [1], "most_probable_passes": 3})
    assert hparams.value_settings.most_probable_passes == 3
    assert hparams.value_settings.lr == hparams.v_lr


# Hyper-parameters.


@pytest.mark.parametrize("name", ["r_rome", "p_rome", "emmet", "memit_seq", "alphaedit", "encore"])
@pytest.mark.parametrize("model", ["gpt2-xl", "smollm2-135m", "nobody/knows-it"])
def test_every_model_gets_hparams(name: str, model: str) -> None:
    shape = ModelShape(48, 1600, 6400) if model == "gpt2-xl" else ModelShape(30, 576, 1536)
    found = resolve_hparams(name, get_editor(name), model_name=model, shape=shape)
    assert ("untested" in found.source) is (model == "smollm2-135m")
    assert ("derived from" in found.source) is (model == "nobody/knows-it")
    relative = getattr(found.hparams, "relative", None)
    assert relative is None or relative is (model != "gpt2-xl")


@pytest.mark.parametrize("name", SPREAD)
def test_several_layers_share_the_residual(
    name: str, make_model: Callable[..., PreTrainedModel], make_editor: Make, requests: Requests
) -> None:
    editor = make_editor(name, make_model("llama"), layers=[0, 1, 2])
    assert isinstance(editor, SpreadEditor)
    report = editor.edit(requests)
    assert len(report.update_norms) == 3
    assert all(norm > 0 for norm in report.update_norms.values())
