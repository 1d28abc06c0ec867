"""`rect+X`, `prune+X`, `nas+X`: their names and hyper-parameters, and several at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedModel

from changes import same, weights
from seqedit_bench.benchmark.config import RunConfig
from seqedit_bench.benchmark.listing import editors as listed_editors
from seqedit_bench.benchmark.runner import run
from seqedit_bench.editors import (
    Editor,
    EditReport,
    EditRequest,
    Hparams,
    ModelShape,
    get_editor,
    register_editor,
    resolve_hparams,
)
from seqedit_bench.editors._wrapper import Wrapper, compose
from seqedit_bench.editors.nas import NAS
from seqedit_bench.editors.prune import PRUNE
from seqedit_bench.editors.rect import RECT
from seqedit_bench.tasks import InputError

SHAPE = ModelShape(12, 64, 256)
MakeEditor = Callable[..., Editor]
MakeModel = Callable[..., PreTrainedModel]


def test_a_name_gives_one_class() -> None:
    cls = get_editor("rect+nas+memit")
    assert cls is get_editor("rect+nas+memit")
    assert issubclass(cls, RECT)
    assert issubclass(cls.base_class, NAS)
    assert cls.base_class is get_editor("nas+memit")
    assert cls is not get_editor("rect+nas+alphaedit")


@pytest.mark.parametrize("base", ["memit", "rome", "ft_c", "none"])
def test_a_composite_is_what_its_base_is(base: str) -> None:
    inner, outer = get_editor(base), get_editor(f"prune+{base}")
    assert (outer.kind, outer.batched, outer.needs, outer.out_of_scope) == (
        inner.kind,
        inner.batched,
        inner.needs,
        inner.out_of_scope,
    )
    assert issubclass(outer.Hparams, inner.Hparams)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rec+memit", "unknown wrapper 'rec': did you mean 'rect'?"),
        ("rect+memitt", "unknown editor 'memitt': did you mean 'memit'?"),
        ("rect", "rect is a wrapper: name the editor it goes around, as in rect+memit"),
        ("rect+", "unknown editor ''"),
        ("rome+memit", "rome is no wrapper; the editor goes last"),
        ("rect+nas+rect+memit", "rect is there twice"),
        ("nas+ft_c", "nas does not go around ft_c: nas scales solved values"),
        ("nas+rect+ft_c", "nas does not go around rect+ft_c"),
    ],
)
def test_names_that_do_not_compose(name: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        get_editor(name)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrappers_take_editors_of_weights_only() -> None:
    class Hooks(Editor):
        kind = "hooks"

        def edit(self, requests: Any) -> EditReport:
            return EditReport()

    for wrapper in (RECT, PRUNE, NAS):
        with pytest.raises(InputError):
            compose(wrapper, Hooks)


def test_a_base_with_a_field_of_that_name_is_refused() -> None:
    class Own(Hparams):
        rect: float = 1.0

    class Weights(Editor):
        Hparams = Own

        def edit(self, requests: Any) -> EditReport:
            return EditReport()

    with pytest.raises(InputError, match="have a field 'rect' already"):
        compose(RECT, Weights)
    assert "prune" in compose(PRUNE, Weights).Hparams.model_fields


@pytest.mark.parametrize("name", ["rect", "prune", "nas"])
def test_names_of_wrappers_are_reserved(name: str) -> None:
    with pytest.raises(ValueError, match="taken by a wrapper"):
        register_editor(name)


def test_list_shows_wrappers() -> None:
    rows = {row[0]: row for row in listed_editors()[1]}
    assert {"rect+X", "prune+X", "nas+X"} <= set(rows)
    assert "rect" not in rows


def resolved(editor: str, *overrides: str, model: str = "unheard-of", **arguments: Any) -> Any:
    return resolve_hparams(
        editor,
        get_editor(editor),
        model_name=model,
        shape=SHAPE,
        overrides=overrides,
        **arguments,
    )


def test_hparams_are_the_bases_and_the_wrappers() -> None:
    found = resolved("rect+nas+memit", model="smollm2-135m")
    alone = resolved("memit", model="smollm2-135m")
    assert found.hparams.model_dump(exclude={"rect", "nas"}) == alone.hparams.model_dump()
    assert found.hparams.rect.model_dump() == {"keep": 0.4, "when": "each_layer"}
    assert found.hparams.nas.pilots == 20
    assert found.source.startswith(f"{alone.source}; rect: defaults; nas: smollm2-135m: ")


def test_hparams_by_hand_for_base_and_wrapper() -> None:
    found = resolved("rect+memit", "rect.keep=0.25", "v_lr=0.1")
    assert (found.hparams.rect.keep, found.hparams.v_lr) == (0.25, 0.1)
    assert found.source.endswith("; set by hand: rect.keep, v_lr")


def test_derived_and_check_values_of_wrappers() -> None:
    assert resolved("nas+memit").hparams.nas.pilots == 50
    assert resolved("nas+memit", tiny=True).hparams.nas.pilots == 3
    assert resolved("nas+alphaedit", model="llama-3-8b").hparams.nas.pilots == 1000


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("rect.kept=1", "unknown hyper-parameter of rect+memit 'rect.kept': did you mean 'rect.ke"),
        ("keep=1", "unknown hyper-parameter of rect+memit 'keep': did you mean 'rect.keep'?"),
        ("rect=1", "unknown hyper-parameter of rect+memit 'rect'"),
        ("rect.keep=2", "hyper-parameter rect.keep of rect+memit: Input should be less than"),
        ("rect.when=never", "hyper-parameter rect.when of rect+memit: Input should be 'each_layer"),
    ],
)
def test_bad_hparams(override: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        resolved("rect+memit", override)
    assert str(caught.value).startswith(says)


def test_wrapper_without_a_method_is_its_base(
    make_model: MakeModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    """What the wrappers share adds nothing: same weights, same report, same state."""

    class Nothing(Wrapper[Hparams]):
        name = "nothing"
        Settings = Hparams

    plain = make_editor("memit_seq", make_model("llama"))
    cls = compose(Nothing, get_editor("memit_seq"))
    hparams = cls.Hparams.model_validate({**plain.hparams.model_dump(), "nothing": {}})
    wrapped = cls(make_model("llama"), plain.tokenizer, hparams, cache_dir=plain.cache_dir)
    record = wrapped.prepare()
    assert len(record.pop("nothing")["base_code_sha256"]) == 64
    assert record == plain.prepare()
    for request in requests[:2]:
        assert wrapped.edit([request]) == plain.edit([request])
    assert same(weights(plain), weights(wrapped))
    assert same(plain.state_dict(), wrapped.state_dict())


def test_wrappers_around_wrappers(
    make_model: MakeModel, make_editor: MakeEditor, requests: list[EditRequest]
) -> None:
    """RECT and NAS step in at different places of the same editor: their order does not matter."""
    settings: dict[str, Any] = {"nas": {"anchor": 10.0}, "rect": {"keep": 0.2}}
    found = []
    for name in ("prune+rect+nas+memit", "prune+nas+rect+memit"):
        editor = make_editor(name, make_model("llama"), **settings)
        start = weights(editor)
        (report,) = editor.edit(requests[:1]).per_request
        assert report["nas_norm"] == 10.0
        found.append(weights(editor))
        for name, weight in found[-1].items():
            assert int((weight != start[name]).sum()) <= math.ceil(0.2 * weight.numel())
        for name in start:
            editor.model.get_parameter(name).data.mul_(30)
        raw = weights(editor)
        with editor.measured():
            assert not same(weights(editor), raw)
    assert same(*found)


def test_a_run_of_a_composite(tiny_folder: Path, tmp_path: Path, cache_dir: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "{name: one, version: 1, description: one task, data_source: bundled, edits: counterfact,"
        " num_edits: 2, baseline_records: 1, each_edit: [counterfact_es], checkpoint: {},"
        " score: {}, smoothing: buckets}"
    )
    hparams = ("layers=[1]", "num_steps=2", "rect.keep=0.1", "prune.function=linear")
    request = {
        "editor": "prune+rect+ft_c",
        "model": str(tiny_folder),
        "suite": str(suite),
        "hparams": hparams,
        "output": tmp_path / "run",
        "cache_dir": cache_dir,
    }
    editor = run(RunConfig.model_validate(request)).result.editor
    assert editor.name == "prune+rect+ft_c"
    assert editor.hparams["rect"] == {"keep": 0.1, "when": "each_layer"}
    assert editor.prepared["rect"]["masked"] == "after_all"
    assert editor.prepared["prune"]["matrices"]
