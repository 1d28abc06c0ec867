"""`--model seqedit`: the harness evaluates edited models, and finds what our own run finds."""

from __future__ import annotations

import gc
import json
import math
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import torch

from seqedit_bench.benchmark import model
from seqedit_bench.benchmark.edited_lm import EditedLM
from seqedit_bench.tasks import InputError, cases
from seqedit_bench.tasks.counterfact.scores import rewrite_documents

MODEL_ARGS = "pretrained={folder},editor=ft_c,num_edits=4,hparams=layers=[1];norm_constraint=0.05"


@pytest.fixture(scope="module")
def own_run(
    seqedit: Callable[..., Any], tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The last checkpoint of our own run over the same four edits."""
    folder = tmp_path_factory.mktemp("run")
    suite = folder / "suite.yaml"
    suite.write_text(
        "name: tiny\nversion: 1\ndescription: for tests\ndata_source: bundled\n"
        "edits: counterfact\nnum_edits: 4\nbaseline_records: 0\neach_edit: [counterfact_es]\n"
        "checkpoint: {retention: 4, sst2_ll: 4, heldout_perplexity: 4}\n"
        "score: {}\nsmoothing: buckets\n"
    )
    done = seqedit(
        *("--editor", "ft_c", "--model", tiny_folder, "--suite", suite),
        *("--hparams", "layers=[1]", "--hparams", "norm_constraint=0.05"),
        *("--output", folder / "run", "--quiet"),
    )
    assert done.code == 0, done.err
    return json.loads((folder / "run" / "checkpoints.jsonl").read_text().splitlines()[-1])


def test_the_harness_from_a_shell_finds_what_our_run_found(
    own_run: dict[str, Any], tiny_folder: Path, tmp_path: Path
) -> None:
    command = "from seqedit_bench.benchmark.cli import main; main()"
    done = subprocess.run(
        [
            *(sys.executable, "-c", command, "lm-eval", "--model", "seqedit"),
            *("--model_args", MODEL_ARGS.format(folder=tiny_folder)),
            *("--tasks", "counterfact_es,sst2_ll,heldout_perplexity"),
            *("--metadata", '{"data_source": "bundled"}', "--output_path", str(tmp_path / "out")),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "out").rglob("results_*.json")
    results = json.loads(path.read_text())["results"]
    assert own_run["edits"] == 4
    for metric in ("es", "es_nll_new", "es_nll_true"):
        mine = own_run["edited"][metric]
        assert results["counterfact_es"][f"{metric},none"] == pytest.approx(sum(mine) / 4, abs=1e-5)
    for task in ("sst2_ll", "heldout_perplexity"):
        for metric, value in own_run["tasks"][task].items():
            assert results[task][f"{metric},none"] == pytest.approx(value, rel=1e-5)


def test_a_mistake_in_the_arguments_is_one_line(
    seqedit: Callable[..., Any], tiny_folder: Path
) -> None:
    done = seqedit(
        *("lm-eval", "--model", "seqedit", "--tasks", "counterfact_es", "--device", "cpu"),
        *("--model_args", f"pretrained={tiny_folder},editor=memitt,num_edits=1"),
    )
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("error: unknown editor 'memitt': did you mean")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"editor": "rome", "num_edits": 2, "edit_batch_size": 2}, "one fact at a time"),
        ({"num_edits": 1000, "data_source": "bundled"}, "num_edits=1000: counterfact has 184"),
        ({"sample": 10}, "model_args sample"),
        ({"colour": "red"}, "model_args colour"),
        ({"edits": "zsr", "num_edits": 1}, "did you mean 'zsre'"),
        ({"editor": "rome"}, "'rome' without num_edits"),
        ({"hparams": "layers=[1]"}, "without num_edits"),
        ({"mode": "batch-single", "num_edits": 2}, "model_args mode: .* has no use for it"),
        ({"stop_on_collapse": True}, "model_args stop_on_collapse"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: dict[str, Any], says: str, tiny_folder: Path
) -> None:
    with pytest.raises(InputError, match=says):
        EditedLM(str(tiny_folder), **arguments)


HALF = '''
"""Fails in the middle of a fact, now and then."""

import torch

from seqedit_bench.editors import Editor, EditReport, Hparams, RequestError, register_editor


@register_editor("half")
class Half(Editor):
    Hparams = Hparams

    def prepare(self):
        self.calls = 0
        return {}

    def edited_parameters(self):
        return ["transformer.h.1.mlp.c_proj.weight"]

    @torch.no_grad()
    def edit(self, requests):
        self.calls += 1
        weight = self.model.get_parameter(self.edited_parameters()[0])
        weight.add_(1.0)
        if self.calls % 2 == 0 or self.seed:
            weight.fill_(9.0)
            raise RequestError(requests[0].case_id, "no such place")
        return EditReport(({},))
'''


def test_an_edit_that_cannot_be_made_is_left_out_as_in_a_run(
    tiny_folder: Path, tmp_path: Path, fresh_registry: None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "half.py").write_text(HALF, encoding="utf-8")
    name = "transformer.h.1.mlp.c_proj.weight"
    options = {"editor": "half", "editor_path": tmp_path / "half.py", "device": "cpu"}
    before = EditedLM(str(tiny_folder), device="cpu").model.get_parameter(name).detach()
    lm = EditedLM(str(tiny_folder), num_edits=3, **options)
    torch.testing.assert_close(lm.model.get_parameter(name).detach(), before + 2.0)
    assert [record.getMessage() for record in caplog.records] == [
        "edit 2 could not be made: no such place"
    ]
    with pytest.raises(InputError, match=r"none of 2 edits could be made, .* no such place"):
        EditedLM(str(tiny_folder), num_edits=2, seed=1, **options)


def test_without_edits_it_is_the_model_itself(tiny_folder: Path) -> None:
    """The harness's own arguments are taken, and batch sizes have no effect."""
    lm = EditedLM(str(tiny_folder), batch_size=1, max_batch_size=64, device="cpu")
    assert lm.model.config.model_type == "gpt2"


def test_tasks_count_tokens_under_the_name_that_the_model_has(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An alias is no name of the hub's."""
    with pytest.raises(InputError, match=r"cannot load the tokenizer '\./tiny'"):
        rewrite_documents(pretrained="./tiny", num_edits=2)
    monkeypatch.setattr(model, "locate_model", lambda *_, **__: str(tiny_folder))
    monkeypatch.setattr(cases, "_LOADED", {})
    lm = EditedLM("./tiny")
    for document in rewrite_documents(pretrained="./tiny", num_edits=2)["test"]:
        assert document["tokens_new"] == len(lm.tok_encode(document["target_new"]))


def test_later_versions_of_the_harness_will_find_us() -> None:
    (ours,) = [each for each in entry_points(group="lm_eval.models") if each.name == "seqedit"]
    assert ours.load() is EditedLM
    (tasks,) = [each for each in entry_points(group="lm_eval.tasks") if each.name == "seqedit"]
    folder = Path(str(tasks.load().__file__)).parent
    assert (folder / "counterfact" / "counterfact_es.yaml").is_file()


def test_without_arguments_the_harness_prints_its_help(seqedit: Callable[..., Any]) -> None:
    done = seqedit("lm-eval")
    assert (done.code, done.err) == (0, "")
    assert "usage: lm-eval" in done.out


def test_the_harness_lists_our_tasks(tmp_path: Path) -> None:
    command = "from seqedit_bench.benchmark.cli import main; main()"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            command,
            "lm-eval",
            "validate",
            "--tasks",
            "counterfact_es,sst2_gen",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "not found" not in (done.stdout + done.stderr).lower()


def test_the_harness_sees_the_weights_that_a_run_measures(tiny_folder: Path) -> None:
    """PRUNE restrains what is measured: the raw weights are for the edits to come."""
    name = "transformer.h.1.mlp.c_proj.weight"
    hparams = "layers=[1];norm_constraint=0.5;lr=0.3;num_steps=3"

    def change(editor: str) -> torch.Tensor:
        lm = EditedLM(str(tiny_folder), editor=editor, num_edits=2, hparams=hparams, device="cpu")
        gc.collect()
        return lm.model.get_parameter(name).detach() - original

    original = EditedLM(str(tiny_folder), device="cpu").model.get_parameter(name).detach().clone()
    sigma = float(torch.linalg.matrix_norm(original, 2))
    raw, seen = (
        float(torch.linalg.matrix_norm(change(editor), 2)) for editor in ("ft_c", "prune+ft_c")
    )
    assert raw > 1.5 * sigma
    assert seen == pytest.approx(math.log(raw / sigma) + sigma, rel=1e-3)
