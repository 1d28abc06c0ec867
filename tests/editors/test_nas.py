"""NAS: values on the anchor, and the anchor itself."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from changes import same, vectors, weights
from seqedit_bench.editors import Editor, EditRequest
from seqedit_bench.editors._architecture import Architecture
from seqedit_bench.editors._keys import keys_and_outputs, subject_rows
from seqedit_bench.editors._steps import SolvesValues
from seqedit_bench.editors.nas import NAS, scale_to, trimmed_mean
from seqedit_bench.tasks import InputError
from seqedit_bench.tasks.edits import load_stream
from seqedit_bench.tasks.sources import Source

MakeEditor = Callable[..., Editor]
MakeModel = Callable[..., PreTrainedModel]


def test_scaled_values_stand_on_the_anchor() -> None:
    present, delta = vectors(16).float(), vectors(16, seed=2).float()
    value = present + delta
    norm = float(value.norm())
    for anchor in (norm / 1.9, norm * 3):
        found = scale_to(anchor, present, delta)
        now = present + found.delta
        assert float(now.norm()) == pytest.approx(anchor, rel=1e-6)
        torch.testing.assert_close(now / now.norm(), value / norm)
        assert (found.dropped, found.norm) == (False, anchor)
        assert found.norm_before == pytest.approx(norm)


def test_values_above_two_anchors_are_dropped() -> None:
    present, delta = torch.tensor([1.0, 0.0]), torch.tensor([3.0, 0.0])
    at = scale_to(2.0, present, delta)
    assert not at.dropped  # strictly above
    assert torch.equal(at.delta, torch.tensor([1.0, 0.0]))
    above = scale_to(math.nextafter(2.0, 0.0), present, delta)
    assert above.dropped
    assert torch.equal(above.delta, torch.zeros(2))


@pytest.mark.parametrize("anchor", [0.0, -1.0])
def test_no_anchor_no_scaling(anchor: float) -> None:
    delta = vectors(4)
    assert scale_to(anchor, vectors(4, seed=2), delta).delta is delta


def test_trimmed_mean_rounds_down() -> None:
    assert trimmed_mean([1.0] * 18 + [20.0]) == 2.0
    assert trimmed_mean([9.0, *[1.0] * 18, 2.0]) == pytest.approx(20 / 19)


def nas(make_editor: MakeEditor, base: str, model: PreTrainedModel, **hparams: Any) -> NAS:
    editor = make_editor(f"nas+{base}", model, **hparams)
    assert isinstance(editor, NAS)
    return editor


def mlp_output(editor: NAS, request: EditRequest) -> Tensor:
    """What the MLP gives at the subject's last token of the bare prompt."""
    architecture = Architecture.of(editor.model)
    rows = subject_rows(editor.tokenizer, request, ["{}"])
    layer = editor._solver.value_layer
    return keys_and_outputs(editor.model, architecture, layer, rows)[1][0]


@pytest.mark.parametrize("base", ["rome", "memit"])
def test_anchor_is_the_mean_norm_of_pilot_values(
    base: str,
    main_model: PreTrainedModel,
    make_editor: MakeEditor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each pilot solved by itself gives what they give together; the largest is left out."""
    monkeypatch.setattr("seqedit_bench.editors.nas.TRIMMED", 0.4)
    editor = nas(make_editor, base, main_model, nas={"pilots": 3})
    core = editor.core
    assert isinstance(core, SolvesValues)
    norms = []
    for request in editor._pilots:
        (value,) = core.solve_values([request], ["{}"])
        norms.append(float((mlp_output(editor, request) + value.delta).norm()))
    assert editor._anchor == pytest.approx(sum(sorted(norms)[:2]) / 2, rel=1e-4)


def test_rome_writes_a_value_on_the_anchor(
    main_model: PreTrainedModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    editor = nas(make_editor, "rome", main_model, nas={"pilots": 2})
    for request in requests[:2]:
        (report,) = editor.edit([request]).per_request
        assert report["nas_skipped"] == 0
        assert float(mlp_output(editor, request).norm()) == pytest.approx(editor._anchor, rel=1e-4)


def test_memit_reaches_an_mlp_output_on_the_anchor(
    main_model: PreTrainedModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    """One layer, hardly any weight on plain text: the MLP gives v*, so its norm is m."""
    editor = nas(
        make_editor, "memit", main_model, layers=[1], mom2_update_weight=1e-7, nas={"pilots": 2}
    )
    editor.core._templates = ["{}"]  # pyright: ignore[reportAttributeAccessIssue]
    reports = editor.edit(requests).per_request
    assert any(report["nas_norm_before"] < 0.99 * editor._anchor for report in reports) or any(
        report["nas_norm_before"] > 1.01 * editor._anchor for report in reports
    )
    for request in requests:
        assert float(mlp_output(editor, request).norm()) == pytest.approx(editor._anchor, rel=0.02)


@pytest.mark.parametrize("base", ["rome", "memit"])
def test_anchor_that_is_the_values_norm_changes_nothing(
    base: str, make_model: MakeModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    plain = make_editor(base, make_model("gpt2"))
    plain.edit(requests[:1])
    found = {}
    for anchor in (0.0, None):
        value = found.get(0.0, {}).get("nas_norm_before") if anchor is None else anchor
        editor = nas(make_editor, base, make_model("gpt2"), nas={"anchor": value})
        (found[anchor],) = editor.edit(requests[:1]).per_request
        assert same(weights(plain), weights(editor))
    assert found[None]["nas_norm"] > 0


def test_a_dropped_edit_keeps_the_present_value(
    make_model: MakeModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    editor = nas(make_editor, "memit", make_model("llama"), nas={"anchor": 1e-6})
    report = editor.edit(requests[:1])
    assert report.per_request[0]["nas_skipped"] == 1
    plain = make_editor("memit", make_model("llama")).edit(requests[:1])
    for name, norm in report.update_norms.items():
        assert norm < 1e-4 * plain.update_norms[name]


def test_anchor_is_of_the_unedited_model(
    make_model: MakeModel,
    make_editor: MakeEditor,
    requests: list[EditRequest],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is solved once for a model and its settings, and stays what it is along a sequence."""
    editor = nas(make_editor, "memit", make_model("llama"), nas={"pilots": 2})
    anchor = editor._anchor
    for request in requests:
        editor.edit([request])
    assert editor._anchor == anchor
    state = editor.state_dict()
    with monkeypatch.context() as patch:
        patch.setattr(SolvesValues, "solve_values", lambda *_: pytest.fail("solved again"))
        again = nas(make_editor, "memit", make_model("llama"), nas={"pilots": 2}, seed=5)
        assert again._anchor == anchor
    changed = nas(make_editor, "memit", make_model("llama"), nas={"pilots": 2}, v_lr=0.1)
    assert changed._anchor != anchor
    changed.load_state_dict(state)
    assert changed._anchor == anchor


def test_pilots_solved_before_a_stop_are_kept(
    make_model: MakeModel, make_editor: MakeEditor, cache_dir: Path
) -> None:
    full = nas(make_editor, "memit", make_model("llama"), nas={"pilots": 6})
    (path,) = (cache_dir / "anchors").iterdir()
    norms = json.loads(path.read_text())
    path.write_text(json.dumps([100.0, *norms[1:4]]))
    rest = nas(make_editor, "memit", make_model("llama"), nas={"pilots": 6})
    assert rest._anchor == pytest.approx(full._anchor + (100 - norms[0]) / 6, rel=1e-4)


def test_pilots_are_the_last_of_the_default_order(
    make_model: MakeModel, make_editor: MakeEditor
) -> None:
    cases = load_stream(Source.choose(None, None), "counterfact", sample=1).cases
    editor = nas(make_editor, "memit", make_model("llama"), nas={"pilots": 2})
    assert editor.prepare()["nas"]["pilot_case_ids"] == [case.case_id for case in cases[-2:]]


def test_an_edit_that_was_a_pilot_says_so(
    make_model: MakeModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    """Whatever its number is in the run's own data; a known anchor had no pilots."""
    editor = nas(make_editor, "memit", make_model("llama"), nas={"pilots": 2})
    pilot = dataclasses.replace(editor._pilots[1], case_id=7)
    reports = editor.edit([requests[0], pilot]).per_request
    assert [report["nas_pilot"] for report in reports] == [0, 1]
    known = nas(make_editor, "memit", make_model("llama"), nas={"anchor": 1.0})
    assert known.edit([pilot]).per_request[0]["nas_pilot"] == 0


def test_too_many_pilots(make_model: MakeModel, make_editor: MakeEditor) -> None:
    with pytest.raises(InputError, match=r"nas.pilots=9999, but bundled CounterFact has \d+ edits"):
        make_editor("nas+memit", make_model("llama"), nas={"pilots": 9999})


def test_pilots_from_a_folder(
    make_model: MakeModel,
    make_editor: MakeEditor,
    tmp_path: Path,
    counterfact_record: dict[str, Any],
) -> None:
    (tmp_path / "counterfact.jsonl").write_text(json.dumps(counterfact_record))
    settings = {"pilots": 1, "pilot_data": str(tmp_path)}
    editor = nas(make_editor, "memit", make_model("llama"), nas=settings)
    assert editor._pilots[0].subject == counterfact_record["requested_rewrite"]["subject"]
