"""From an editor's file to its entry, and the entry's edits made again from the entry alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.registry import Registry
from transformers import AutoModelForCausalLM

from command import Done, seqedit
from seqedit_bench.benchmark import again as again_module
from seqedit_bench.benchmark import protocols, provenance
from seqedit_bench.benchmark import suite as suites
from seqedit_bench.benchmark.again import Places, again
from seqedit_bench.benchmark.observer import Silent
from seqedit_bench.benchmark.tolerance import compared_values
from seqedit_bench.editors import Editor, _registry
from seqedit_bench.editors._fingerprint import weights_sha256
from seqedit_bench.leaderboards.entry import Entry, Series, read_entry
from seqedit_bench.leaderboards.verify import Check
from seqedit_bench.tasks import InputError

HPARAMS = {
    "rome": (
        "layers=[1]", "v_num_grad_steps=3", "mom2_n_tokens=600", "v_lr=0.31234567",
        "context_template_length_params=[[4, 2]]",
    ),
    "rect+memit": (
        "layers=[1]", "v_num_grad_steps=3", "mom2_n_tokens=600", "rect.keep=0.25",
        "context_template_tokens=6", "mom2_update_weight=1",
    ),
    "mine": ("num_steps=3", "lr=0.01"),
}  # fmt: skip
Seqedit = Callable[..., Done]


@pytest.fixture
def world(
    monkeypatch: pytest.MonkeyPatch,
    suite_file: Path,
    tiny_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """A leaderboard whose protocol is short enough for tests, run from a clean checkout."""
    folder = tmp_path_factory.mktemp("suites")
    shutil.copy(suite_file, folder / "tiny.yaml")
    monkeypatch.setattr(suites, "_folder", lambda: folder)
    known = {"tiny": {3: protocols.protocol_of(suites.load_suite("tiny"))}}
    monkeypatch.setattr(protocols, "known_suites", lambda: known)
    weights = weights_sha256(AutoModelForCausalLM.from_pretrained(tiny_folder))
    alias = {"wheel": "here", "weights": {"float32": weights}}
    monkeypatch.setattr(protocols, "model_aliases", lambda: {"tiny-gpt2": alias})
    monkeypatch.setattr(provenance, "_commit", lambda: ("0" * 40, False))
    yield


def submitted(editor: str, model: Path, folder: Path, cache: Path, *options: object) -> Path:
    """Run an editor, submit the run, and return its entry file."""
    given = [part for each in HPARAMS[editor] for part in ("--hparams", each)]
    done = seqedit(
        "run", "--quiet", "--editor", editor, "--model", model, "--suite", "tiny",
        "--device", "cpu", "--output", folder / "run", "--cache-dir", cache, *given, *options,
    )  # fmt: skip
    assert done.code == 0, done.err
    done = seqedit("submit", folder / "run", "--team", "Us", "--entries", folder / "entries")
    assert done.code == 0, done.err
    (path,) = (folder / "entries").rglob("*.json")
    return path


@pytest.fixture(scope="module")
def kept() -> dict[str, str]:
    """Texts of entries, by editor: each is made once."""
    return {}


@pytest.fixture
def entry_file(
    request: pytest.FixtureRequest, world: None, kept: dict[str, str], tiny_folder: Path,
    tmp_path: Path, session_cache: Path,
) -> Path:  # fmt: skip
    """The entry of four edits of an editor, ROME if the test names none."""
    editor = getattr(request, "param", "rome")
    if editor not in kept:
        path = submitted(editor, tiny_folder, tmp_path, session_cache)
        kept[editor] = path.read_text(encoding="utf-8")
    path = tmp_path / "entry.json"
    path.write_text(kept[editor], encoding="utf-8")
    return path


@pytest.fixture
def places(tiny_folder: Path, session_cache: Path) -> Places:
    return Places(device="cpu", cache_dir=session_cache, model=str(tiny_folder))


def differing(checks: list[Check]) -> Mapping[str, Any]:
    return {check.what: check.differs for check in checks if check.differs}


# --- The whole path --------------------------------------------------------------------------


def test_from_new_editor_to_the_board(
    world: None, fresh_registry: None, tiny_folder: Path, tmp_path: Path, session_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert seqedit("new-editor", "mine").code == 0
    card = Path("mine.yaml")
    arguments = ("mine", tiny_folder, tmp_path, session_cache, "--editor-path", "mine.py")
    with pytest.raises(AssertionError, match=r"submission\.card\.code: .*fill it in"):
        submitted(*arguments)
    shutil.rmtree(tmp_path / "run")
    text = card.read_text(encoding="utf-8")
    text = text.replace("\ncode:", "\ncode: https://example.org/mine")
    card.write_text(text.replace("\nlicence:", "\nlicence: MIT"), encoding="utf-8")
    path = submitted(*arguments)
    assert path.parent.name == "mine"
    assert seqedit("validate", tmp_path).code == 0
    here = ("--model", tiny_folder, "--cache-dir", session_cache, "--device", "cpu")
    # Another process, which has not run the editor's file.
    monkeypatch.setattr(_registry, "_registry", Registry("editor", base_cls=Editor))
    monkeypatch.setattr(_registry, "_files", {})
    done = seqedit("verify", path, "--run", tmp_path / "run", "--replay", 4, *here)
    assert (done.code, done.out) == (2, "")
    assert "https://example.org/mine" in done.err and "--editor-path" in done.err
    done = seqedit(
        "verify", path, "--run", tmp_path / "run", "--replay", 4, *here, "--editor-path", "mine.py"
    )
    assert (done.code, done.err) == (0, ""), done.out
    assert "of 4 edits" in done.out and "all digits" in done.out


def test_code_of_others_is_not_run_unasked(
    entry_file: Path, places: Places, fresh_registry: None
) -> None:
    raw = json.loads(entry_file.read_text(encoding="utf-8"))
    raw["result"]["editor"]["name"] = "somebodys"
    raw["submission"]["card"]["code"] = "https://example.org/somebodys"
    with pytest.raises(InputError, match=r"example\.org/somebodys.*--editor-path"):
        again(Entry.model_validate(raw), 1, places, Silent())
    raw["result"]["editor"]["name"] = "rome"
    raw["result"]["model"]["trust_remote_code"] = True
    with pytest.raises(InputError, match="--trust-remote-code"):
        again(Entry.model_validate(raw), 1, places, Silent())


# --- Made again ------------------------------------------------------------------------------


@pytest.mark.parametrize("entry_file", ["rome", "rect+memit"], indirect=True)
def test_edits_come_out_the_same(entry_file: Path, places: Places) -> None:
    entry = read_entry(entry_file)
    checks = again(entry, 3, places, Silent())
    assert differing(checks) == {}
    assert {"model weights", "data files", "hyper-parameters"} <= {each.what for each in checks}
    assert checks[-1].what.endswith("values of 3 edits")
    assert checks[-1].against == "the edits made again, all digits"
    assert len(entry.series.immediate) * 3 == int(checks[-1].what.split()[0])


@pytest.mark.parametrize(("name", "edit"), [("es", 0), ("em", 2), ("ps_exact", 1)])
def test_a_changed_value_is_found(name: str, edit: int, entry_file: Path, places: Places) -> None:
    raw = json.loads(entry_file.read_text(encoding="utf-8"))
    values = raw["series"]["immediate"][name]
    values[edit] = 1.0 - values[edit] if name != "em" else values[edit] + 1e-5
    (told,) = differing(again(Entry.model_validate(raw), 3, places, Silent())).values()
    assert [line.split(":")[0] for line in told] == [f"series.immediate.{name}, edit {edit + 1}"]


def test_the_command_says_what_differs(
    entry_file: Path, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of bundled data, whatever folder the environment names."""
    monkeypatch.setenv("SEQEDIT_DATA_DIR", str(tmp_path))
    raw = json.loads(entry_file.read_text(encoding="utf-8"))
    raw["series"]["immediate"]["nm"][0] = 0.25
    entry_file.write_text(Entry.model_validate(raw).to_json(), encoding="utf-8")
    done = seqedit(
        "verify", entry_file, "--replay", 1, "--model", places.model, "--device", "cpu",
        "--cache-dir", places.cache_dir,
    )  # fmt: skip
    assert (done.code, done.err) == (1, "")
    assert "series.immediate.nm, edit 1: is 0.25, and came out as" in done.out
    # Without a run, too, what the entry says of itself is checked.
    assert "result.summary.immediate.nm" in done.out


def test_other_templates_are_put_back(entry_file: Path, places: Places) -> None:
    """The entry's own are used: with others, other numbers come out."""
    raw = json.loads(entry_file.read_text(encoding="utf-8"))
    raw["result"]["editor"]["prepared"]["context_templates"] = ["{}", "Something else. {}"]
    checks = again(Entry.model_validate(raw), 2, places, Silent())
    assert [what.endswith("values of 2 edits") for what in differing(checks)] == [True]
    raw["result"]["editor"]["prepared"]["context_templates"] = "{}"
    with pytest.raises(InputError, match="not a list of texts"):
        again(Entry.model_validate(raw), 2, places, Silent())


@pytest.mark.parametrize(
    ("part", "name", "value", "what"),
    [
        ("model", "weights_sha256", "0" * 64, "model weights"),
        ("data", "files_sha256", {"counterfact.jsonl": "0" * 64}, "data files"),
        ("data", "sample", 2, "facts and their order"),
    ],
)
def test_no_edit_is_made_on_others(
    part: str, name: str, value: Any, what: str, entry_file: Path, places: Places,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    raw = json.loads(entry_file.read_text(encoding="utf-8"))
    raw["result"][part][name] = value
    monkeypatch.setattr(again_module, "attempt", lambda *_, **__: pytest.fail("an edit was made"))
    found = differing(again(Entry.model_validate(raw), 1, places, Silent()))
    assert list(found) == [what]
    assert found[what][0].startswith(("result.", "series."))


def test_other_code_is_reported(entry_file: Path, places: Places) -> None:
    raw = json.loads(entry_file.read_text(encoding="utf-8"))
    raw["result"]["editor"]["code_sha256"] = "0" * 64
    checks = again(Entry.model_validate(raw), 1, places, Silent())
    (code,) = [check for check in checks if check.what == "code"]
    assert (code.differs, code.note) == ((), "other code of the editor")


def test_what_cannot_be_made_again(
    entry_file: Path, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = read_entry(entry_file)
    with pytest.raises(InputError, match="--replay 5: the entry has 4 edits"):
        again(entry, 5, places, Silent())
    raw = json.loads(entry_file.read_text(encoding="utf-8"))
    raw["result"]["suite"]["version"] = 2
    with pytest.raises(InputError, match="of tiny@2, and this program has tiny@3"):
        again(Entry.model_validate(raw), 1, places, Silent())
    raw = json.loads(entry_file.read_text(encoding="utf-8"))
    raw["result"]["data"]["source"] = "folder"
    with pytest.raises(InputError, match="say where they are with --data-dir"):
        again(Entry.model_validate(raw), 1, places, Silent())
    monkeypatch.setenv("SEQEDIT_DATA_DIR", "not-there")
    with pytest.raises(InputError, match="data folder not-there"):
        again(Entry.model_validate(raw), 1, places, Silent())


def test_batches_are_made_as_a_whole(
    world: None, tiny_folder: Path, tmp_path: Path, session_cache: Path, places: Places
) -> None:
    path = submitted("rect+memit", tiny_folder, tmp_path, session_cache, "--batch-size", 2)
    checks = again(read_entry(path), 3, places, Silent())
    assert differing(checks) == {}
    assert checks[-1].what.endswith("values of 4 edits")


# --- Elsewhere -------------------------------------------------------------------------------


def series(**immediate: list[float | None]) -> Series:
    count = len(next(iter(immediate.values())))
    return Series(case_ids=list(range(count)), immediate=immediate, retained={})


def made(**values: list[float | None]) -> list[tuple[int, dict[str, float | None]]]:
    count = len(next(iter(values.values())))
    return [(edit, {name: each[edit] for name, each in values.items()}) for edit in range(count)]


ONES: list[float | None] = [1.0] * 40


@pytest.mark.parametrize(
    ("lost", "found", "bad"),
    [(0, 0, ""), (1, 0, ""), (1, 1, ""), (2, 0, "the mean is"), (2, 1, "3 of 40 differ, over 5%")],
)
def test_few_successes_may_differ_elsewhere(lost: int, found: int, bad: str) -> None:
    """And of these not all on the same side, or the mean is another."""
    then: list[float | None] = [*[1.0] * 30, *[0.0] * 10]
    now = made(es=[0.0] * lost + then[lost : 40 - found] + [1.0] * found)
    elsewhere = compared_values(series(es=then), now, ["platform"])
    assert bad in "".join(elsewhere.differs[:1])
    assert len(elsewhere.differs) == (lost + found + 1 if bad else 0)
    told = f"successes: {lost} higher in the entry than came out, {found} lower"
    assert elsewhere.note.endswith(told if lost + found else "")
    here = compared_values(series(es=then), now, [])
    assert len(here.differs) == lost + found


def test_what_differs_may_not_all_be_of_one_metric() -> None:
    """A metric made up has its own limit, however many others come out."""
    rest: dict[str, list[float | None]] = {
        f"{name}_exact": [0.0] * 100 for name in ("es", "ps", "ns", "efficacy")
    }
    then: list[float | None] = [*[1.0] * 20, *[0.0] * 80]
    now: list[float | None] = [0.0] * 100
    found = compared_values(series(ps=then, **rest), made(ps=now, **rest), ["threads"])
    assert found.differs[0] == (
        "ps: 20 of 100 differ, over 5%: 20 higher in the entry than came out, 0 lower"
    )
    assert found.note == "successes: 20 higher in the entry than came out, 0 lower"


@pytest.mark.parametrize(("flipped", "bad"), [(3, False), (4, True), (5, True), (6, True)])
def test_means_are_near_elsewhere(flipped: int, bad: bool) -> None:
    then: list[float | None] = [1.0] * 100
    now = made(es=[0.0] * flipped + then[flipped:])
    assert bool(compared_values(series(es=then), now, ["cpu"]).differs) is bad


@pytest.mark.parametrize(("far", "bad"), [(1, False), (2, False), (5, True)])
def test_means_of_magnitudes_are_near_elsewhere(far: int, bad: bool) -> None:
    """Each of them is near, or one of few, and yet they lean to one side."""
    then: list[float | None] = [0.5] * 100
    now: list[float | None] = [*[0.2] * far, *[0.481] * (100 - far)]
    found = compared_values(series(em=then), made(em=now), ["cpu"]).differs
    assert [line.partition(":")[0] for line in found[:1]] == ["em"] * bad
    assert len(found) == (far + 1 if bad else 0)


def test_magnitudes_may_be_near_elsewhere() -> None:
    then: list[float | None] = [0.5] * 20
    near: list[float | None] = [0.515] * 20
    far: list[float | None] = [0.53] * 20
    assert not compared_values(series(em=then), made(em=near), ["cpu"]).differs
    assert len(compared_values(series(em=then), made(em=far), ["cpu"]).differs) == 21
    assert len(compared_values(series(em=then), made(em=near), []).differs) == 20


def test_a_value_that_is_gone() -> None:
    nothing: list[float | None] = [None] * 4
    for then, now in ((ONES[:4], nothing), (nothing, ONES[:4])):
        assert compared_values(series(em=then), made(em=now), ["cpu"]).differs
    assert not compared_values(series(em=nothing), made(em=nothing), []).differs
    # Log-likelihoods are in no entry.
    assert not compared_values(series(es=ONES), made(es=ONES, es_nll_new=ONES), []).differs


def test_six_digits() -> None:
    assert not compared_values(series(em=[0.123457]), made(em=[0.12345678]), []).differs
    assert compared_values(series(em=[0.123457]), made(em=[0.123458]), []).differs
