"""Facts that cannot be edited: each is written down with its reason, and the run goes on."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from robustness.conftest import SUITE, Runner, small
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

import command
from seqedit_bench.benchmark import loop
from seqedit_bench.benchmark.attempt import Attempt, attempt
from seqedit_bench.benchmark.journal import without_timings
from seqedit_bench.benchmark.model import OriginalWeights
from seqedit_bench.benchmark.scoring import Scorer
from seqedit_bench.benchmark.snapshot import Snapshot
from seqedit_bench.benchmark.tiny_models import build_model, build_tokenizer
from seqedit_bench.benchmark.trial import FACTS, Trial, differing
from seqedit_bench.editors import Editor, EditReport, EditRequest, get_editor
from seqedit_bench.editors._memory import OutOfMemory
from seqedit_bench.leaderboards import read_result
from seqedit_bench.tasks import InputError, RequestError

MERGES, LONG, FIRST, LAST = 1, 2, 3, 4
"""Case ids: the subject's end and the target make one token; a prompt beyond the window; good."""


def joining_tokenizer() -> PreTrainedTokenizerFast:
    """Make a tokenizer that joins an `a` with the space behind it: none of its words is whole."""
    spec = json.loads(build_tokenizer("gpt2").backend_tokenizer.to_str())
    spec["pre_tokenizer"]["use_regex"] = False
    model = spec["model"]
    *model["merges"], last = model["merges"]
    model["vocab"]["aĠ"] = model["vocab"].pop("".join(last))
    model["merges"].insert(0, ["a", "Ġ"])
    from tokenizers import Tokenizer

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)),
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<pad>",
    )


@pytest.fixture(scope="session")
def joining_folder(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """The tiny model with that tokenizer."""
    folder = tmp_path_factory.mktemp("models") / "joining"
    AutoModelForCausalLM.from_pretrained(tiny_folder).save_pretrained(folder)
    joining_tokenizer().save_pretrained(folder)
    return folder


def record(case_id: int, prompt: str, subject: str) -> dict[str, Any]:
    return {
        "case_id": case_id,
        "requested_rewrite": {
            "prompt": prompt,
            "subject": subject,
            "target_new": {"str": "Danish"},
            "target_true": {"str": "Spanish"},
        },
        "paraphrase_prompts": [f"{subject} speaks"],
        "neighborhood_prompts": ["Bo speaks"],
    }


RECORDS = [
    record(MERGES, "The mother tongue of {}", "Anna"),
    record(LONG, "word " * 400 + "{} speaks", "Max"),
    record(FIRST, "The mother tongue of {} is", "Otto"),
    record(LAST, "{} writes in", "Ines"),
]


@pytest.fixture
def facts(tmp_path: Path) -> Callable[..., Path]:
    """Write a data folder with these records."""

    def write(*case_ids: int) -> Path:
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        lines = [json.dumps(each) for each in RECORDS if each["case_id"] in case_ids]
        (folder / "counterfact.jsonl").write_text("\n".join(lines), encoding="utf-8")
        return folder

    return write


@pytest.mark.parametrize(
    "editor",
    ["rome", "memit", "alphaedit", "nas+rome", "rect+memit", "ft", "lora", "mend", "grace"],
)
def test_the_run_goes_on(
    editor: str, run_editor: Runner, facts: Callable[..., Path], joining_folder: Path
) -> None:
    done = run_editor(
        editor,
        model=str(joining_folder),
        data_dir=facts(MERGES, LONG, FIRST, LAST),
        plots=False,
    )
    lines = {line["case_id"]: line for line in done.edits}
    located = "subject" in get_editor(editor).needs
    assert {case for case, line in lines.items() if "failed" in line} == (
        {MERGES, LONG} if located else {LONG}
    )
    assert "the context window 256" in lines[LONG]["failed"]
    if located:
        assert "merges with the target's first" in lines[MERGES]["failed"]
    assert done.result.ending.failed == 1 + located
    before: dict[str, float] = {}
    for line in done.edits:
        if "failed" in line:
            assert line["editor"] == line["update_norm"] == {}
            assert line["distance"] == before or not before
        else:
            assert line["editor"]
        before = line["distance"]
        assert line["metrics"]["es"] in (0.0, 1.0)
        assert "collapsed" not in line


@pytest.mark.parametrize("editor", ["memit_seq", "ft", "ultraedit"])
def test_a_batch_without_its_bad_facts_is_the_batch_of_the_others(
    editor: str,
    run_editor: Runner,
    facts: Callable[..., Path],
    joining_folder: Path,
    tmp_path: Path,
) -> None:
    options = {"model": str(joining_folder), "mode": "batch-single", "plots": False}
    good = (FIRST, LAST) if editor == "memit_seq" else (MERGES, FIRST, LAST)
    data = facts(MERGES, LONG, FIRST, LAST)
    whole = run_editor(editor, data_dir=data, output=tmp_path / "whole", **options)
    assert {line["case_id"] for line in whole.edits if "failed" not in line} == set(good)
    data = facts(*good)
    rest = run_editor(
        editor, data_dir=data, output=tmp_path / "rest", num_edits=len(good), **options
    )
    assert whole.edits[0]["distance"] == pytest.approx(rest.edits[0]["distance"], rel=1e-4)
    assert whole.edits[0]["distance"]


def test_what_no_fact_can_be_edited_with_is_a_mistake_of_the_run(
    run_editor: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten edits show that it is not the facts; nobody waits for the other nine hundred."""
    calls = []

    def refuse(self: Any, requests: Sequence[EditRequest]) -> EditReport:
        calls.append(requests)
        raise InputError("no table of Greek letters")

    monkeypatch.setattr(get_editor("ft_c"), "edit", refuse)
    with pytest.raises(InputError, match=r"none of the first 10 edits .*Greek letters"):
        run_editor("ft_c", num_edits=50, plots=False)
    assert len(calls) == 10


def full(call: Any, when: Callable[[int], bool]) -> Any:
    """Wrap something so that memory runs out in calls of some numbers, from 1 on."""
    calls = count(1)

    def scarce(*arguments: Any, **named: Any) -> Any:
        result = call(*arguments, **named)
        if when(next(calls)):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return result

    return scarce


@pytest.mark.parametrize(
    ("place", "when"),
    [
        ((get_editor("ft_c"), "edit"), "during an edit"),
        ((loop, "Snapshot"), "with a single edit"),
        ((Scorer, "_read"), "with a single row of tokens"),
        ((OriginalWeights, "distances"), "in a run"),
    ],
    ids=["edit", "snapshot", "scoring", "distances"],
)
def test_memory_that_runs_out_ends_the_run_which_can_go_on(
    place: tuple[Any, str],
    when: str,
    run_editor: Runner,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(*place, full(getattr(*place), lambda number: number >= 3))
        with pytest.raises(OutOfMemory, match=f"^out of memory {when}: go on with ") as told:
            run_editor("ft_c", plots=False)
    resume = str(told.value).partition(": seqedit-bench ")[2].partition("; another kind")[0]
    assert resume == f"resume {folder} --cache-gb 0"
    assert command.seqedit(*resume.split()).code == 0
    ending = read_result(folder).ending
    assert (ending.edits_done, ending.failed) == (4, 0)


@pytest.mark.parametrize(
    "place", [(get_editor("ft_c"), "edit"), (loop, "Snapshot")], ids=["edit", "snapshot"]
)
def test_an_edit_is_made_again_once_memory_has_been_given_back(
    place: tuple[Any, str], run_editor: Runner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It had changed the weights already, and comes out as if nothing had been."""
    asked = {
        "suite": SUITE.replace("{retention: 2}", "{retention: 2, heldout_perplexity: 1}"),
        "hparams": (*small("ft_c"), "layers=[2]"),
        "plots": False,
    }
    expected = run_editor("ft_c", **asked, output=tmp_path / "plain")
    monkeypatch.setattr(*place, full(getattr(*place), lambda number: number == 3))
    found = run_editor("ft_c", **asked)
    assert "memory ran out: what is under the edited layers is kept no more" in found.shown
    assert "memory ran out" not in expected.shown
    assert list(map(without_timings, found.edits)) == list(map(without_timings, expected.edits))


# --- One call ---------------------------------------------------------------------------------


class Fussy(Editor):
    """Refuses some facts in some way."""

    batched = True
    refused: dict[str, Exception]

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        self.calls = [*getattr(self, "calls", []), [each.case_id for each in requests]]
        for request in requests:
            if request.subject in self.refused:
                raise self.refused[request.subject]
        return EditReport(tuple({"loss": float(each.case_id)} for each in requests), {"w": 1.0})


@pytest.fixture
def fussy(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Callable[..., Fussy]:
    def make(**refused: Exception) -> Fussy:
        model: Any = None
        editor = Fussy(model, tokenizer, Fussy.Hparams(), cache_dir=tmp_path)
        editor.refused = refused
        return editor

    return make


def edit_with(editor: Editor, *subjects: str) -> Attempt:
    return attempt(editor, facts_of(*subjects), before=Snapshot(editor), window=256)


def facts_of(*subjects: str) -> list[EditRequest]:
    return [
        EditRequest.create(case_id=number, prompt="{} plays", subject=subject, target_new="chess")
        for number, subject in enumerate(subjects, start=1)
    ]


def test_a_fact_that_names_itself_goes_alone(fussy: Callable[..., Fussy]) -> None:
    editor = fussy(B=RequestError(2, "too\nlong"), D=RequestError(4, "too odd"))
    made = edit_with(editor, "A", "B", "C", "D")
    assert editor.calls == [[1, 2, 3, 4], [1, 3, 4], [1, 3]]
    assert made.reports == {1: {"loss": 1.0}, 3: {"loss": 3.0}}
    assert made.failed == {2: "too long", 4: "too odd"}
    assert made.update_norms == {"w": 1.0}


@pytest.mark.parametrize(
    "error",
    [
        InputError("nobody knows which"),
        RequestError(99, "nobody knows which"),
        torch.linalg.LinAlgError("nobody knows which"),  # pyright: ignore
    ],
)
def test_another_refusal_is_the_calls(error: Exception, fussy: Callable[..., Fussy]) -> None:
    made = edit_with(fussy(B=error), "A", "B")
    assert made.failed == dict.fromkeys((1, 2), "nobody knows which")
    assert made.reports == made.update_norms == {}


@pytest.mark.parametrize(
    "error", [OutOfMemory("with a single fact"), MemoryError(), RuntimeError("not enough memory")]
)
def test_memory_that_runs_out_is_no_fact_s_refusal(
    error: Exception, fussy: Callable[..., Fussy]
) -> None:
    with pytest.raises(OutOfMemory):
        edit_with(fussy(B=error), "A", "B")
    editor, relief = fussy(B=error), iter([True, True])
    with pytest.raises(OutOfMemory):
        attempt(
            editor,
            facts_of("A", "B"),
            before=Snapshot(editor),
            window=256,
            relief=lambda: next(relief),
        )
    assert editor.calls == [[1, 2]] * 2, "once more, and no third time"


def test_mistakes_in_an_editor_are_raised(fussy: Callable[..., Fussy]) -> None:
    with pytest.raises(KeyError):
        edit_with(fussy(A=KeyError("x")), "A")


def test_what_the_window_does_not_hold_never_reaches_the_editor(
    fussy: Callable[..., Fussy],
) -> None:
    editor = fussy()
    made = edit_with(editor, "A", "word " * 300)
    assert editor.calls == [[1]]
    assert "the context window 256" in made.failed[2]


class Hasty(Fussy):
    """Writes and remembers each fact before it looks at the next."""

    def prepare(self) -> dict[str, Any]:
        self.seen = torch.zeros(0)
        return {}

    def edited_parameters(self) -> list[str]:
        return ["transformer.h.0.mlp.c_proj.weight", "transformer.h.1.mlp.c_proj.weight"]

    @torch.no_grad()
    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        for request in requests:
            first, second = map(self.model.get_parameter, self.edited_parameters())
            first.add_(0.1 * request.case_id)
            self.seen = torch.cat([self.seen, torch.tensor([float(request.case_id)])])
            if request.subject in self.refused:
                raise self.refused[request.subject]
            second.mul_(1.1)
        return EditReport()

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.seen = state["seen"]


@pytest.fixture
def hasty(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Callable[..., Hasty]:
    """Make one that has edited a fact."""

    def make(**refused: Exception) -> Hasty:
        editor = Hasty(build_model("gpt2"), tokenizer, Hasty.Hparams(), cache_dir=tmp_path)
        editor.prepare()
        editor.refused = refused
        edit_with(editor, "Z")
        return editor

    return make


def traces(editor: Editor) -> dict[str, torch.Tensor]:
    """Copy all that an edit can change."""
    weights = {name: editor.model.get_parameter(name) for name in editor.edited_parameters()}
    return {
        name: each.detach().clone() for name, each in {**weights, **editor.state_dict()}.items()
    }


@pytest.mark.parametrize(
    "error",
    [InputError("not this one"), torch.linalg.LinAlgError("not definite")],  # pyright: ignore
)
def test_a_refused_call_leaves_nothing_half_done(
    error: Exception, hasty: Callable[..., Hasty]
) -> None:
    """Its line says that it failed: what it had written must not count as later facts' work."""
    editor = hasty(B=error)
    before = traces(editor)
    made = edit_with(editor, "A", "B")
    assert set(made.failed) == {1, 2}
    assert not differing(before, traces(editor))


def test_the_rest_of_a_batch_is_edited_as_if_the_refused_had_not_been_there(
    hasty: Callable[..., Hasty],
) -> None:
    editor, other = hasty(C=RequestError(3, "too odd")), hasty()
    assert set(edit_with(editor, "A", "B", "C").failed) == {3}
    assert not edit_with(other, "A", "B").failed
    assert not differing(traces(editor), traces(other))
    assert editor.seen.tolist() == [1.0, 1.0, 2.0]


# --- Before anything has changed --------------------------------------------------------------


@pytest.mark.parametrize("editor", ["lora", "ft", "ultraedit", "grace", "mend", "memit_seq"])
def test_an_editor_refuses_before_it_changes_anything(editor: str, tmp_path: Path) -> None:
    """What a fact without tokens leaves behind would be written to later facts' account."""
    trial = Trial(editor, get_editor(editor), "gpt2", cache_dir=tmp_path)
    tried = trial.prepared()
    tried.edit([FACTS[0]])
    before = tried.see()
    state = {name: value.clone() for name, value in tried.editor.state_dict().items()}
    nothing = dataclasses.replace(FACTS[1], target_new="")
    with pytest.raises(InputError, match="no token"):
        tried.edit([nothing])
    after = tried.see()
    assert not differing(before.tensors, after.tensors)
    assert not differing(before.answers, after.answers)
    assert not differing(state, tried.editor.state_dict())
