"""MEND: its network against closed forms, its training, its files, and the harness's faults."""

from __future__ import annotations

import dataclasses
import math
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import GPT2Config, GPTJConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from seqedit_bench.benchmark.contract import CHECKS
from seqedit_bench.benchmark.trial import Trial
from seqedit_bench.editors import Editor, EditRequest
from seqedit_bench.editors._architecture import Architecture, add_update, oriented
from seqedit_bench.editors._hypernetwork import Hypernetwork, Matrix, Normaliser
from seqedit_bench.editors._mend_checkpoint import load_checkpoint, training_path
from seqedit_bench.editors._mend_training import Trainer, TrainingSettings
from seqedit_bench.editors._trace import frozen
from seqedit_bench.editors._upper import LowRank, Text, Upper
from seqedit_bench.editors.mend import MEND
from seqedit_bench.tasks import EditCase
from seqedit_bench.tasks.errors import InputError
from seqedit_bench.tasks.tokenization import encode_pair

LAYERS = [2, 3]
MakeEditor = Callable[..., Editor]


@pytest.fixture
def make(make_editor: MakeEditor) -> Callable[..., MEND]:
    def make(model: PreTrainedModel, **hparams: Any) -> MEND:
        values = {"layers": LAYERS, "checkpoint": "untrained", "rank": 8, **hparams}
        editor = make_editor("mend", model, **values)
        assert isinstance(editor, MEND)
        return editor

    return make


def weights(model: PreTrainedModel, editor: MEND) -> dict[str, Tensor]:
    """Edited weights by module name, (d_out, d_in)."""
    return {
        matrix.name: oriented(model.get_submodule(matrix.name)).detach().clone()
        for matrix in editor._matrices
    }


def gradients(model: PreTrainedModel, editor: MEND, request: EditRequest) -> dict[str, Tensor]:
    """Gradient of the target's mean NLL by plain autograd."""
    context, target = encode_pair(editor.tokenizer, request.text, request.target_new)
    logits = model(input_ids=torch.tensor([context + target])).logits[0]
    loss = functional.cross_entropy(logits[len(context) - 1 : -1], torch.tensor(target))
    modules = {m.name: model.get_submodule(m.name) for m in editor._matrices}
    found = torch.autograd.grad(loss, [m.get_parameter("weight") for m in modules.values()])
    return {
        name: grad.T if isinstance(module, Conv1D) else grad
        for (name, module), grad in zip(modules.items(), found, strict=True)
    }


# --- Closed forms ----------------------------------------------------------------------------


def test_untrained_network_makes_a_gradient_step(
    main_model: PreTrainedModel, make: Callable[..., MEND], requests: list[EditRequest]
) -> None:
    """U = 0 hands its input on, and a normaliser that has seen nothing changes nothing."""
    editor = make(main_model, edit_lr=-0.5, lr_scale=2.0)
    before, expected = weights(main_model, editor), gradients(main_model, editor, requests[0])
    report = editor.edit(requests[:1])
    for name, after in weights(main_model, editor).items():
        torch.testing.assert_close(after - before[name], -expected[name], rtol=1e-3, atol=1e-6)
    (line,) = report.per_request
    assert line["loss"] < line["loss_first"]
    assert line["seen_in_training"] == 0


def test_normalised_pieces_make_the_update(
    main_model: PreTrainedModel, make: Callable[..., MEND], requests: list[EditRequest]
) -> None:
    """With a fitted normaliser: rate * sum_t norm(delta_t) norm(u_t)^T over tokens that count."""
    editor = make(main_model, edit_lr=-0.01)
    text = Text.answer(editor.tokenizer, requests[0].text, requests[0].target_new)
    others = [Text.answer(editor.tokenizer, r.text, r.target_new) for r in requests]
    with frozen(main_model):
        seen, _ = editor._upper.pieces(others, editor._upper.below(others))
        mine, _ = editor._upper.pieces([text], editor._upper.below([text]))
    for matrix in editor._matrices:
        editor._network.observe(matrix, seen[matrix.name])
    expected = {}
    for matrix in editor._matrices:
        network = editor._network.network(matrix)
        inputs, deltas = mine[matrix.name]
        total = torch.zeros(matrix.d_out, matrix.d_in)
        for u, delta in zip(inputs[0], deltas[0], strict=True):
            if u.any() and delta.any():
                u = (u - network.inputs.mean) / (network.inputs.deviation + 1e-7)
                delta = (delta - network.gradients.mean) / (network.gradients.deviation + 1e-7)
                total += -0.01 * torch.outer(delta, u)
        expected[matrix.name] = total
    before = weights(main_model, editor)
    editor.edit(requests[:1])
    for name, after in weights(main_model, editor).items():
        torch.testing.assert_close(after - before[name], expected[name], rtol=1e-3, atol=1e-5)


def test_network_is_the_published_map() -> None:
    """The map is z + max(0, s (U V z + b) + o), twice, with each matrix's own s and o."""
    matrices = [Matrix("a", 3, 2), Matrix("b", 2, 3), Matrix("c", 3, 2)]
    network = Hypernetwork(matrices, rank=4, edit_lr=0.1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    assert set(network.networks) == {"3x2", "2x3"}
    inputs, deltas = torch.randn(5, 3), torch.randn(5, 2)
    z = torch.cat([inputs, deltas], 1) / (1 + 1e-7)
    layers: Any = network.network(matrices[2]).layers
    for layer in layers:
        inner = z @ layer.right.T @ layer.left.T + layer.bias
        z = z + (layer.scale[1] * inner + layer.shift[1]).clamp(min=0)
    out = network(matrices[2], inputs, deltas)
    torch.testing.assert_close(torch.cat(out, 1), z)
    assert not torch.allclose(out[0], network(matrices[0], inputs, deltas)[0])


def test_untrained_network_learns() -> None:
    """At U = 0 the pre-activation is exactly zero: relu would let no gradient through."""
    matrix = Matrix("a", 3, 2)
    network = Hypernetwork([matrix], rank=4, edit_lr=0.1)
    out, _ = network(matrix, torch.ones(1, 3), torch.ones(1, 2))
    out.sum().backward()
    layers: Any = network.network(matrix).layers
    for layer in layers:
        assert layer.left.grad is not None and layer.left.grad.abs().sum() > 0


def test_normaliser_in_pieces() -> None:
    vectors = torch.randn(50, 4) * 3 + 1
    normaliser = Normaliser(4)
    for part in vectors.split([1, 9, 0, 40]):
        normaliser.add(part)
    torch.testing.assert_close(normaliser.mean, vectors.mean(0))
    torch.testing.assert_close(normaliser.deviation, vectors.std(0))
    assert normaliser(vectors).std(0).allclose(torch.ones(4), atol=1e-4)


def test_low_rank_edit_is_the_edited_weight(any_model: PreTrainedModel) -> None:
    """What training computes with is what the editor writes, in every family."""
    architecture = Architecture.of(any_model)
    names = [architecture.mlp_in_name(2), architecture.mlp_out_name(3)]
    texts = [Text((5, 6, 7, 8), (2, 3), ()), Text((9, 4), (1,), ())]
    upper = Upper(any_model, architecture, 2, names)
    updates = {}
    for name in names:
        d_out, d_in = oriented(any_model.get_submodule(name)).shape
        updates[name] = LowRank(torch.randn(2, 3, d_in), 0.1 * torch.randn(2, 3, d_out))
    with torch.no_grad():
        below = upper.below(texts)
        with upper.edited(updates, torch.tensor([1, 1])):
            lazily = upper.reads(texts, below)
        for name in names:
            only = LowRank(updates[name].inputs[1:], updates[name].outputs[1:])
            add_update(any_model.get_submodule(name), only.matrix())
        edited = upper.reads(texts, below)
        whole = any_model.base_model(input_ids=torch.tensor([[5, 6, 7, 8]])).last_hidden_state
    torch.testing.assert_close(lazily, edited, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(edited[:2], whole[0, 2:], rtol=1e-4, atol=1e-4)


def test_facts_of_a_call_add_up(
    make_model: Callable[..., PreTrainedModel],
    make: Callable[..., MEND],
    requests: list[EditRequest],
) -> None:
    def moved(facts: Sequence[EditRequest]) -> dict[str, Tensor]:
        model = make_model("llama")
        editor = make(model)
        before = weights(model, editor)
        editor.edit(facts)
        return {name: after - before[name] for name, after in weights(model, editor).items()}

    both, first, second = moved(requests[:2]), moved(requests[:1]), moved(requests[1:2])
    for name, total in both.items():
        torch.testing.assert_close(total, first[name] + second[name], rtol=1e-3, atol=1e-7)


# --- The harness's faults --------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "gptj", "llama"])
def test_harness_swaps_rates_of_gpt2_alone(
    family: str, make_model: Callable[..., PreTrainedModel], make: Callable[..., MEND]
) -> None:
    def rates(mode: str) -> list[tuple[str, float]]:
        editor = make(make_model(family), mend_mode=mode)
        editor._network.edit_lrs.data = torch.tensor([1.0, 2.0, 3.0, 4.0])
        return sorted((name.split(".mlp.")[1], float(r)) for name, r in editor._rates().items())

    names = {"gpt2": ("c_fc", "c_proj"), "gptj": ("fc_in", "fc_out")}
    into, out = names.get(family, ("down_proj", "up_proj"))
    harness = {
        "gpt2": [(into, 1), (into, 3), (out, 2), (out, 4)],
        "gptj": [(into, 1), (into, 3), (out, 2), (out, 4)],
        "llama": [(into, 2), (into, 4), (out, 1), (out, 3)],
    }[family]
    correct = harness if family != "gpt2" else [(into, 2), (into, 4), (out, 1), (out, 3)]
    assert rates("harness") == harness
    assert rates("correct") == correct


def test_harness_overwrites_the_normaliser_and_drifts(
    main_model: PreTrainedModel, make: Callable[..., MEND], requests: list[EditRequest]
) -> None:
    counts: dict[str, list[float]] = {}
    for mode in ("correct", "harness"):
        editor = make(main_model, mend_mode=mode, edit_lr=-1e-6)
        for normaliser in editor._normalisers().values():
            normaliser.count.fill_(100_000)
            normaliser.mean.fill_(5.0)
            normaliser.squares.fill_(100_000)
        counts[mode] = []
        for request in requests[:2]:
            editor.edit([request])
            counts[mode].append(float(editor._network.network(editor._matrices[0]).inputs.count))
    assert counts["correct"] == [100_000, 100_000]
    first, second = counts["harness"]
    assert 0 < first < second < 100
    context, target = encode_pair(editor.tokenizer, requests[0].text, requests[0].target_new)
    # In the last block only tokens that predict the target have a gradient.
    assert first == (len(context) + len(target) - 1) + len(target)


@pytest.mark.parametrize("check", ["state_round_trip", "state_goes_back", "nan_weights"])
def test_harness_keeps_the_contract(check: str, cache_dir: Path) -> None:
    trial = Trial("mend", MEND, "gpt2", cache_dir=cache_dir, overrides=["mend_mode=harness"])
    CHECKS[check].run(trial)
    assert trial.prepared().editor.state_dict()


def test_state_of_another_mode_is_refused(
    make_model: Callable[..., PreTrainedModel], make: Callable[..., MEND]
) -> None:
    state = make(make_model("gptj"), mend_mode="harness").state_dict()
    with pytest.raises(ValueError, match="keeps no state"):
        make(make_model("gptj")).load_state_dict(state)


# --- Training --------------------------------------------------------------------------------

SETTINGS = TrainingSettings.model_validate(
    {"batch_size": 2, "lr": 1e-3, "lr_lr": 1e-2, "warmup": 0, "validate_every": 4, "patience": 50}
)


@pytest.fixture(scope="module")
def cases(requests: list[EditRequest]) -> list[EditCase]:
    wordings = [("In France the capital is",), ("Every day Pelé plays",), (), ()]
    local = [("The capital of Spain is", "The capital of Peru is"), ("Ana plays",), (), ()]
    return [
        EditCase(request, paraphrase_prompts=wording, neighborhood_prompts=others)
        for request, wording, others in zip(requests, wordings, local, strict=True)
    ]


@pytest.fixture
def trainable(
    make_model: Callable[..., PreTrainedModel], tokenizer: Any, tmp_path: Path
) -> Callable[..., MEND]:
    """An editor that is not prepared, on a fresh model, with a cache of its own."""

    def make(name: str, family: str = "gpt2", **hparams: Any) -> MEND:
        values = MEND.Hparams(**{"layers": LAYERS, "rank": 8, "edit_lr": -0.01, **hparams})
        return MEND(make_model(family), tokenizer, values, cache_dir=tmp_path / name)

    return make


def train(editor: MEND, cases: list[EditCase], steps: int, **options: Any) -> Any:
    return editor.train(
        cases, cases, options.pop("settings", SETTINGS), steps=steps, provenance={}, **options
    )


def test_the_loss_is_that_of_edits_really_written(
    make_model: Callable[..., PreTrainedModel], make: Callable[..., MEND], cases: list[EditCase]
) -> None:
    """c_edit * NLL of prompt and wordings + c_loc * KL(before || after), from whole passes."""
    editor = make(make_model("gpt2"), edit_lr=-0.5)
    settings = SETTINGS.model_copy(update={"c_edit": 0.7, "c_loc": 2.0})
    examples = editor._examples(cases[:2], settings)
    with frozen(editor.model):
        trainer = Trainer(editor._upper, editor._network, examples, [], [], settings)
        loss = trainer._loss(trainer._outcome(examples, [[], []])).item()

    def log_probs(text: Text) -> Tensor:
        with torch.no_grad():
            logits = editor.model(input_ids=torch.tensor([text.ids])).logits[0]
        return logits[list(text.reads)].double().log_softmax(-1)

    pristine = {name: tensor.clone() for name, tensor in editor.model.state_dict().items()}
    nlls, kls = [], []
    for case, example in zip(cases, examples, strict=False):
        before = [log_probs(text) for text in example.local]
        editor.edit([case.request])
        for text in (example.edit, *example.outer):
            nlls.append(-log_probs(text).gather(1, torch.tensor(text.labels)[:, None]).mean())
        for text, old in zip(example.local, before, strict=True):
            kls.append((old.exp() * (old - log_probs(text))).sum(1).mean())
        editor.model.load_state_dict(pristine)
    nll, kl = torch.stack(nlls).mean(), torch.stack(kls).mean()
    assert kl > 0.1 * nll, "the term must be felt"
    assert loss == pytest.approx(float(0.7 * nll + 2.0 * kl), rel=1e-4)


def test_training_makes_edits_better(trainable: Callable[..., MEND], cases: list[EditCase]) -> None:
    editor = trainable("a")
    trained = train(editor, cases, 24)
    assert trained.best.loss < 0.8 * trained.untrained.loss
    assert trained.best_step > 0

    def target_loss(**hparams: Any) -> float:
        fresh = trainable("a", **hparams)
        fresh.prepare()
        return fresh.edit([cases[0].request]).per_request[0]["loss"]

    assert target_loss() < target_loss(checkpoint="untrained")


def test_resumed_training_is_the_same_bit_for_bit(
    trainable: Callable[..., MEND], cases: list[EditCase]
) -> None:
    whole = train(trainable("whole"), cases, 8)
    train(trainable("parts"), cases, 4)
    notes: list[str] = []
    parts = train(trainable("parts"), cases, 8, note=notes.append)
    assert notes[0].startswith("going on from step 4")
    assert parts[1:] == whole[1:]
    for ending in (".safetensors", ".training.safetensors"):
        one, header_one = load_checkpoint(whole.path.with_suffix("").with_suffix(ending))
        two, header_two = load_checkpoint(parts.path.with_suffix("").with_suffix(ending))
        assert header_one == header_two
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_facts_without_an_old_target(trainable: Callable[..., MEND], cases: list[EditCase]) -> None:
    """ES does not exist there (zsRE), before and after a resumption."""
    facts = [EditCase(dataclasses.replace(case.request, target_true=None)) for case in cases]
    train(trainable("a"), facts, 1)
    trained = train(trainable("a"), facts, 2)
    assert math.isnan(trained.untrained.es) and not math.isnan(trained.untrained.exact)
    assert trainable("a").prepare()["validation"]["es"] is None


def test_training_stops_when_it_gets_no_better(
    trainable: Callable[..., MEND], cases: list[EditCase]
) -> None:
    settings = SETTINGS.model_copy(update={"lr": 10.0, "clip": 1e9, "patience": 4})
    trained = train(trainable("a"), cases, 40, settings=settings)
    assert trained.patience and trained.steps < 40


def test_other_settings_do_not_go_on(trainable: Callable[..., MEND], cases: list[EditCase]) -> None:
    train(trainable("a"), cases, 1)
    with pytest.raises(InputError, match="--restart"):
        train(trainable("a"), cases[:3], 2)
    assert train(trainable("a"), cases[:3], 2, restart=True).steps == 2


def test_training_leaves_the_model(trainable: Callable[..., MEND], cases: list[EditCase]) -> None:
    editor = trainable("a")
    before = {name: p.detach().clone() for name, p in editor.model.named_parameters()}
    train(editor, cases, 2)
    for name, parameter in editor.model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.requires_grad and parameter.grad is None


# --- Files -----------------------------------------------------------------------------------


def test_checkpoint_round_trip(trainable: Callable[..., MEND], cases: list[EditCase]) -> None:
    trained = train(trainable("a"), cases, 4)
    editor = trainable("a")
    record = editor.prepare()
    tensors, header = load_checkpoint(trained.path)
    assert all(torch.equal(editor._network.state_dict()[name], tensors[name]) for name in tensors)
    assert record["checkpoint"] == trained.path.name
    assert len(record["sha256"]) == 64
    assert record["validation"] == trained.best._asdict()
    assert "trained_on" not in record
    assert header.provenance["trained_on"]["case_ids"] == [0, 1, 2, 3]
    assert editor.edit([cases[0].request]).per_request[0]["seen_in_training"] == 1
    unseen = EditRequest.create(case_id=9, prompt="{} is", subject="Rome", target_new="old")
    assert editor.edit([unseen]).per_request[0]["seen_in_training"] == 0


def test_no_checkpoint_names_the_command(trainable: Callable[..., MEND]) -> None:
    with pytest.raises(InputError, match="seqedit-bench train mend"):
        trainable("a").prepare()


def test_checkpoint_of_something_else_is_refused(
    trainable: Callable[..., MEND],
    make_model: Callable[..., PreTrainedModel],
    cases: list[EditCase],
    tmp_path: Path,
) -> None:
    path = str(train(trainable("a"), cases, 1).path)
    with pytest.raises(InputError, match=r"this model and these layers have"):
        trainable("b", layers=[1, 2], checkpoint=path).prepare()
    editor = trainable("b", checkpoint=path)
    editor.model.load_state_dict(make_model("gpt2", seed=1).state_dict())
    with pytest.raises(InputError, match="trained on another model"):
        editor.prepare()
    with pytest.raises(InputError, match="is not there"):
        trainable("b", checkpoint=str(tmp_path / "none.safetensors")).prepare()
    with pytest.raises(InputError, match="unfinished training"):
        state = path.replace(".safetensors", ".training.safetensors")
        trainable("b", checkpoint=state).prepare()
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    with pytest.raises(InputError, match="not a MEND checkpoint"):
        trainable("b", checkpoint=str(text)).prepare()


def published(model: PreTrainedModel, *, rank: int = 5) -> dict[str, Any]:
    """An archive as the authors' trainer writes it, with random numbers."""
    generator = torch.Generator().manual_seed(3)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    d_model, d_ff = 32, 48
    tensors: dict[str, Any] = {"edit_lrs": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    for d_in, d_out in ((d_ff, d_model), (d_model, d_ff)):
        prefix, width = f"mend.({d_in}, {d_out})", d_in + d_out
        for side, size in (("u", d_in), ("v", d_out)):
            for kind in ("mean", "std", "s"):
                tensors[f"{prefix}.{side}_{kind}"] = random(size)
        tensors[f"{prefix}.k"] = torch.tensor([100.0])
        for layer in range(2):
            at = f"{prefix}.mlp.layers.{layer}"
            tensors[f"{at}.u"] = random(width, rank)
            tensors[f"{at}.v"] = random(rank, width)
            tensors[f"{at}.bias"] = random(width)
            tensors[f"{at}.mode_shift.weight"] = random(2, width)
            tensors[f"{at}.mode_scale.weight"] = random(2, width)
    tensors["model_config"] = model.config
    return {"model": tensors, "opt": {"state": {}}, "lr_opt": None, "step": 7, "val_stats": {}}


@pytest.mark.parametrize("family", ["gpt2", "gptj"])
def test_published_checkpoint_is_converted(
    family: str, trainable: Callable[..., MEND], tmp_path: Path
) -> None:
    editor = trainable("a", family)
    assert isinstance(editor.model.config, (GPT2Config, GPTJConfig))
    archive = published(editor.model)
    torch.save(archive, tmp_path / "mend-10tok.pt")
    path = editor.convert(tmp_path / "mend-10tok.pt")
    assert path == editor.default_path()
    record = editor.prepare()
    assert record["converted_from"] == "mend-10tok.pt"
    up = next(m for m in editor._matrices if m.d_in == 32)
    network = editor._network.network(up)
    source = archive["model"]
    assert torch.equal(network.inputs.mean, source["mend.(32, 48).u_mean"])
    assert torch.equal(network.gradients.squares, source["mend.(32, 48).v_s"])
    torch.testing.assert_close(network.inputs.deviation, (source["mend.(32, 48).u_s"] / 99).sqrt())
    layer: Any = network.layers[1]
    assert torch.equal(layer.left, source["mend.(32, 48).mlp.layers.1.u"])
    assert torch.equal(layer.scale, source["mend.(32, 48).mlp.layers.1.mode_scale.weight"])
    with pytest.raises(InputError, match="is there already: --restart replaces it"):
        editor.convert(tmp_path / "mend-10tok.pt")
    training_path(path).touch()
    editor.convert(tmp_path / "mend-10tok.pt", restart=True)
    assert not training_path(path).exists(), "no training goes on over a converted network"
    # Published order: down-projection first for GPT-2, last for GPT-J.
    assert editor._rates()[up.name] == (2.0 if family == "gpt2" else 1.0)


def test_published_checkpoint_of_another_model_is_refused(
    trainable: Callable[..., MEND], tmp_path: Path
) -> None:
    editor = trainable("a")
    archive = published(editor.model)
    del archive["model"]["mend.(32, 48).k"]
    torch.save(archive, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"does not fit the model: networks\.32x48"):
        editor.convert(tmp_path / "a.pt")
    archive["model"]["mend.transformer#h#1#mlp"] = torch.zeros(1)
    torch.save(archive, tmp_path / "b.pt")
    with pytest.raises(InputError, match="not a shared MEND network"):
        editor.convert(tmp_path / "b.pt")
    torch.save({"weights": 1}, tmp_path / "c.pt")
    with pytest.raises(InputError, match="holds no 'model'"):
        editor.convert(tmp_path / "c.pt")
    with pytest.raises(InputError, match="is not there"):
        editor.convert(tmp_path / "d.pt")


class _Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch hostile-was-here",)


def test_pickle_with_code_is_refused(
    trainable: Callable[..., MEND], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"edit_lrs": _Hostile()}}, "a.pt")
    Path("b.pt").write_bytes(pickle.dumps(_Hostile()))
    for name in ("a.pt", "b.pt"):
        with pytest.raises(InputError, match=r"not plain tensors .*refused") as caught:
            trainable("a").convert(Path(name))
        assert len(str(caught.value).splitlines()) == 1
    assert not Path("hostile-was-here").exists()
    assert not (tmp_path / "a").exists()
