"""PRUNE: what becomes of singular values, and of the raw weights meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from changes import same, vectors, weights
from seqedit_bench.editors import Editor, EditRequest
from seqedit_bench.editors.prune import BASES, largest_singular_value, restrain, restraint

MakeEditor = Callable[..., Editor]
MakeModel = Callable[..., PreTrainedModel]


def restrained_by_svd(update: Tensor, sigma: float, function: str) -> Tensor:
    left, values, right = torch.linalg.svd(update, full_matrices=False)
    kept = torch.where(values > sigma, restraint(function, sigma)(values), values)
    return left @ torch.diag(kept) @ right


@pytest.mark.parametrize("function", [*BASES, "linear"])
def test_restraint_is_continuous_and_monotone(function: str) -> None:
    sigma = 5.6
    kept = restraint(function, sigma)(torch.linspace(sigma, 100, 500).double())
    assert float(kept[0]) == pytest.approx(sigma)
    assert (kept.diff() > 0).all()


@pytest.mark.parametrize("function", [*BASES, "linear"])
@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (7, 7)])
def test_restrain_is_f_of_the_singular_values(function: str, shape: tuple[int, int]) -> None:
    update = 10 * vectors(*shape)
    singular = torch.linalg.svdvals(update)
    sigma = float(singular[2:4].mean())  # three above it
    kept = restrain(update, sigma, function)
    torch.testing.assert_close(kept, restrained_by_svd(update, sigma, function))
    assert torch.linalg.matrix_norm(kept, 2) < singular[0]
    torch.testing.assert_close(torch.linalg.svdvals(kept)[3:], singular[3:])


def test_restrain_of_a_low_rank_update() -> None:
    """Singular values of zero are divided by nowhere."""
    update = 20 * vectors(8, 2) @ vectors(2, 11, seed=3)
    kept = restrain(update, 4.0, "log")
    torch.testing.assert_close(kept, restrained_by_svd(update, 4.0, "log"))
    assert int(torch.linalg.matrix_rank(kept)) == 2


@pytest.mark.parametrize("top", [1e5, 1e7, 1e10])
def test_restrain_of_an_exploded_update(top: float) -> None:
    """Singular values near the threshold are not lost behind one that is far above it."""
    left, right = torch.linalg.qr(vectors(30, 30)).Q, torch.linalg.qr(vectors(40, 30, seed=2)).Q
    values = torch.tensor([top, 50.0, 20.0, 8.0, *[0.5] * 26]).double()
    kept = torch.where(values > 5.0, restraint("log", 5.0)(values), values)
    found = restrain((left * values) @ right.T, 5.0, "log")
    assert (found - (left * kept) @ right.T).norm() < 1e-6 * kept.norm()


def test_restrain_leaves_small_updates_alone() -> None:
    update = vectors(6, 9)
    spectral, frobenius = torch.linalg.matrix_norm(update, 2), update.norm()
    assert restrain(update, float(frobenius), "log") is update
    between = float((spectral + frobenius) / 2)
    torch.testing.assert_close(restrain(update, between, "log"), update, rtol=0, atol=0)


def test_the_logarithm_expands_near_a_small_threshold() -> None:
    """Its slope is 1 / (sigma ln a), above 1 for sigma < 1 / ln a."""
    assert float(restraint("log", 0.3)(torch.tensor(0.6))) == pytest.approx(0.993, abs=1e-3)
    assert float(restraint("log", 3.0)(torch.tensor(6.0))) == pytest.approx(3.693, abs=1e-3)


def test_largest_singular_value() -> None:
    for matrix in (vectors(5, 9), vectors(9, 5)):
        expected = float(torch.linalg.matrix_norm(matrix, 2))
        assert largest_singular_value(matrix) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_restrain_lets_broken_updates_through(value: float) -> None:
    update = vectors(4, 4)
    update[0, 0] = value
    assert restrain(update, 0.1, "log") is update


@torch.no_grad()
def drift(editor: Editor, size: float = 1.0) -> dict[str, Tensor]:
    """Move the edited matrices far; return them."""
    for index, name in enumerate(editor.edited_parameters()):
        live = editor.model.get_parameter(name)
        live += size * vectors(*live.shape, seed=index).to(live)
    return weights(editor)


def test_prune_at_checkpoint_leaves_the_stream_alone(
    main_model: PreTrainedModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    editor = make_editor("prune+memit", main_model)
    start = weights(editor)
    with editor.measured():
        assert same(weights(editor), start)
    raw = drift(editor)
    seen = []
    for _ in range(2):
        with editor.measured():
            seen.append(weights(editor))
        assert same(weights(editor), raw)
    assert same(*seen)
    for name, weight in start.items():
        sigma = float(torch.linalg.matrix_norm(weight.double(), 2))
        expected = restrained_by_svd(raw[name].double() - weight.double(), sigma, "log")
        torch.testing.assert_close(seen[0][name], (weight + expected).float())
    editor.edit(requests[:1])
    plain = make_editor("memit", main_model)
    after = weights(editor)
    for name, tensor in raw.items():
        main_model.get_parameter(name).data.copy_(tensor)
    plain._templates = editor.core._templates  # pyright: ignore[reportAttributeAccessIssue]
    plain._inverse = editor.core._inverse  # pyright: ignore[reportAttributeAccessIssue]
    plain.edit(requests[:1])
    assert same(after, weights(plain))


def test_prune_puts_the_stream_back_after_an_error(
    make_model: MakeModel, make_editor: MakeEditor
) -> None:
    editor = make_editor("prune+memit", make_model("llama"))
    raw = drift(editor)
    with pytest.raises(RuntimeError), editor.measured():
        assert not same(weights(editor), raw)
        raise RuntimeError
    assert same(weights(editor), raw)


def test_prune_in_place(
    make_model: MakeModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    editor = make_editor("prune+ft_c", make_model("llama"), prune={"mode": "in_place"})
    (start,) = weights(editor).values()
    (before,) = drift(editor).values()
    report = editor.edit(requests[:1])
    (after,) = weights(editor).values()
    sigma = float(torch.linalg.matrix_norm(start.double(), 2))
    above = torch.linalg.svdvals(before.double() - start.double())[0]
    assert torch.linalg.svdvals(after.double() - start.double())[0] < 0.9 * above
    assert next(iter(report.update_norms.values())) == pytest.approx(
        float((after - before).norm()), rel=1e-4
    )
    assert sigma < float(above)
    with editor.measured():
        assert torch.equal(next(iter(weights(editor).values())), after)


def test_prune_is_not_the_double_add_of_its_lineage(
    make_model: MakeModel, make_editor: MakeEditor
) -> None:
    seen = {}
    for double in (False, True):
        editor = make_editor(
            "prune+ft_c", make_model("llama"), prune={"lineage_double_add": double}
        )
        (start,) = weights(editor).values()
        (raw,) = drift(editor).values()
        with editor.measured():
            (seen[double],) = weights(editor).values()
    torch.testing.assert_close(seen[True] - seen[False], raw - start, rtol=1e-4, atol=1e-5)


def test_prune_survives_nan(make_model: MakeModel, make_editor: MakeEditor) -> None:
    editor = make_editor("prune+memit", make_model("llama"))
    drift(editor, math.nan)
    with editor.measured():
        assert all(tensor.isnan().all() for tensor in weights(editor).values())


def test_prune_records_its_thresholds(make_model: MakeModel, make_editor: MakeEditor) -> None:
    editor = make_editor("prune+ft_c", make_model("gpt2"))
    (matrix,) = editor.prepare()["prune"]["matrices"]  # the bias is exempt
    weight = weights(editor)[matrix["parameter"]]
    assert matrix["sigma"] == pytest.approx(float(torch.linalg.matrix_norm(weight, 2)), rel=1e-5)
    assert matrix["expands"] is (matrix["sigma"] < 1)
