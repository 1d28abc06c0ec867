"""What hyper-parameters of several editors have in common."""

from __future__ import annotations

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
