"""Rows about editing: one ROME edit, one solve of MEMIT."""

from __future__ import annotations

import torch

from ...editors._locate import moments_for
from ...editors._solve import least_squares_update
from ...editors._steps import add_change
from ...editors.rome import ROME
from ..model import OriginalWeights
from ..observer import Silent
from ..ready import make_ready
from . import plain
from .measure import Comparison, Goal, Measurement
from .setting import Setting

OVERRIDES: tuple[str, ...] = ()
"""Hyper-parameters other than a run's."""
RELATIVE = 1e-4
"""Largest relative difference of two updates that counts as none."""


def rome_edit(setting: Setting) -> Measurement:
    """One ROME edit, against whole forward passes with logits at every position."""
    model, tokenizer = setting.loaded.model, setting.loaded.tokenizer
    overrides = (*OVERRIDES, *(("v_num_grad_steps=4",) if setting.quick else ()))
    config = setting.config.model_copy(update={"editor": "rome", "hparams": overrides})
    editor = make_ready(config, ROME, setting.loaded, Silent()).editor
    assert isinstance(editor, ROME)
    (name,) = editor.edited_parameters()
    originals = OriginalWeights(model, [name])
    module = model.get_submodule(name.removesuffix(".weight"))
    assert isinstance(module, torch.nn.Linear)
    templates = editor._templates
    moment = moments_for(editor, editor.hparams, editor._architecture)[editor.value_layer]
    matrix = moment.matrix.to(model.device, torch.float64)
    steps: list[int] = []

    def plainly(number: int) -> torch.Tensor:
        update, passes = plain.rome_update(
            model,
            tokenizer,
            setting.cases[number].request,
            templates,
            module,
            matrix,
            editor.hparams.value_settings,
        )
        steps.append(passes)
        return update

    def ours(number: int) -> torch.Tensor:
        editor.edit([setting.cases[number].request])
        update = originals.deltas()[name].double()
        originals.restore()
        return update

    return Comparison(plainly, ours, setting.repeats, difference=_relative).row(
        "rome",
        f"one ROME edit, {len(templates)} templates",
        "whole forward passes, full logits",
        Goal(2),
        check="of ΔW, relative",
        tolerance=RELATIVE,
        details={"passes": steps},
    )


def _relative(_: int, expected: torch.Tensor, found: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def memit_solve(setting: Setting) -> Measurement:
    """MEMIT's change of one layer of GPT-2 XL's size for one fact, against solving its system.

    Both end with the change in the weights. What is inverted once a run is not counted.
    """
    d_model, d_ff = (400, 1600) if setting.quick else (1600, 6400)
    generator = torch.Generator().manual_seed(0)
    device = setting.loaded.model.device
    samples = torch.randn(d_ff + 500, d_ff, generator=generator).to(device)
    weighted = (samples.T @ samples / len(samples)).double() * 20000
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(weighted))
    residual, key = (
        torch.randn(size, generator=generator).to(device, torch.float64) for size in (d_model, d_ff)
    )
    plainly_edited, edited = (
        torch.nn.Linear(d_ff, d_model, bias=False, device=device).requires_grad_(False)
        for _ in range(2)
    )
    for module in (plainly_edited, edited):
        torch.nn.init.zeros_(module.weight)

    def plainly(_: int) -> torch.Tensor:
        plainly_edited.weight += plain.memit_update(residual, key, weighted).float()
        return plainly_edited.weight

    def ours(_: int) -> torch.Tensor:
        add_change(edited, least_squares_update(residual[:, None], key[:, None], inverse))
        return edited.weight

    return Comparison(plainly, ours, setting.repeats, difference=_relative).row(
        "memit",
        f"one-fact MEMIT update of one layer, d_ff = {d_ff}",
        "a float64 solve of the d x d system",
        Goal(100),
        check="of the weights, relative",
        tolerance=RELATIVE,
    )
