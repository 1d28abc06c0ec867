"""Our wrapper answers what the harness's own answers on the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from seqedit_bench.benchmark.lm import SequentialEditLM
from seqedit_bench.benchmark.lmeval import HFLM, Instance, quiet
from seqedit_bench.benchmark.model import LoadedModel, load_model
from seqedit_bench.benchmark.tiny_models import build_model

SHOTS = "It rains a lot today. He plays the guitar and she plays chess in the south. " * 4
TEXTS = ["The capital of France is", "He plays", SHOTS + "He plays", SHOTS + "The capital of"]


@pytest.fixture
def loaded(tiny_folder: Path, tmp_path: Path) -> LoadedModel:
    return load_model(str(tiny_folder), device="cpu", dtype="float32", cache_dir=tmp_path)


@pytest.fixture
def lm(loaded: LoadedModel) -> SequentialEditLM:
    return SequentialEditLM(loaded)


@pytest.fixture
def stock(loaded: LoadedModel) -> Any:
    return stock_of(loaded)


def stock_of(loaded: LoadedModel) -> Any:
    with quiet():
        return HFLM(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            batch_size=1,
            softmax_dtype="float32",
        )


def instances(kind: Any, *arguments: tuple[Any, ...]) -> list[Instance]:
    return [Instance(kind, {}, each, index) for index, each in enumerate(arguments)]


def test_log_likelihoods(lm: SequentialEditLM, stock: Any) -> None:
    asked = instances("loglikelihood", *((text, f" {word}") for text in TEXTS for word in "ab"))
    ours, theirs = lm.loglikelihood(asked), stock.loglikelihood(asked, disable_tqdm=True)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[0] == pytest.approx(other[0], abs=1e-4)
        assert mine[1] is other[1]


def test_whole_texts(lm: SequentialEditLM, stock: Any) -> None:
    """The second is longer than the window, so it is scored in pieces."""
    asked = instances("loglikelihood_rolling", ("He plays the guitar",), (SHOTS * 8,), ("",))
    ours = lm.loglikelihood_rolling(asked)
    theirs = stock.loglikelihood_rolling(asked[:2], disable_tqdm=True)
    assert ours[:2] == pytest.approx(theirs, abs=1e-2)
    assert ours[2] == 0.0


@torch.no_grad()
def test_a_bos_before_a_whole_text_is_scored_as_the_harness_does(
    tokenizers: dict[str, PreTrainedTokenizerFast],
) -> None:
    model, tokenizer = build_model("llama"), tokenizers["llama3"]
    loaded = LoadedModel(model, tokenizer, "tiny", None, "")
    text = "He plays the guitar"
    asked = instances("loglikelihood_rolling", (text,))
    ids = [0, *tokenizer(text).input_ids]
    assert ids[:2] == [0, 0]
    log_probs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    expected = sum(float(log_probs[at, token]) for at, token in enumerate(ids[1:]))
    assert SequentialEditLM(loaded).loglikelihood_rolling(asked) == pytest.approx([expected])
    assert stock_of(loaded).loglikelihood_rolling(asked, disable_tqdm=True) == pytest.approx(
        [expected]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"until": [], "max_gen_toks": 3, "do_sample": False},
        {"until": ["a", "e"], "max_gen_toks": 8},
        {"until": "a", "max_gen_toks": 8, "temperature": 0.0},
        {"until": [], "max_gen_toks": 4, "do_sample": False, "num_beams": 2},
    ],
    ids=["three tokens", "stops", "one stop", "beams"],
)
def test_greedy_texts(arguments: dict[str, Any], lm: SequentialEditLM, stock: Any) -> None:
    asked = instances("generate_until", *((text, arguments) for text in TEXTS))
    assert lm.generate_until(asked) == stock.generate_until(asked, disable_tqdm=True)


def test_sampled_texts_repeat_and_follow_the_weights(lm: SequentialEditLM) -> None:
    arguments = {"until": [], "max_gen_toks": 8, "do_sample": True, "top_k": 5, "temperature": 1.0}
    asked = instances("generate_until", *((text, arguments) for text in TEXTS))
    first = lm.generate_until(asked)
    assert lm.generate_until(asked) == first
    greedy = instances("generate_until", *((text, {"max_gen_toks": 8}) for text in TEXTS))
    assert lm.generate_until(greedy) != first
    with torch.no_grad():
        lm.model.get_parameter("transformer.h.0.mlp.c_proj.weight").mul_(3)
    assert lm.generate_until(asked) != first


def test_temperature_divides_the_logits(lm: SequentialEditLM) -> None:
    """Near zero, sampling is greedy decoding."""
    cold = {"max_gen_toks": 6, "do_sample": True, "temperature": 1e-4}
    asked = [
        instances("generate_until", *((text, each) for text in TEXTS))
        for each in (cold, {"max_gen_toks": 6})
    ]
    assert lm.generate_until(asked[0]) == lm.generate_until(asked[1])


def test_tokens_are_counted(lm: SequentialEditLM) -> None:
    assert lm.tokens_run == 0
    lm.loglikelihood(instances("loglikelihood", ("He plays", " chess")))
    after = lm.tokens_run
    lm.generate_until(instances("generate_until", ("He plays", {"max_gen_toks": 2})))
    assert 0 < after < lm.tokens_run
