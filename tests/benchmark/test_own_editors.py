"""What authors of editors do wrong, and what they are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seqedit_bench.benchmark import RunConfig, undeclared
from seqedit_bench.benchmark.runner import run
from seqedit_bench.tasks import InputError

pytestmark = pytest.mark.usefixtures("fresh_registry")

EDITOR = """
import torch

from seqedit_bench.editors import Editor, EditReport, register_editor


@register_editor("mine")
class Mine(Editor):
    batched = True
    declared = ["transformer.h.1.mlp.c_proj.weight"]
    edits = 0

    def edited_parameters(self):
        return self.declared

    @torch.no_grad()
    def edit(self, requests):
        self.edits += 1
        self.model.get_parameter("transformer.h.1.mlp.c_proj.weight").add_(0.001)
        return EditReport()
"""
RETURN = "return EditReport()"
LATE = 'if self.edits == 5: self.model.get_parameter("transformer.wte.weight")[0, 0] += 1.0'


@pytest.fixture
def own(tiny_folder: Path, suite_file: Path, tmp_path: Path) -> Callable[..., RunConfig]:
    """Return the request of a run with an editor like the one above."""

    def request(old: str = "", new: str = "", **fields: Any) -> RunConfig:
        path = tmp_path / "mine.py"
        assert old in EDITOR
        path.write_text(EDITOR.replace(old, new) if old else EDITOR, encoding="utf-8")
        asked = {
            "editor": "mine",
            "editor_path": path,
            "model": str(tiny_folder),
            "suite": str(suite_file),
            "num_edits": 6,
            "save_every": 2,
            "output": tmp_path / "run",
        }
        return RunConfig.model_validate({**asked, **fields})

    return request


def test_the_editor_itself_is_right(own: Callable[..., RunConfig]) -> None:
    assert run(own()).result.protocol.num_edits == 6


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (RETURN, "return None", "Mine.edit returned NoneType: it must return an EditReport"),
        (
            RETURN,
            "return EditReport(({}, {}))",
            "given facts: 1; its EditReport.per_request has 2: one each",
        ),
        (
            "transformer.h.1.mlp.c_proj.weight",
            "transformer.h.1.mlp.c_prj.weight",
            "unknown parameter in edited_parameters of mine .*c_prj.* did you mean .*c_proj",
        ),
        (
            'declared = ["transformer.h.1.mlp.c_proj.weight"]',
            "declared = []",
            r"edits of mine changed transformer\.h\.1\.mlp\.c_proj\.weight, which its "
            "edited_parameters does not name",
        ),
        (RETURN, f"{LATE}\n        {RETURN}", r"changed transformer\.wte\.weight, which"),
        ("    batched = True\n", "    batched = {}['layers']\n", r"mine\.py, line 9: KeyError"),
    ],
)
def test_a_mistake(old: str, new: str, says: str, own: Callable[..., RunConfig]) -> None:
    with pytest.raises(InputError, match=says):
        run(own(old, new))


@pytest.mark.parametrize(("line", "after"), [("self.edits >= 1", 1), ("self.edits >= 3", 4)])
def test_undeclared_changes_are_seen_at_once_or_before_the_next_save(
    line: str, after: int, own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    """Nothing that could be gone on with has them in it."""
    new = LATE.replace("self.edits == 5", line)
    with pytest.raises(InputError, match="does not name"):
        run(own(RETURN, f"{new}\n        {RETURN}"))
    journal = (tmp_path / "run" / "edits.jsonl").read_text("utf-8").splitlines()
    assert len(journal) == after
    saves = [path.name for path in (tmp_path / "run" / "state").iterdir() if path.is_dir()]
    assert max(int(name.split("-")[0]) for name in saves) < after


ADAPTER = """
import torch
from torch import nn

from seqedit_bench.editors import Editor, EditReport, register_editor


@register_editor("adapter")
class Adapter(Editor):
    kind = "hooks"
    batched = True

    def prepare(self):
        layer = self.model.get_submodule("transformer.h.1.mlp.c_proj")
        layer.register_parameter("bump", nn.Parameter(torch.zeros(())))
        layer.register_forward_hook(lambda layer, _, output: output + layer.bump)
        self.layer = layer
        return {}

    @torch.no_grad()
    def edit(self, requests):
        self.layer.bump.add_(0.01)
        return EditReport()

    def state_dict(self):
        return {"bump": self.layer.bump.detach()}

    def load_state_dict(self, state):
        self.layer.bump.data.copy_(state["bump"])
"""


def test_what_an_editor_adds_to_the_model_is_its_own(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    """It is no parameter of the unedited model, and an editor beside the weights declares none."""
    path = tmp_path / "adapter.py"
    path.write_text(ADAPTER, encoding="utf-8")
    done = run(own(editor="adapter", editor_path=path))
    assert (done.result.protocol.num_edits, done.result.ending.failed) == (6, 0)


def test_a_stop_saves_nothing_undeclared(own: Callable[..., RunConfig], tmp_path: Path) -> None:
    """A signal has a save made where none is due, and what is saved could be gone on with."""
    stop = "if self.edits == 3: __import__('signal').raise_signal(2)"
    new = f"{LATE.replace('self.edits == 5', 'self.edits == 3')}\n        {stop}"
    with pytest.raises(InputError, match="does not name"):
        run(own(RETURN, f"{new}\n        {RETURN}", save_every=50))
    assert not list((tmp_path / "run" / "state").glob("3-*"))


def test_a_checkpoint_measures_nothing_undeclared(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    new = LATE.replace("self.edits == 5", "self.edits == 2")
    with pytest.raises(InputError, match="does not name"):
        run(own(RETURN, f"{new}\n        {RETURN}", save_every=50))
    checkpoints = (tmp_path / "run" / "checkpoints.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["edits"] for line in checkpoints] == [0]


@pytest.mark.parametrize("shape", [(), (0,), (7,), (5, 3), (3, 5, 2), (1, 40), (40, 1)])
def test_bits_are_added_up_in_pieces(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undeclared, "_PIECE", 6)
    for dtype in (torch.float32, torch.bfloat16):
        tensor = torch.randn(shape).to(dtype)
        whole = tensor.view(torch.int32 if dtype == torch.float32 else torch.int16)
        turned = tensor.permute(tuple(reversed(range(tensor.ndim))))
        assert undeclared._sum_of_bits(tensor) == int(whole.sum(dtype=torch.int64))
        assert undeclared._sum_of_bits(turned) == int(whole.sum(dtype=torch.int64))


def test_tied_weights_have_one_name(own: Callable[..., RunConfig]) -> None:
    says = r"lm_head\.weight and transformer\.wte\.weight are one matrix"
    with pytest.raises(InputError, match=says):
        run(own('transformer.h.1.mlp.c_proj.weight"]', 'lm_head.weight"]'))


def test_a_file_that_lies_beside_is_named(
    own: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = own(editor_path=None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"if mine\.py has it, add --editor-path mine\.py"):
        run(request)
