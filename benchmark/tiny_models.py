"""Tiny models and tokenizers, built in code: nothing is downloaded, and nothing is random."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any

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

VOCABULARY = 500
LAYERS = 4

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
"""Transposed weights (Conv1D), blocks that return tuples, and neither."""
STYLES = ["gpt2", "llama3", "sentencepiece"]


def build_model(family: str, *, seed: int = 0, **config_values: Any) -> PreTrainedModel:
    """Build a tiny model of a family, in eval mode, with weights large enough to have opinions.

    Seeds torch's global generator. `config_values` go into the model's configuration.
    """
    config = _CONFIGS[family](
        vocab_size=VOCABULARY,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=None if family != "opt" else 1,
        **config_values,
    )
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def build_tokenizer(style: str) -> PreTrainedTokenizerFast:
    """Train a tokenizer on the bundled prose.

    Args:
        style: `gpt2` (byte-level), `llama3` (the same with BOS) or `sentencepiece` (with BOS too).
    """
    special = ["<|endoftext|>", "<pad>"]
    if style == "sentencepiece":
        backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<|endoftext|>"))
        backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
        backend.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="first")
        special += [f"<0x{byte:02X}>" for byte in range(256)]
        alphabet = []
    else:
        backend = Tokenizer(models.BPE())
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        backend.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    prose = files("seqedit_bench.tasks") / "data" / "prose.txt"
    backend.train_from_iterator(prose.read_text(encoding="utf-8").split("\n\n"), trainer)
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
