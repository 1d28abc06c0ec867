"""Rows about editing: one ROME edit, one solve of MEMIT."""

from __future__ import annotations

import torch

from ...editors import resolve_hparams
from ...editors._architecture import Architecture
from ...editors._locate import moments_for
from ...editors._rank_one import RankOneEditor
from ...editors._solve import least_squares_update
from ...editors._steps import add_change
from ...editors.rome import ROME
from ..model import OriginalWeights
from . import plain
from .measure import Goal, Measurement, interleaved
from .setting import Setting

OVERRIDES: tuple[str, ...] = ()
"""Hyper-parameters other than a run's."""
RELATIVE = 1e-4
"""Largest relative difference of two updates that counts as none."""


def rome_edit(setting: Setting) -> Measurement:
    """One ROME edit, against whole forward passes with logits at every position."""
    model, tokenizer = setting.loaded.model, setting.loaded.tokenizer
    editor = _rome(setting)
    originals = OriginalWeights(model, editor.edited_parameters())
    module = model.get_submodule(editor.edited_parameters()[0].removesuffix(".weight"))
    assert isinstance(module, torch.nn.Linear)
    templates = editor._templates
    moment = moments_for(editor, editor.hparams, editor._architecture)[editor.value_layer]
    matrix = moment.matrix.to(model.device, torch.float64)
    cases = setting.cases[: setting.repeats]
    steps: list[int] = []

    def plainly(number: int) -> torch.Tensor:
        request = cases[number].request
        settings = editor.hparams.value_settings
        update, passes = plain.rome_update(
            model, tokenizer, request, templates, module, matrix, settings
        )
        steps.append(passes)
        return update

    def ours(number: int) -> torch.Tensor:
        editor.edit([cases[number].request])
        update = originals.deltas()[editor.edited_parameters()[0]].double()
        originals.restore()
        return update

    plains, mine, differences = [], [], []
    for slow, expected, fast, found in interleaved(plainly, ours, setting.repeats):
        plains.append(slow)
        mine.append(fast)
        differences.append(float((found - expected).norm() / expected.norm()))
    return Measurement(
        "rome",
        f"one ROME edit, {len(templates)} templates",
        "whole forward passes, full logits",
        Goal(2),
        [slow / fast for slow, fast in zip(plains, mine, strict=True)],
        plains,
        mine,
        difference=max(differences),
        check="of ΔW, relative",
        agrees=max(differences) <= RELATIVE,
        details={"passes": steps},
    )


def _rome(setting: Setting) -> RankOneEditor:
    model, config = setting.loaded.model, setting.config
    shape = Architecture.of(model).shape(model)
    resolved = resolve_hparams(
        "rome", ROME, model_name=config.model, shape=shape, overrides=OVERRIDES
    )
    editor = ROME(
        model, setting.loaded.tokenizer, resolved.hparams, seed=0, cache_dir=config.cache_dir
    )
    editor.prepare()
    return editor


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
        torch.nn.Linear(d_ff, d_model, bias=False, device=device) for _ in range(2)
    )

    @torch.no_grad()
    def plainly(_: int) -> torch.Tensor:
        plainly_edited.weight += plain.memit_update(residual, key, weighted).float()
        return plainly_edited.weight

    def ours(_: int) -> torch.Tensor:
        change = least_squares_update(residual[:, None], key[:, None], inverse)
        add_change(edited, change)
        return edited.weight

    for module in (plainly_edited, edited):
        torch.nn.init.zeros_(module.weight)
    plains, mine, differences = [], [], []
    for slow, expected, fast, found in interleaved(plainly, ours, setting.repeats):
        plains.append(slow)
        mine.append(fast)
        differences.append(float((found - expected).detach().norm() / expected.detach().norm()))
    return Measurement(
        "memit",
        f"one-fact MEMIT update of one layer, d_ff = {d_ff}",
        "a float64 solve of the d x d system",
        Goal(100),
        [slow / fast for slow, fast in zip(plains, mine, strict=True)],
        plains,
        mine,
        difference=max(differences),
        check="of the weights, relative",
        agrees=max(differences) <= RELATIVE,
    )
