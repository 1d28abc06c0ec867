"""The README's example editor runs as it stands there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.benchmark import evaluate

README = Path(__file__).resolve().parent.parent / "README.md"


def test_example_editor(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blocks = re.findall(r"```python\n(# my_editor\.py\n.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) <= 40
    (tmp_path / "my_editor.py").write_text(blocks[0], encoding="utf-8")
    make_model("llama").save_pretrained(tmp_path / "tiny-llama")
    tokenizer.save_pretrained(tmp_path / "tiny-llama")
    monkeypatch.delenv("SEQEDIT_DATA_DIR", raising=False)
    result = evaluate(
        "last_mlp",
        editor_path=tmp_path / "my_editor.py",
        model=str(tmp_path / "tiny-llama"),
        num_edits=2,
        output=tmp_path / "run",
        cache_dir=tmp_path / "cache",
    )
    assert list(result.summary.distance) == ["model.layers.3.mlp.down_proj.weight"]
    before, after = result.summary.baseline, result.summary.immediate
    assert after["es_nll_new"] < before["es_nll_new"]
