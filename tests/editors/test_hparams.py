"""What hyper-parameters of several editors have in common."""

from __future__ import annotations

from typing import Any

import pytest

from seqedit_bench.editors import ModelShape, get_editor, resolve_hparams
from seqedit_bench.tasks.errors import InputError


@pytest.mark.parametrize("layers", ["[2, 1]", "[1, 1]"])
@pytest.mark.parametrize("name", ["memit", "alphaedit", "ft_c", "mend", "ultraedit"])
def test_layers_are_named_once_and_in_order(name: str, layers: str) -> None:
    """MEMIT's last layer is where its values are found; a layer named twice was edited twice."""
    item = f"modules={{mlp_out: {layers}}}" if name == "ultraedit" else f"layers={layers}"
    with pytest.raises(InputError, match="name each layer once, from the lowest up"):
        resolve_hparams(
            name,
            get_editor(name),
            model_name="a model",
            shape=ModelShape(4, 32, 48),
            overrides=[item],
        )


VALUES = {"v_lr": 0.5, "v_weight_decay": 0.5, "kl_factor": 0.0625}
ROME = {
    **VALUES,
    "v_num_grad_steps": 20,
    "clamp_norm_factor": 4,
    "context_template_length_params": [(5, 10), (10, 10)],
    "mom2_adjustment": True,
}
MEMIT = {**VALUES, "v_num_grad_steps": 25, "clamp_norm_factor": 0.75, "context_template_tokens": 10}
ALPHAEDIT = {**MEMIT, "nullspace_threshold": 0.02, "L2": 10, "relative": False}
EMMET = {**MEMIT, "emmet_lambda": 0.1}
ENCORE = {**MEMIT, "norm_weight": 10, "keep_keys": True}
GRACE = {"lr": 1, "radius": 1, "value_init": "cold", "replace": "last", "expand": "coverage"}
FT = {"num_steps": 25, "lr": 5e-4, "weight_decay": 0, "objective": "prompt_last"}
EASYEDIT_LLAMA = {"v_num_grad_steps": 25, "v_weight_decay": 1e-3}
XL, J, LLAMA = [13, 14, 15, 16, 17], [3, 4, 5, 6, 7, 8], [4, 5, 6, 7, 8]
PUBLISHED: list[tuple[str, str, dict[str, Any]]] = [
    ("rome", "gpt2-medium", {**ROME, "layers": [8], "clamp_norm_factor": 3}),
    ("rome", "gpt2-xl", {**ROME, "layers": [17]}),
    ("rome", "gpt-j-6b", {**ROME, "layers": [5]}),
    *(
        ("rome", name, {**ROME, **EASYEDIT_LLAMA, "layers": [5], "mom2_adjustment": False})
        for name in ("llama-2-7b", "llama-3-8b")
    ),
    ("r_rome", "gpt2-xl", {**ROME, "layers": [17]}),
    ("r_rome", "gpt-j-6b", {**ROME, "layers": [5]}),
    ("r_rome", "llama-2-7b", {**ROME, "layers": [5], "v_num_grad_steps": 25}),
    ("memit", "gpt2-xl", {**MEMIT, "layers": XL, "v_num_grad_steps": 20, "weight": 20000}),
    ("memit", "gpt-j-6b", {**MEMIT, "layers": J, "weight": 15000}),
    (
        "memit",
        "llama-2-7b",
        {**MEMIT, **EASYEDIT_LLAMA, "layers": LLAMA, "clamp_norm_factor": 4, "weight": 15000},
    ),
    ("memit", "llama-3-8b", {**MEMIT, "layers": LLAMA, "v_lr": 0.1, "weight": 15000}),
    ("alphaedit", "gpt2-xl", {**ALPHAEDIT, "layers": XL, "v_num_grad_steps": 20}),
    ("alphaedit", "gpt-j-6b", {**ALPHAEDIT, "layers": J}),
    ("alphaedit", "llama-3-8b", {**ALPHAEDIT, "layers": LLAMA, "v_lr": 0.1}),
    ("emmet", "gpt2-xl", {**EMMET, "layers": [17], "v_num_grad_steps": 20, "weight": 1000}),
    ("emmet", "gpt-j-6b", {**EMMET, "layers": [5], "weight": 10000}),
    (
        "emmet",
        "llama-2-7b",
        {**EMMET, **EASYEDIT_LLAMA, "layers": [5], "clamp_norm_factor": 4, "weight": 1},
    ),
    (
        "encore",
        "gpt2-xl",
        {
            **ENCORE,
            "layers": XL,
            "v_num_grad_steps": 20,
            "weight": 20000,
            "most_probable_passes": 4,
        },
    ),
    (
        "encore",
        "llama-2-7b",
        {**ENCORE, "layers": LLAMA, "weight": 15000, "most_probable_passes": 3},
    ),
    (
        "encore",
        "llama-3-8b",
        {
            **ENCORE,
            "layers": LLAMA,
            "weight": 15000,
            "most_probable_passes": 2,
            "norm_weight": 20,
        },
    ),
    ("grace", "gpt2-xl", {**GRACE, "layers": [35], "module": "mlp_in", "num_steps": 200}),
    ("grace", "gpt-j-6b", {**GRACE, "layers": [25], "module": "mlp_out", "num_steps": 200}),
    ("grace", "llama-2-7b", {**GRACE, "layers": [27], "module": "mlp_out", "num_steps": 50}),
    ("ft", "gpt2-xl", {**FT, "layers": [1]}),
    ("ft", "gpt-j-6b", {**FT, "layers": [21]}),
]
"""As in the papers' repositories, or EasyEdit's; `weight` is that of C."""


@pytest.mark.parametrize(
    ("name", "model", "values"), PUBLISHED, ids=[f"{row[0]}-{row[1]}" for row in PUBLISHED]
)
def test_published_values(name: str, model: str, values: dict[str, Any]) -> None:
    """What a run of a named model uses, defaults included."""
    found = resolve_hparams(
        name, get_editor(name), model_name=model, shape=ModelShape(48, 1600, 6400)
    )
    used = found.hparams.model_dump()
    used["weight"] = used.get("mom2_update_weight")
    assert {key: used[key] for key in values} == values
    assert "published with" in found.source
