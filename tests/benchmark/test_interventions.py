"""Editors beside the weights, as the wrapper, a run, and the harness see them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from seqedit_bench.benchmark.attention import Attention
from seqedit_bench.benchmark.edited_lm import EditedLM
from seqedit_bench.benchmark.lm import SequentialEditLM
from seqedit_bench.benchmark.lmeval import Instance
from seqedit_bench.benchmark.model import LoadedModel
from seqedit_bench.benchmark.prefix import Prefix
from seqedit_bench.benchmark.scoring import Scorer
from seqedit_bench.benchmark.trial import FACTS, MIDDLE, START
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.tokenization import Pair, encode, encode_pair

Make = Callable[..., Any]
GRACE = {"layers": [2], "num_steps": 6, "radius": 1e-2}
SHOTS = "It rains a lot today. He plays the guitar and she plays chess in the south. " * 4
OTHERS = ["It rains", "The mother tongue of", "In France they speak", "Pelé plays the"]


def asked(kind: Any, *arguments: Any, task: str = "t", case_id: int | None = None) -> list[Any]:
    doc = {} if case_id is None else {"case_id": case_id}
    return [Instance(kind, doc, each, n, (task, n, 1)) for n, each in enumerate(arguments)]


def wrapped(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, editor: Any) -> Any:
    loaded = LoadedModel(model, tokenizer, "tiny", None, "")
    return SequentialEditLM(loaded, editor=editor)


@torch.no_grad()
def plain(editor: Any, model: PreTrainedModel, pair: Pair) -> float:
    """Score one pair in one pass of its own."""
    ids = pair.context + pair.continuation
    if editor is not None:
        editor.next_rows(torch.tensor([len(pair.context) - 1]))
    logits = model(torch.tensor([ids]), use_cache=False).logits[0].log_softmax(-1)
    first = len(pair.context) - 1
    return sum(float(logits[first + j, token]) for j, token in enumerate(pair.continuation))


def pairs_of(tokenizer: PreTrainedTokenizerFast) -> list[Pair]:
    """Edited prompts, prompts that end elsewhere in the same text, shots, and others."""
    texts = [
        *((fact.text, fact.target_new) for fact in FACTS),
        (MIDDLE.text, " Paris"),
        (MIDDLE.text + " Madrid", " in the south"),
        ("The capital of", " France is Madrid in the south"),
        *((prompt, f" {word}") for prompt in OTHERS for word in ("a", "the")),
        *((SHOTS + fact.text, fact.target_new) for fact in FACTS),
        *((SHOTS + prompt, " a") for prompt in OTHERS),
    ]
    return [encode_pair(tokenizer, *each) for each in texts]


# --- Hooks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("replace", ["last", "prompt", "all"])
@pytest.mark.parametrize("batch_tokens", [60, 4096])
def test_batches_with_shared_rows_and_prefixes_equal_single_passes(
    batch_tokens: int,
    replace: str,
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    make_editor: Make,
) -> None:
    editor = make_editor("grace", main_model, **GRACE, replace=replace)
    for fact in (MIDDLE, START):
        editor.edit([fact])
    shots = [encode(tokenizer, SHOTS + MIDDLE.text), encode(tokenizer, MIDDLE.text)]
    editor.edit([type(MIDDLE).create(case_id=5, prompt=SHOTS + "{}", subject="He", target_new="x")])
    last = [Pair(shots[0], [3]), Pair(encode(tokenizer, SHOTS + "He"), [9])]
    pairs = [*pairs_of(tokenizer), *last]
    scorer = Scorer(main_model, max_length=256, batch_tokens=batch_tokens, hooks=editor)
    scores = scorer.score(pairs)
    for pair, score in zip(pairs, scores, strict=True):
        assert score[0] == pytest.approx(plain(editor, main_model, pair), abs=2e-4)
    own = {tuple(encode(tokenizer, text)) for text in (MIDDLE.text, START.text, SHOTS + "He")}
    assert scorer.hits == [tuple(pair.context) in own for pair in pairs]
    assert sum(scorer.hits) == 4


def test_a_prefix_is_shared_up_to_the_prompts_end(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, make_editor: Make
) -> None:
    """Fewer tokens are run than without sharing, but as many prompts end as there are."""
    prompts = [*OTHERS, *(fact.text for fact in FACTS)]
    pairs = [encode_pair(tokenizer, SHOTS + prompt, " a") for prompt in prompts]
    tokens = sum(len(pair.context) for pair in pairs)
    runs = {}
    for replace in ("last", "all"):
        editor = make_editor("grace", main_model, **GRACE, replace=replace)
        scorer = Scorer(main_model, max_length=256, hooks=editor)
        scorer.score(pairs)
        runs[replace] = scorer.tokens_scored
    assert runs["last"] < tokens / 2
    assert runs["all"] == tokens


def test_without_a_hit_scores_are_the_unedited_ones_bit_for_bit(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, make_editor: Make
) -> None:
    pairs = pairs_of(tokenizer)
    editor = make_editor("grace", main_model, **GRACE)
    scorer = Scorer(main_model, max_length=256, hooks=editor)
    before = scorer.score(pairs)
    assert not any(scorer.hits)
    for pair, score in zip(pairs, before, strict=True):
        assert score[0] == pytest.approx(plain(None, main_model, pair), abs=2e-4)
    editor.edit([MIDDLE])
    after = scorer.score(pairs)
    changed = [one != other for one, other in zip(before, after, strict=True)]
    assert changed == scorer.hits
    assert sum(changed) == 2


@pytest.mark.parametrize("replace", ["last", "prompt", "all"])
def test_step_by_step_decoding_equals_teacher_forcing(
    replace: str,
    main_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    make_editor: Make,
) -> None:
    """What was decided at the prompt's end holds for the whole generation."""
    editor = make_editor("grace", main_model, **GRACE, replace=replace)
    editor.edit([MIDDLE])
    rows = [encode(tokenizer, text) for text in (MIDDLE.text, "It rains", START.text)]
    tail = encode(tokenizer, " in the south of")
    with torch.no_grad():
        attention = Attention.of(main_model)
        prefix = Prefix(main_model, [], attention=attention, packed=False, hooks=editor)
        running = prefix.open(rows, new=3, ends=[len(row) - 1 for row in rows])
        ends = [running.place(row, -1) for row in range(len(rows))]
        steps = [running.hidden[ends]]
        steps += [running.append(torch.tensor([token] * len(rows))) for token in tail]
        assert editor.hit_rows() == [True, False, False]
        for index, row in enumerate(rows):
            editor.next_rows(torch.tensor([len(row) - 1]))
            whole = main_model.base_model(torch.tensor([row + tail]), use_cache=False)
            forced = whole.last_hidden_state[0, len(row) - 1 :]
            stepwise = torch.stack([step[index] for step in steps])
            assert torch.allclose(forced, stepwise, atol=1e-4)


def test_generated_texts_are_those_of_the_edited_prompt_alone(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, make_editor: Make
) -> None:
    editor = make_editor("grace", main_model, **GRACE)
    lm = wrapped(main_model, tokenizer, editor)
    arguments = {"max_gen_toks": 6}
    texts = [MIDDLE.text, "It rains", SHOTS + "He plays", SHOTS + "She plays"]
    requests = asked("generate_until", *((text, arguments) for text in texts), task="gen")
    before = lm.generate_until(requests)
    assert lm.interventions.by_task() == {"gen": {"requests": 4, "hits": 0, "tokens": 0}}
    editor.edit([MIDDLE])
    after = lm.generate_until(requests)
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, *[True] * 3]
    assert lm.interventions.by_task() == {"gen": {"requests": 8, "hits": 1, "tokens": 0}}
    beams = asked("generate_until", (MIDDLE.text, {"max_gen_toks": 2, "num_beams": 2}))
    with pytest.raises(InputError, match="num_beams is the harness's own, which GRACE cannot"):
        lm.generate_until(beams)


def test_whole_texts_and_empty_contexts_have_their_first_token_as_prompt(
    tokenizer: PreTrainedTokenizerFast, make_model: Make, make_editor: Make
) -> None:
    model = make_model("gpt2")
    editor = make_editor("grace", model, **GRACE)
    lm = wrapped(model, tokenizer, editor)
    whole = asked("loglikelihood_rolling", ("It rains a lot",), task="whole")
    empty = asked("loglikelihood", ("", "It rains a lot"), task="empty")
    before = lm.loglikelihood_rolling(whole), lm.loglikelihood(empty)
    assert before[0][0] == pytest.approx(before[1][0][0], abs=1e-5)
    ids = tokenizer("<|endoftext|>").input_ids
    assert ids == [lm.prefix_token_id]
    fact = type(MIDDLE).create(case_id=1, prompt="{}", subject="<|endoftext|>", target_new="x")
    editor.edit([fact])
    assert lm.loglikelihood_rolling(whole) != before[0]
    assert lm.loglikelihood(empty) != before[1]
    hit = {"requests": 2, "hits": 1, "tokens": 0}
    assert lm.interventions.by_task() == {"whole": hit, "empty": hit}


# --- Context ---------------------------------------------------------------------------------

WRITTEN = "New fact: The capital of France is Madrid in the south.\nPrompt: "


def test_scores_are_those_of_the_joined_text(
    main_model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, make_editor: Make
) -> None:
    editor = make_editor("in_context", main_model)
    lm = wrapped(main_model, tokenizer, editor)
    requests = asked(
        *("loglikelihood", ("Of France it is", " a"), ("It rains", " a")), task="ask", case_id=7
    )
    before = lm.loglikelihood(requests)
    editor.edit([MIDDLE])
    after = lm.loglikelihood(requests)
    joined = encode_pair(tokenizer, WRITTEN + "Of France it is", " a")
    assert after[0][0] == pytest.approx(plain(None, main_model, joined), abs=1e-4)
    assert after[0] != before[0]
    assert after[1][0] == pytest.approx(before[1][0], abs=1e-4)
    added = len(encode(tokenizer, WRITTEN + "Of France it is")) - len(
        encode(tokenizer, "Of France it is")
    )
    assert lm.interventions.by_task() == {"ask": {"requests": 4, "hits": 1, "tokens": added}}
    assert lm.interventions.by_task(8) == {}
    assert lm.interventions.by_task(7) == lm.interventions.by_task()
    lm.interventions.clear()
    assert lm.interventions.by_task() == {}


@pytest.mark.parametrize("arguments", [{"max_gen_toks": 4}, {"max_gen_toks": 4, "num_beams": 2}])
def test_texts_are_continued_behind_the_facts(
    arguments: dict[str, Any],
    tokenizer: PreTrainedTokenizerFast,
    make_model: Make,
    make_editor: Make,
) -> None:
    """By our generator, and by the harness's own where ours cannot."""
    model = make_model("gpt2")
    editor = make_editor("in_context", model)
    lm = wrapped(model, tokenizer, editor)
    text = "Of France it is"
    (bare, joined) = lm.generate_until(
        asked("generate_until", (text, arguments), (WRITTEN + text, arguments))
    )
    editor.edit([MIDDLE])
    (request,) = asked("generate_until", (text, arguments), task="gen")
    assert lm.generate_until([request]) == [joined] != [bare]
    assert request.args == (text, arguments), "the harness's own request is left alone"
    assert lm.interventions.by_task()["gen"]["hits"] == 1


def test_facts_that_do_not_fit_the_window_are_dropped_from_the_front(
    tokenizer: PreTrainedTokenizerFast, make_model: Make, make_editor: Make
) -> None:
    model = make_model("gpt2")
    editor = make_editor("in_context", model, top_k=5, format="{prompt} {target}.\n", lead="")
    facts = [
        type(MIDDLE).create(case_id=n, prompt=f"{word} {{}} is", subject="France", target_new="x")
        for n, word in enumerate(("Big", "The size of", "The capital of"))
    ]
    editor.edit(facts)
    lm = wrapped(model, tokenizer, editor)
    probe = "The capital of France is"
    written = ["Big France is x.\n", "The size of France is x.\n", "The capital of France is x.\n"]
    assert editor.context_for([probe], [None]) == [written]
    target = " Madrid in the south"
    for kept in (3, 2, 1, 0):
        text = "".join(written[3 - kept :]) + probe
        pair = encode_pair(tokenizer, text, target)
        size = len(pair.context) + len(pair.continuation) - 1
        lm._max_length = lm.scorer._max_length = size
        (score,) = lm.loglikelihood(asked("loglikelihood", (probe, target), task=f"s{kept}"))
        assert score[0] == pytest.approx(plain(None, model, pair), abs=1e-4)
        assert lm.interventions.by_task()[f"s{kept}"]["hits"] == int(kept > 0)

        lm._max_length = lm.generator._max_length = len(encode(tokenizer, text)) + 4
        arguments = {"max_gen_toks": 4}
        found = lm.generate_until(asked("generate_until", (probe, arguments), task=f"g{kept}"))
        lm._max_length = lm.generator._max_length = 256
        editor_free = wrapped(model, tokenizer, None)
        assert found == editor_free.generate_until(asked("generate_until", (text, arguments)))
    # Too long even alone: the prompt is cut as ever, and nothing is put before it.
    lm._max_length = lm.scorer._max_length = 10
    (score,) = lm.loglikelihood(asked("loglikelihood", (probe, target), task="cut"))
    pair = encode_pair(tokenizer, probe, target)
    tokens = [*pair.context, *pair.continuation][-11:]
    cut = Pair(tokens[: -len(pair.continuation)], pair.continuation)
    assert 0 < len(cut.context) < len(pair.context)
    assert score[0] == pytest.approx(plain(None, model, cut), abs=1e-4)
    assert lm.interventions.by_task()["cut"] == {"requests": 1, "hits": 0, "tokens": 0}


def test_the_oracle_needs_the_record_and_whole_texts_are_left_alone(
    tokenizer: PreTrainedTokenizerFast, make_model: Make, make_editor: Make
) -> None:
    model = make_model("gpt2")
    editor = make_editor("icl_oracle", model)
    lm = wrapped(model, tokenizer, editor)
    arguments = ("loglikelihood", ("It rains", " a"))
    whole = asked("loglikelihood_rolling", (MIDDLE.text,), task="whole", case_id=0)
    before = lm.loglikelihood(asked(*arguments)), lm.loglikelihood_rolling(whole)
    editor.edit([MIDDLE])
    assert lm.loglikelihood(asked(*arguments)) == before[0]
    assert lm.loglikelihood(asked(*arguments, case_id=1)) == before[0]
    assert lm.loglikelihood(asked(*arguments, case_id=0)) != before[0]
    assert lm.loglikelihood_rolling(whole) == before[1]
    assert lm.interventions.by_task()["whole"] == {"requests": 2, "hits": 0, "tokens": 0}


def test_edits_in_the_weights_are_not_counted(
    tokenizer: PreTrainedTokenizerFast, make_model: Make, make_editor: Make
) -> None:
    model = make_model("gpt2")
    lm = wrapped(model, tokenizer, make_editor("ft_c", model))
    lm.loglikelihood(asked("loglikelihood", ("It rains", " a")))
    lm.loglikelihood_rolling(asked("loglikelihood_rolling", ("It rains",)))
    lm.generate_until(asked("generate_until", ("It rains", {"max_gen_toks": 2})))
    assert lm.interventions.by_task() == {}


# --- Runs ------------------------------------------------------------------------------------

SUITE = """\
name: tiny
version: 1
description: for tests
data_source: bundled
edits: counterfact
num_edits: 3
baseline_records: 3
each_edit: [counterfact_es, counterfact_ps, counterfact_ns, zsre_efficacy]
checkpoint: {retention: 3, sst2_ll: 3}
start_end: [heldout_perplexity]
single_edit: {edits: zsre, num_edits: 2, tasks: [zsre_efficacy]}
score: {counterfact: [es, ps, ns], zsre: [efficacy]}
smoothing: sliding
"""
OPTIONS = {
    "grace": ["layers=[2]", "num_steps=6", "radius=0.01"],
    "in_context": [],
    "icl_oracle": [],
    "none": [],
}


@pytest.fixture(scope="module")
def run(
    seqedit: Make, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Any]:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "suite.yaml").write_text(SUITE)
    found: dict[str, Any] = {}

    def call(editor: str) -> dict[str, list[dict[str, Any]]]:
        if editor not in found:
            done = seqedit(
                *("--editor", editor, "--model", tiny_folder, "--suite", folder / "suite.yaml"),
                *("--output", folder / editor, "--quiet", "--skip", "sst2_ll"),
                *(part for option in OPTIONS[editor] for part in ("--hparams", option)),
            )
            assert done.code == 0, done.err
            found[editor] = {
                path.stem: [json.loads(line) for line in path.read_text().splitlines()]
                for path in (folder / editor).glob("*.jsonl")
            }
        return found[editor]

    return call


def counts(requests: int, hits: int) -> dict[str, int]:
    return {"requests": requests, "hits": hits, "tokens": 0}


def test_a_run_with_hooks(run: Callable[..., Any]) -> None:
    done, none = run("grace"), run("none")
    for line, control in zip(done["edits"], none["edits"], strict=True):
        # Two continuations a prompt; paraphrases and neighbours are in nobody's ball.
        assert line["interventions"]["counterfact_es"] == counts(2, 2)
        assert line["interventions"]["counterfact_ps"] == counts(4, 0)
        assert line["interventions"]["counterfact_ns"] == counts(20, 0)
        assert line["metrics"]["es_nll_new"] < control["metrics"]["es_nll_new"]
        assert line["metrics"]["ps_nll_new"] == pytest.approx(control["metrics"]["ps_nll_new"])
        assert line["update_norm"] == line["distance"] == {}
        assert "interventions" not in control
    first, last = done["checkpoints"]
    assert {each["hits"] for each in first["interventions"].values()} == {0}
    assert last["interventions"]["retention"] == counts(6, 6)
    assert last["interventions"]["heldout_perplexity"]["hits"] == 0
    for task, metrics in none["checkpoints"][1]["tasks"].items():
        assert last["tasks"][task] == pytest.approx(metrics)


@pytest.mark.parametrize("editor", ["in_context", "icl_oracle"])
def test_a_run_with_facts_in_the_prompt(editor: str, run: Callable[..., Any]) -> None:
    done, none = run(editor), run("none")
    assert done["checkpoints"][0]["baseline"] == none["checkpoints"][0]["baseline"]
    for line, control in zip(done["edits"], none["edits"], strict=True):
        es, ns = (line["interventions"][f"counterfact_{name}"] for name in ("es", "ns"))
        assert es["hits"] == 2
        assert es["tokens"] > 10
        assert ns["hits"] == (20 if editor == "icl_oracle" else 0)
        same = line["metrics"]["ns_nll_new"] == pytest.approx(control["metrics"]["ns_nll_new"])
        assert same is (editor == "in_context")
        assert line["metrics"]["es_nll_new"] != pytest.approx(control["metrics"]["es_nll_new"])


@pytest.mark.parametrize("editor", ["grace", "in_context", "icl_oracle"])
def test_single_edits_start_from_nothing(editor: str, run: Callable[..., Any]) -> None:
    """What the sequence left in codebook or memory is put away before each of them."""
    for line, control in zip(run(editor)["single_edits"], run("none")["single_edits"], strict=True):
        assert line["unedited"] == pytest.approx(control["unedited"])
        assert line["metrics"]["efficacy_nll"] != pytest.approx(line["unedited"]["efficacy_nll"])


@pytest.mark.parametrize("editor", ["grace", "in_context"])
def test_the_harness_sees_the_edits(
    editor: str, run: Callable[..., Any], tiny_folder: Path
) -> None:
    """A whole run and `lm-eval`'s own model after the same edits answer alike."""
    options = {"num_edits": 3, "hparams": ";".join(OPTIONS[editor])}
    lm = EditedLM(str(tiny_folder), editor=editor, data_source="bundled", **options)
    line = run(editor)["edits"][-1]
    prompt = line["prompt"].replace("{}", line["subject"])
    (score,) = lm.loglikelihood(asked("loglikelihood", (prompt, line["target_new"])))
    nll = -score[0] / score.num_tokens
    assert nll == pytest.approx(
        run(editor)["checkpoints"][-1]["edited"]["es_nll_new"][-1], abs=1e-4
    )
    assert lm.interventions.by_task()["t"]["hits"] == 1
