"""GRACE: the codebook's rules in closed form, and an untouched model around them."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.benchmark.trial import MIDDLE, NORTH, START
from seqedit_bench.editors import EditRequest, ModelShape
from seqedit_bench.editors._architecture import Architecture, oriented
from seqedit_bench.editors._codebook import Action, Codebook
from seqedit_bench.editors._keys import right_pad
from seqedit_bench.editors._trace import record
from seqedit_bench.editors.grace import GRACE, GRACEHparams
from seqedit_bench.tasks.tokenization import encode, encode_pair

Make = Callable[..., Any]
SMALL = {"layers": [2], "num_steps": 6}
PROMPT = "The capital of France is"


def place(book: Codebook, key: list[float], label: tuple[int, ...], **options: Any) -> Any:
    settings: dict[str, Any] = {"radius": 1.0, "expand": "coverage", **options}
    return book.place(torch.tensor(key), label, **settings)


@pytest.fixture
def book() -> Codebook:
    return Codebook(2, 3, torch.device("cpu"))


# --- The codebook ----------------------------------------------------------------------------


def test_a_key_far_from_all_others_is_added(book: Codebook) -> None:
    assert place(book, [0, 0], (7,)) == (0, Action.ADD, math.inf)
    assert place(book, [2.5, 0], (8,)) == (1, Action.ADD, 2.5)
    assert book.radii.tolist() == [1, 1]
    assert book.values.shape == (2, 3)


def test_balls_of_two_targets_are_split_half_way(book: Codebook) -> None:
    place(book, [0, 0], (7,))
    assert place(book, [1.5, 0], (8,)) == (1, Action.SPLIT, 1.5)
    assert book.radii.tolist() == pytest.approx([0.75 - 1e-5, 0.75], abs=1e-7)
    assert book.look_up(torch.tensor([[0.0, 0.0], [1.5, 0.0]])).tolist() == [0, 1]


def test_a_split_never_enlarges_a_ball(book: Codebook) -> None:
    """As published, the second split would give the first ball 0.9 again."""
    place(book, [0, 0], (7,))
    place(book, [0.4, 0], (8,))
    place(book, [-1.0, 0], (9,))
    assert book.radii.tolist() == pytest.approx([0.2 - 1e-5, 0.2, 0.5], abs=1e-6)


@pytest.mark.parametrize(
    ("expand", "centre", "radius"), [("coverage", 0.0, 1.5), ("moving_average", 0.75, 1.5)]
)
def test_a_ball_of_the_same_target_takes_the_key_in(
    expand: str, centre: float, radius: float, book: Codebook
) -> None:
    place(book, [0, 0], (7, 8))
    assert place(book, [1.5, 0], (7, 8), expand=expand) == (0, Action.EXPAND, 1.5)
    assert (len(book), book.radii.tolist(), book.keys[0, 0].item()) == (1, [radius], centre)
    # Inside, nothing moves.
    place(book, [centre + 0.5, 0], (7, 8), expand=expand)
    assert (len(book), book.radii.tolist(), book.keys[0, 0].item()) == (1, [radius], centre)


def test_targets_are_compared_token_by_token(book: Codebook) -> None:
    """Published code compares means: (6, 8) and (7, 7) would be the same answer."""
    place(book, [0, 0], (6, 8))
    assert place(book, [0.5, 0], (7, 7)).action is Action.SPLIT


def test_the_same_key_again_is_given_the_later_target(book: Codebook) -> None:
    place(book, [3, 4], (7,))
    assert place(book, [3, 4], (8,)) == (0, Action.REPLACE, 0.0)
    assert (book.labels, book.radii.tolist()) == ([(8,)], [1.0])


def test_a_ball_ends_at_its_radius_and_rounding_is_allowed_for(book: Codebook) -> None:
    place(book, [1000, 0], (7,))
    queries = torch.tensor([[1000.0, 1.0], [1000.0, 1.009], [1000.0, 1.02], [math.nan, 0.0]])
    assert book.look_up(queries).tolist() == [0, 0, -1, -1]


def test_the_nearest_of_overlapping_balls_answers(book: Codebook) -> None:
    place(book, [0, 0], (7,))
    book.radii[0] = 100.0
    place(book, [150, 0], (8,))
    assert book.look_up(torch.tensor([[60.0, 0.0], [149.5, 0.0], [90.0, 0.0]])).tolist() == [
        0,
        1,
        -1,
    ]


def test_many_keys_are_at_distance_zero_from_themselves() -> None:
    """Distances by matrix products (torch's choice for many rows) would miss by 0.01."""
    book = Codebook(64, 1, torch.device("cpu"))
    keys = 100 * torch.randn(60, 64, generator=torch.Generator().manual_seed(0))
    for number, key in enumerate(keys):
        book.place(key, (number,), radius=1e-6, expand="coverage")
    distances, entries = book.nearest(keys)
    assert distances.tolist() == [0.0] * 60
    assert entries.tolist() == list(range(60))


# --- The editor ------------------------------------------------------------------------------


@torch.no_grad()
def answer(editor: GRACE | None, model: PreTrainedModel, ids: list[int], end: int) -> Tensor:
    if editor is not None:
        editor.next_rows(torch.tensor([end]))
    return model(torch.tensor([ids]), use_cache=False).logits[0]


def ids_of(tokenizer: PreTrainedTokenizerFast, request: EditRequest) -> tuple[list[int], int]:
    pair = encode_pair(tokenizer, request.text, request.target_new)
    return pair.context + pair.continuation[:-1], len(pair.context) - 1


def test_a_stored_prompt_gets_its_value_and_nothing_else_moves(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, make_editor: Make
) -> None:
    ids, end = ids_of(tokenizer, MIDDLE)
    other, other_end = ids_of(tokenizer, START)
    before = answer(None, main_model, ids, end), answer(None, main_model, other, other_end)
    editor = make_editor("grace", main_model, **SMALL)
    assert torch.equal(answer(editor, main_model, ids, end), before[0])
    weights = {name: value.clone() for name, value in main_model.state_dict().items()}
    module = Architecture.of(main_model).mlp_out(main_model, 2)
    plain = record(main_model, {"it": module}, input_ids=torch.tensor([ids]))["it"]
    (report,) = editor.edit([MIDDLE]).per_request
    assert report["loss"] < report["loss_first"]
    assert (report["action"], report["entries"], report["steps"]) == (0, 1, 6)
    assert "nearest" not in report

    editor.next_rows(torch.tensor([end]))
    given = record(main_model, {"it": module}, input_ids=torch.tensor([ids]))["it"]
    assert editor.hit_rows() == [True]
    value = editor.state_dict()["values"][0]
    assert torch.equal(given[0, end], value)
    rest = [column for column in range(len(ids)) if column != end]
    assert torch.equal(given[0, rest], plain[0, rest])
    after = answer(editor, main_model, ids, end)
    assert torch.equal(after[:end], before[0][:end])
    assert not torch.equal(after[end:], before[0][end:])

    assert torch.equal(answer(editor, main_model, other, other_end), before[1])
    assert editor.hit_rows() == [False]
    assert torch.equal(answer(editor, main_model, ids, end - 1), before[0]), "another prompt"
    assert torch.equal(answer(None, main_model, ids, end), before[0]), "nobody said where it ends"
    for name, value in main_model.state_dict().items():
        assert torch.equal(value, weights[name])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_stored_prompts_are_found_among_others_in_half_precision(
    family: str,
    dtype: torch.dtype,
    make_model: Make,
    make_editor: Make,
    requests: list[EditRequest],
) -> None:
    """Pads change what is rounded: a key in a batch is up to a hundredth of its length away."""
    editor = make_editor("grace", make_model(family).to(dtype), **SMALL, radius=1e-4)
    for request in requests:
        editor.edit([request])
    pairs = [encode_pair(editor.tokenizer, r.text, r.target_new) for r in requests]
    ids, mask = right_pad([[*p.context, *p.continuation] for p in pairs], torch.device("cpu"))
    editor.next_rows(torch.tensor([len(pair.context) - 1 for pair in pairs]))
    with torch.no_grad():
        editor.model(input_ids=ids, attention_mask=mask, use_cache=False)
    assert editor._chosen.tolist() == [0, 1, 2, 3]


def test_the_target_is_learnt(main_model: PreTrainedModel, make_editor: Make) -> None:
    """A target of one token: layers of random weights carry no more than that to later ones."""
    editor = make_editor("grace", main_model, layers=[2], num_steps=60)
    request = EditRequest.create(case_id=1, prompt="{} plays", subject="Pelé", target_new="the")
    (report,) = editor.edit([request]).per_request
    assert report["loss"] < 1 < 2 < report["loss_first"]
    ids, end = ids_of(editor.tokenizer, request)
    (label,) = encode_pair(editor.tokenizer, request.text, request.target_new).continuation
    assert answer(editor, main_model, ids, end)[-1].argmax() == label


def test_another_edit_leaves_a_value_as_it_is(make_model: Make, make_editor: Make) -> None:
    model = make_model("gpt2")
    editor = make_editor("grace", model, **SMALL, radius=1e-3)
    editor.edit([MIDDLE])
    first = editor.state_dict()["values"][0]
    (report,) = editor.edit([START]).per_request
    assert (report["action"], report["entries"]) == (Action.ADD, 2)
    assert report["nearest"] > 2e-3
    assert torch.equal(editor.state_dict()["values"][0], first)


def test_the_same_fact_is_trained_further_and_another_target_replaces_it(
    make_model: Make, make_editor: Make
) -> None:
    editor = make_editor("grace", make_model("gpt2"), **SMALL)
    (first,) = editor.edit([MIDDLE]).per_request
    (again,) = editor.edit([MIDDLE]).per_request
    assert (again["action"], again["entries"], again["nearest"]) == (Action.EXPAND, 1, 0)
    assert again["loss_first"] < first["loss"], "it starts where the first edit ended"
    (other,) = editor.edit([NORTH]).per_request
    assert (other["action"], other["entries"], other["nearest"]) == (Action.REPLACE, 1, 0)


@pytest.mark.parametrize("module", ["mlp_out", "mlp_in"])
def test_warm_values_start_as_the_present_output(
    module: str,
    any_model: PreTrainedModel,
    make_editor: Make,
) -> None:
    """So the first loss is the unedited model's: on every family and for both projections."""
    losses = [
        make_editor("grace", any_model, **SMALL, module=module, value_init=init)
        .edit([MIDDLE])
        .per_request[0]["loss_first"]
        for init in ("warm", "cold")
    ]
    editor = make_editor("grace", any_model, **SMALL)
    pair = encode_pair(editor.tokenizer, MIDDLE.text, MIDDLE.target_new)
    ids, end = pair.context + pair.continuation[:-1], len(pair.context) - 1
    logits = answer(None, any_model, ids, end)[end:]
    plain = torch.nn.functional.cross_entropy(logits, torch.tensor(pair.continuation)).item()
    assert losses[0] == pytest.approx(plain, rel=1e-4)
    assert losses[1] != pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("replace", ["prompt", "all"])
def test_where_values_go(
    replace: str,
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    make_editor: Make,
) -> None:
    editor = make_editor("grace", main_model, **SMALL, replace=replace)
    assert not editor.shares_prefixes
    (report,) = editor.edit([MIDDLE]).per_request
    assert report["loss"] < report["loss_first"]
    ids, end = ids_of(tokenizer, MIDDLE)
    module = Architecture.of(main_model).mlp_out(main_model, 2)
    plain = record(main_model, {"it": module}, input_ids=torch.tensor([ids]))["it"][0]
    editor.next_rows(torch.tensor([end]))
    given = record(main_model, {"it": module}, input_ids=torch.tensor([ids]))["it"][0]
    changed = end if replace == "prompt" else len(ids)
    assert torch.equal(given[:changed], editor.state_dict()["values"].expand(changed, -1))
    assert torch.equal(given[changed:], plain[changed:])


def test_a_prompt_of_one_token_has_nothing_before_its_end(
    make_model: Make, make_editor: Make
) -> None:
    editor = make_editor("grace", make_model("gpt2"), **SMALL, replace="prompt")
    request = EditRequest.create(case_id=1, prompt="{}", subject="e", target_new="Lima")
    (report,) = editor.edit([request]).per_request
    assert report["loss"] == report["loss_first"]


def test_any_token_looks_for_itself(
    tokenizer: PreTrainedTokenizerFast, make_model: Make, make_editor: Make
) -> None:
    """A prefix's key does not depend on what follows, so nobody need say where a prompt ends."""
    model = make_model("gpt2")
    editor = make_editor("grace", model, **SMALL, match="any", radius=1e-4)
    bounded = make_editor("grace", make_model("gpt2"), **SMALL, radius=1e-4)
    ids, end = ids_of(tokenizer, MIDDLE)
    plain = answer(None, model, ids, end)
    for each in (editor, bounded):
        each.edit([MIDDLE])
    unannounced = answer(None, model, ids, end)
    assert not torch.equal(unannounced, plain)
    assert torch.equal(unannounced, answer(bounded, bounded.model, ids, end))
    rows = torch.tensor([ids, ids[::-1]])
    editor.next_rows(torch.tensor([0, 0]))
    model(rows)
    assert editor.hit_rows() == [True, False]


def test_two_editors_on_one_model_do_not_meet(
    tokenizer: PreTrainedTokenizerFast, make_model: Make, make_editor: Make
) -> None:
    model = make_model("llama")
    module = Architecture.of(model).mlp_out(model, 2)
    ids, end = ids_of(tokenizer, MIDDLE)
    plain = answer(None, model, ids, end)
    first = make_editor("grace", model, **SMALL)
    first.edit([MIDDLE])
    second = make_editor("grace", model, **SMALL)
    assert len(module._forward_hooks) == 1
    assert torch.equal(answer(first, model, ids, end), plain), "the second has taken its place"
    second.edit([MIDDLE])
    del first
    gc.collect()
    assert not torch.equal(answer(second, model, ids, end), plain)
    del second
    gc.collect()
    assert len(module._forward_hooks) == 0


def test_state_is_a_copy(make_model: Make, make_editor: Make) -> None:
    editor = make_editor("grace", make_model("gpt2"), **SMALL)
    editor.edit([MIDDLE])
    state = editor.state_dict()
    kept = {name: value.clone() for name, value in state.items()}
    editor.edit([NORTH])
    editor.load_state_dict(state)
    editor.edit([NORTH])
    assert all(torch.equal(state[name], kept[name]) for name in kept)


def test_random_values_go_on_with_the_state(make_model: Make, make_editor: Make) -> None:
    """Each value starts from numbers of its own, whatever was restored in between."""
    editor = make_editor("grace", make_model("gpt2"), **SMALL, radius=1e-6, lr=1e-9)
    start = {name: value.clone() for name, value in editor.state_dict().items()}
    editor.edit([MIDDLE])
    editor.edit([START])
    first, second = editor.state_dict()["values"]
    assert not torch.allclose(first, second, atol=1e-3)
    assert 0 <= float(first.min()) < 0.2 < 0.8 < float(first.max()) <= 1
    editor.load_state_dict(start)
    editor.edit([MIDDLE])
    assert torch.equal(editor.state_dict()["values"][0], first)


def test_any_match_replaces_only_the_token_itself() -> None:
    with pytest.raises(ValidationError, match="replace=last"):
        GRACEHparams.model_validate({"layers": [1], "match": "any", "replace": "all"})


def test_derived_layer_is_near_the_published_ones() -> None:
    for depth, published in ((28, 25), (32, 27), (48, 35)):
        (layer,) = GRACEHparams.derive(ModelShape(depth, 8, 8))["layers"]
        assert abs(layer - published) <= 3


def test_keys_are_what_the_projection_reads(main_model: PreTrainedModel, make_editor: Make) -> None:
    editor = make_editor("grace", main_model, **SMALL)
    editor.edit([MIDDLE])
    module = Architecture.of(main_model).mlp_out(main_model, 2)
    ids = torch.tensor([encode(editor.tokenizer, MIDDLE.text)])
    read = record(main_model, {"it": module}, keep="input", input_ids=ids)["it"][0, -1]
    state = editor.state_dict()
    assert torch.allclose(state["keys"][0], read, atol=1e-6)
    assert state["values"].shape == (1, oriented(module).shape[0])
