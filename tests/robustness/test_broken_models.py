"""A model that breaks in the middle of a run: recorded, never raised, for every editor."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from robustness.conftest import ENDS, EVERYTHING, Runner
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from seqedit_bench.benchmark import lmeval
from seqedit_bench.benchmark.collapse import collapse
from seqedit_bench.benchmark.undeclared import Undeclared
from seqedit_bench.editors import EditRequest, available_editors, available_wrappers, get_editor
from seqedit_bench.editors._solve import PastKeys
from seqedit_bench.tasks import InputError

AT = 3
WRAPPED = ["rect+memit_seq", "rect+ft", "prune+memit", "nas+rome", "nas+memit"]
"""Wrappers around editors of one matrix and of several."""


def _one(value: float) -> Callable[[Tensor], None]:
    def put(weight: Tensor) -> None:
        weight.view(-1)[5] = value

    return put


POISONS: dict[str, Callable[[Tensor], Any]] = {
    "nan": lambda weight: weight.fill_(math.nan),
    "one nan": _one(math.nan),
    "one inf": _one(math.inf),
    "huge": lambda weight: weight.mul_(1e30),
    "tiny": lambda weight: weight.mul_(1e-38),
}


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Let an editor's third call find its weights spoilt; where it has none, the model's."""
    # Spoilt weights of an editor that has none would be taken for its undeclared work.
    monkeypatch.setattr(Undeclared, "check", lambda _: None)

    def install(editor: str, poison: str) -> None:
        cls: Any = get_editor(editor)
        edit, calls = cls.edit, []

        def spoilt(self: Any, requests: Sequence[EditRequest]) -> Any:
            calls.append(requests)
            if len(calls) == AT:
                with torch.no_grad():
                    for weight in self.edited_parameters() or dict(self.model.named_parameters()):
                        POISONS[poison](self.model.get_parameter(weight))
            return edit(self, requests)

        monkeypatch.setattr(cls, "edit", spoilt)

    return install


def test_every_editor_and_wrapper_is_tried() -> None:
    assert {name.split("+")[0] for name in WRAPPED} == set(available_wrappers())
    assert len(available_editors()) >= 17


@pytest.mark.parametrize("editor", [*available_editors(), *WRAPPED])
def test_weights_that_become_nan(
    editor: str, poisoned: Callable[..., None], run_editor: Runner
) -> None:
    poisoned(editor, "nan")
    plots = editor in ("memit", "grace")
    done = run_editor(editor, plots=plots)
    assert [line["edit"] for line in done.edits] == [1, 2, 3, 4]
    assert ["collapsed" in line for line in done.edits] == [False, False, True, True]
    for line in done.edits[AT - 1 :]:
        assert "failed" not in line
        assert line["metrics"]["es"] == line["metrics"]["ps"] == line["metrics"]["ns"] == 0.0
        assert line["metrics"]["es_nll_new"] is None
    result = done.result
    assert (result.ending.edits_done, result.ending.collapsed_at) == (4, AT)
    assert (result.ending.stopped, result.ending.failed) == (None, 0)
    assert result.curves.checkpoints == [0, 2, 4]
    assert result.curves.retention["es"].instant[-1] in (0.0, None)
    assert (done.folder / "curves.png").exists() == plots
    assert "edit 4 of 4" in done.shown


@pytest.mark.parametrize(
    ("editor", "poison"),
    [
        *((editor, "one inf") for editor in ("memit_seq", "mend", "prune+ft", "alphaedit")),
        *((editor, "huge") for editor in ("memit_seq", "rome", "lora", "prune+ft")),
        ("ultraedit", "one nan"),
        ("rome", "tiny"),
    ],
)
def test_weights_spoilt_in_other_ways(
    editor: str, poison: str, poisoned: Callable[..., None], run_editor: Runner
) -> None:
    poisoned(editor, poison)
    done = run_editor(editor, plots=False)
    assert len(done.edits) == 4
    for line in done.edits:
        whole = None not in line["distance"].values() and line["metrics"]["es_nll_new"] is not None
        losses = [value for name, value in line["editor"].items() if name.startswith("loss")]
        if not whole or None in losses:
            assert "collapsed" in line


@pytest.mark.parametrize("editor", ["memit"])
def test_everything_is_measured_on_a_broken_model(
    editor: str, poisoned: Callable[..., None], run_editor: Runner
) -> None:
    """Likelihoods, generation, sampled texts, perplexity, edits beside the sequence, curves."""
    poisoned(editor, "nan")
    done = run_editor(editor, suite=EVERYTHING)
    tasks = done.result.curves.tasks
    assert {"generation", "sst2_ll", "sst2_gen", "heldout_perplexity"} <= set(tasks)
    assert tasks["heldout_perplexity"].metrics["word_perplexity"][-1] is None
    assert {"free", "fluency"} <= set(done.result.curves.immediate)
    single = (done.folder / "single_edits.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(single) == 2
    # The edited weights are restored for those.
    assert json.loads(single[0])["metrics"]["efficacy_nll"] is not None


@pytest.mark.parametrize("editor", ["memit", "grace"])
def test_stop_on_collapse(editor: str, poisoned: Callable[..., None], run_editor: Runner) -> None:
    poisoned(editor, "nan")
    done = run_editor(editor, suite=ENDS, stop_on_collapse=True)
    ending = done.result.ending
    assert (ending.edits_done, done.result.protocol.num_edits) == (AT, 4)
    assert (len(done.edits), ending.collapsed_at) == (AT, AT)
    assert ending.stopped is not None
    assert ending.stopped == f"collapse at edit {AT}: {done.edits[-1]['collapsed']}"
    assert done.result.num_edits == "3 of 4"
    assert done.result.curves.checkpoints == [0, 2, AT], "the last state is measured"
    assert done.result.curves.tasks["heldout_perplexity"].edits == [0, AT]
    assert not (done.folder / "single_edits.jsonl").exists()
    assert "stopped after 3 edits: collapse at edit 3" in done.shown


def test_a_whole_run_is_not_stopped(run_editor: Runner) -> None:
    done = run_editor("none", stop_on_collapse=True, plots=False)
    assert done.result.ending.model_dump() == {
        "edits_done": 4,
        "stopped": None,
        "failed": 0,
        "collapsed_at": None,
    }
    assert done.result.num_edits == "4"


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"distance": {"a": 0.1, "b": math.nan}}, "distance of b is nan"),
        ({"metrics": {"es": 0.0, "ps_nll_new": math.inf}}, "ps_nll_new is inf"),
        ({"per_prompt": {"ns_nll_true": [1.0, math.nan]}}, "ns_nll_true of a prompt is nan"),
        ({"editor": {"loss_first": 1.0, "loss": math.nan}}, "the editor's loss is nan"),
        ({"editor": {"nearest": math.inf}}, None),
        ({"metrics": {"fluency": math.nan}}, None),
    ],
)
def test_what_a_collapse_is(part: dict[str, Any], said: str | None) -> None:
    line = {"distance": {}, "metrics": {}, "per_prompt": {}, "editor": {}}
    assert collapse({**line, **part}) == said


# --- Broken before the first edit ------------------------------------------------------------


@pytest.mark.parametrize("editor", ["none", "rome"])
def test_a_model_that_is_broken_to_begin_with(
    editor: str, run_editor: Runner, tiny_folder: Any, tmp_path: Any
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    with torch.no_grad():
        model.get_parameter("transformer.h.2.mlp.c_fc.bias")[3] = math.nan
    model.save_pretrained(tmp_path / "spoilt")
    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(tmp_path / "spoilt")
    with pytest.raises(InputError, match=r"h\.2\.mlp\.c_fc\.bias holds NaN or infinity"):
        run_editor(editor, model=str(tmp_path / "spoilt"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("editor", ["rome", "alphaedit", "ultraedit"])
def test_a_model_that_overflows_on_plain_text(
    editor: str, run_editor: Runner, tiny_folder: Any, tmp_path: Any
) -> None:
    """Its weights are finite, and what it computes is not."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(tiny_folder)
    with torch.no_grad():
        model.get_parameter("transformer.h.0.mlp.c_fc.weight").mul_(1e38)
        model.get_parameter("transformer.h.0.mlp.c_proj.weight").mul_(1e38)
    model.save_pretrained(tmp_path / "spoilt")
    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(tmp_path / "spoilt")
    if editor == "ultraedit":
        assert run_editor(editor, model=str(tmp_path / "spoilt")).result.ending.collapsed_at == 1
        return
    with pytest.raises(InputError, match="before any edit"):
        run_editor(editor, model=str(tmp_path / "spoilt"))
    assert not (tmp_path / "run").exists()


# --- Pieces -----------------------------------------------------------------------------------


def test_metrics_of_the_harness_may_overflow() -> None:
    """Its perplexities raise on a collapsed model, and all else that was measured would be lost."""
    task: Any = SimpleNamespace(
        aggregation=lambda: {"perplexity": lambda items: math.exp(sum(items)), "acc": max}
    )
    lmeval._let_overflow(task)
    assert task.aggregation()["perplexity"]([1e4]) == math.inf
    assert task.aggregation()["perplexity"]([0.0]) == 1.0
    assert task.aggregation()["acc"]([0, 1]) == 1


def test_a_memory_that_is_no_longer_positive_definite_gives_nan() -> None:
    """LAPACK leaves a factor that was given up half-way, which looks like one."""
    past = PastKeys(lambda keys: -2 * keys, 3, torch.device("cpu"))
    past.update(torch.ones(2, 1).double(), torch.eye(3).double()[:, :1])
    assert past.factor.isnan().any()
    assert (
        past.update(torch.ones(2, 1).double(), torch.eye(3).double()[:, :1]).matrix().isnan().all()
    )


@pytest.mark.parametrize("spoilt", [b"", b"x" * 500, None])
def test_a_spoilt_cache_is_made_again(
    spoilt: bytes | None, run_editor: Runner, tmp_path: Path
) -> None:
    """With `None` the file is whole, and what is in it is not finite."""
    cache = tmp_path / "own-cache"
    first = run_editor("rome", cache_dir=cache, num_edits=1, plots=False)
    (path,) = (cache / "moments").glob("*.safetensors")
    whole = load_file(path)["moment"].clone()
    if spoilt is None:
        save_file({"moment": torch.full((48, 48), math.nan)}, path)
    else:
        path.write_bytes(spoilt)
    again = run_editor("rome", cache_dir=cache, num_edits=1, plots=False, output=tmp_path / "b")
    assert again.edits[0]["metrics"] == first.edits[0]["metrics"]
    assert torch.equal(load_file(path)["moment"], whole)


def test_a_cache_that_cannot_be_written(run_editor: Runner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot write .*choose another --cache-dir"):
        run_editor("rome", cache_dir=tmp_path / "file", num_edits=1)
    assert not (tmp_path / "run").exists()
