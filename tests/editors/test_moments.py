"""Second moments: the plain estimate, the cache, resuming, published files, and errors."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.editors import _moments
from seqedit_bench.editors._architecture import Architecture
from seqedit_bench.editors._moment_text import DOCUMENT_SEED, WIKIPEDIA, MomentText
from seqedit_bench.editors._moments import SecondMoment, second_moments
from seqedit_bench.editors._trace import Trace
from seqedit_bench.tasks.errors import InputError

TEXT = "\n\n".join(f"Document {n} says that {n} and {n + 1} make {2 * n + 1}." for n in range(60))


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def estimate(model: PreTrainedModel, tokenizer: Any, **options: Any) -> dict[int, Any]:
    return second_moments(model, tokenizer, Architecture.of(model), **options)


def plainly(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, layer: int, tokens: int
) -> Tensor:
    documents = TEXT.split("\n\n")
    random.Random(DOCUMENT_SEED).shuffle(documents)
    keys: list[Tensor] = []
    module = Architecture.of(model).mlp_out(model, layer)
    for document in documents:
        with Trace({"key": module}, keep="input") as trace, torch.no_grad():
            model(torch.tensor([tokenizer(document).input_ids]))
        keys += trace.kept["key"].reshape(-1, 48).unbind()
    first = torch.stack(keys[:tokens]).double()
    return first.T @ first / tokens


def test_equals_the_plain_mean(
    any_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, text: str, cache_dir: Path
) -> None:
    """E[k k^T] over exactly the tokens asked for, padding left out."""
    moments = estimate(
        any_model, tokenizer, layers=[0, 2], source=text, num_tokens=700, cache_dir=cache_dir
    )
    for layer, moment in moments.items():
        assert moment.tokens == 700
        expected = plainly(any_model, tokenizer, layer, 700)
        torch.testing.assert_close(moment.matrix.double(), expected, rtol=1e-3, atol=1e-4)


def test_cache_is_used_and_keyed_by_what_matters(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model("gpt2")
    options: dict[str, Any] = {"source": text, "num_tokens": 600, "cache_dir": cache_dir}
    first = estimate(model, tokenizer, layers=[1], **options)[1]
    computed: list[list[int]] = []
    accumulate = _moments._accumulate

    def watched(model: Any, architecture: Any, layers: list[int], *rest: Any) -> Any:
        computed.append(list(layers))
        return accumulate(model, architecture, layers, *rest)

    monkeypatch.setattr(_moments, "_accumulate", watched)
    again = estimate(model, tokenizer, layers=[1], **options)[1]
    assert computed == [] and torch.equal(again.matrix, first.matrix)
    estimate(model, tokenizer, layers=[1, 2], **options)
    assert computed == [[2]], "only the missing layer"
    estimate(model, tokenizer, layers=[1], **{**options, "num_tokens": 601})
    estimate(make_model("gpt2", seed=1), tokenizer, layers=[1], **options)
    Path(text).write_text(TEXT + " More.", encoding="utf-8")
    estimate(model, tokenizer, layers=[1], **options)
    assert computed[1:] == [[1], [1], [1]], "other tokens, other weights, other text"


def test_an_interrupted_estimate_goes_on_where_it_was(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    cache_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_moments, "SAVE_EVERY_BATCHES", 1)
    monkeypatch.setattr(_moments, "BATCH_TOKENS", 100)
    model = make_model("llama")
    options: dict[str, Any] = {"layers": [1], "source": text, "num_tokens": 600}
    seen: list[int] = []

    def stop_halfway(what: str, done: int, total: int) -> None:
        seen.append(done)
        if done > 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate(model, tokenizer, **options, cache_dir=cache_dir, progress=stop_halfway)
    rest: list[int] = []
    resumed = estimate(
        model,
        tokenizer,
        **options,
        cache_dir=cache_dir,
        progress=lambda what, done, total: rest.append(done),
    )
    whole = estimate(model, tokenizer, **options, cache_dir=tmp_path / "other")
    assert rest[0] > seen[0] and rest[-1] == 600
    torch.testing.assert_close(resumed[1].matrix, whole[1].matrix)
    assert not list(cache_dir.rglob("*.partial*"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("absent.txt", "text file absent.txt"),
        ("npz:absent", r"absent has no transformer\.h\.1\.mlp\.c_proj_\*mom2\*\.npz"),
    ],
)
def test_missing_text(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    cache_dir: Path,
    source: str,
    message: str,
) -> None:
    with pytest.raises(InputError, match=message):
        estimate(make_model("gpt2"), tokenizer, layers=[1], source=source, cache_dir=cache_dir)


class Streamed(list[dict[str, str]]):
    """A data set of the hub, read article by article."""

    def shuffle(self, seed: int, buffer_size: int) -> Streamed:
        assert buffer_size > 1
        return Streamed(random.Random(seed).sample(self, len(self)))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Long articles in the place of Wikipedia; what was asked for."""
    import datasets

    asked: list[tuple[Any, ...]] = []
    articles = Streamed(
        {"text": f"Article {n}. " + "Words and more words. " * 900} for n in range(9)
    )

    def load_dataset(*names: str | None, split: str, revision: str | None, streaming: bool) -> Any:
        assert split == "train" and streaming
        asked.append((*names, revision))
        return articles

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_of_long_articles_of_the_hub_as_many_are_read_as_are_used(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    hub: list[tuple[Any, ...]],
    cache_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the start of each counts; with what is in the cache, nothing is read at all."""
    monkeypatch.setattr(_moments, "MAX_DOCUMENT_TOKENS", 64)
    lengths: list[int] = []
    accumulate = _moments._accumulate

    def watched(model: Any, architecture: Any, layers: Any, rows: list[list[int]], *rest: Any):
        lengths.extend(map(len, rows))
        return accumulate(model, architecture, layers, rows, *rest)

    monkeypatch.setattr(_moments, "_accumulate", watched)
    options: dict[str, Any] = {"layers": [1], "num_tokens": 500, "cache_dir": cache_dir}
    first = estimate(make_model("gpt2"), tokenizer, source=WIKIPEDIA, **options)[1]
    assert lengths == [52, *[64] * 7]
    assert first.source == WIKIPEDIA and first.tokens == 500
    assert hub == [("wikimedia/wikipedia", "20231101.en", None)]
    again = estimate(make_model("gpt2"), tokenizer, source=WIKIPEDIA, **options)[1]
    assert len(hub) == 1 and again.provenance() == first.provenance()
    estimate(make_model("gpt2"), tokenizer, source="hub:made/up@1f3", **options)
    assert hub[1:] == [("made/up", None, "1f3")]
    assert MomentText.choose(tokenizer, "auto", 500, 64).source == "bundled"
    assert MomentText.choose(tokenizer, "auto", 10**7, 64).source == WIKIPEDIA
    with pytest.raises(InputError, match=r"has 576 tokens, mom2_n_tokens asks for 600"):
        estimate(make_model("gpt2"), tokenizer, source="hub:a/b", **{**options, "num_tokens": 600})


def test_too_short_a_text_says_how_short(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    cache_dir: Path,
) -> None:
    with pytest.raises(InputError, match=r"has \d+ tokens, mom2_n_tokens asks for 99999"):
        estimate(
            make_model("gpt2"),
            tokenizer,
            layers=[1],
            source=text,
            num_tokens=99999,
            cache_dir=cache_dir,
        )


def test_too_few_tokens_are_singular_and_say_how_many_it_takes(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    cache_dir: Path,
) -> None:
    moment = estimate(
        make_model("gpt2"), tokenizer, layers=[1], source=text, num_tokens=20, cache_dir=cache_dir
    )[1]
    with pytest.raises(InputError, match=r"layer 1: 20 tokens .* 48 dimensions.* from 480.*ridge"):
        moment.cholesky(torch.device("cpu"))
    moment.with_ridge(0.01).cholesky(torch.device("cpu"))


def test_the_inverse_is_that_of_the_scaled_moment() -> None:
    keys = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)).double()
    moment = SecondMoment(keys.T @ keys / 200, 3, 200, "text", "", (0.5, 2.0))
    inverse = moment.inverse(torch.device("cpu"), scale=7.0)
    identity = torch.eye(6).double()
    torch.testing.assert_close(inverse @ (7.0 * moment.matrix), identity, rtol=0, atol=1e-12)
    assert torch.equal(inverse, inverse.T)


def test_ridge_and_condition_number_are_recorded(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    text: str,
    cache_dir: Path,
) -> None:
    def once() -> _moments.SecondMoment:
        return estimate(
            make_model("gpt2"),
            tokenizer,
            layers=[1],
            source=text,
            num_tokens=700,
            cache_dir=cache_dir,
        )[1]

    plain = once()
    values = torch.linalg.eigvalsh(plain.matrix.double())
    assert plain.provenance()["condition_number"] == pytest.approx(float(values[-1] / values[0]))
    assert plain.provenance()["ridge"] == 0
    assert once().provenance() == plain.provenance()  # from the cache
    ridged = plain.with_ridge(0.5)
    added = 0.5 * float(plain.matrix.double().trace()) / 48
    torch.testing.assert_close(
        ridged.matrix, plain.matrix.double() + added * torch.eye(48).double()
    )
    shifted = float((values[-1] + added) / (values[0] + added))
    assert ridged.provenance()["condition_number"] == pytest.approx(shifted)
    assert ridged.provenance()["ridge"] == 0.5


def test_reads_published_files(
    make_model: Callable[..., PreTrainedModel],
    tokenizer: PreTrainedTokenizerFast,
    cache_dir: Path,
    tmp_path: Path,
) -> None:
    """The sum is under `mom2.mom2`, the count under `mom2.count`, as ROME publishes them."""
    keys = np.random.default_rng(0).normal(size=(100, 48)).astype(np.float32)
    name = "transformer.h.1.mlp.c_proj_float32_mom2_100000.npz"
    np.savez(tmp_path / name, **{"mom2.mom2": keys.T @ keys, "mom2.count": np.array(100)})
    model = make_model("gpt2")
    moment = estimate(model, tokenizer, layers=[1], source=f"npz:{tmp_path}", cache_dir=cache_dir)[
        1
    ]
    assert moment.tokens == 100
    expected = torch.from_numpy(keys.T @ keys / 100).double()
    torch.testing.assert_close(moment.matrix, expected, rtol=1e-5, atol=1e-6)
    np.savez(tmp_path / name, **{"mom2.mom2": np.eye(7), "mom2.count": np.array(100)})
    with pytest.raises(InputError, match=r"shape \(7, 7\), the model's layer 1 has 48 keys"):
        estimate(model, tokenizer, layers=[1], source=f"npz:{tmp_path}", cache_dir=cache_dir)
    np.savez(tmp_path / name, other=np.eye(7))
    with pytest.raises(InputError, match="not a published second moment"):
        estimate(model, tokenizer, layers=[1], source=f"npz:{tmp_path}", cache_dir=cache_dir)
