"""The referee: an entry that was changed by hand is seen, and the field is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from command import seqedit
from judged import add, fields, problems
from made_run import QUICK, Parts, made_entry
from records import put, sha
from seqedit_bench.benchmark.protocols import known
from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.entry import Entry
from seqedit_bench.leaderboards.known import Known
from seqedit_bench.leaderboards.referee import Problem, folder, validate

Raw = dict[str, Any]


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    return made_entry(tmp_path_factory.mktemp("runs") / "run", num_edits=60)


@pytest.fixture
def board(tmp_path: Path, entry: Entry) -> Path:
    """A leaderboard of one entry."""
    return add(tmp_path / "leaderboards", entry)


def test_an_entry_as_submit_writes_it_is_good(board: Path) -> None:
    (board / "entries" / "README.md").write_text("what this is")
    assert problems(board) == []


# --- Changed by hand -------------------------------------------------------------------------

TAMPERED: dict[str, Any] = {
    # Numbers that were measured.
    "result.summary.immediate.es": 0.999,
    "result.summary.immediate.s": 0.999,
    "result.summary.immediate_last_50.ps": 0.999,
    "result.summary.immediate.ps_nll_new": -1.0,
    "result.summary.baseline.s": 0.001,
    "result.summary.baseline_records": 49,
    "result.summary.retention.es_exact.instant": 1.0,
    "result.summary.tasks.sst2_ll.weighted_f1.final": 0.99,
    "result.summary.single_edits.transfer.failures": 0,
    "result.curves.immediate.es.mean_5.3": 0.125,
    "result.curves.immediate.ps.mean_50.0": 1.5,
    "result.curves.retention.es.all_edits.5": 0.999,
    "result.curves.retention.es.sticky.0": 1.0,
    "result.curves.tasks.sst2_ll.edits.1": 20,
    "result.curves.tasks.heldout_perplexity.metrics.word_perplexity.3": 1.0,
    "result.curves.checkpoints.2": 15,
    "series.immediate.es.7": 0.5,
    "series.immediate.ns.7": 1.2,
    "series.retained.es.values.0": 0.5,
    "series.case_ids.0": 12345,
    "series.case_ids.1": -5,
    "series.case_ids.2": 10**29,
    "result.cost.seconds_evaluate": 1e301,
    "result.curves.tasks.heldout_perplexity.metrics.word_perplexity.1": 1.7e308,
    "result.cost.edits_per_second": 1000.0,
    "result.ending.collapsed_at": 99,
    "collapse.edit": 5,
    # What was asked.
    "result.suite.version": 9,
    "result.suite.sha256": sha("another"),
    "result.protocol.num_edits": 70,
    "result.protocol.limits": {"sst2_ll": 5},
    "result.protocol.each_edit": ["counterfact_es"],
    "result.protocol.checkpoint.retention": 20,
    "result.protocol.not_measured": {"mrpc_ll": "left out by --skip"},
    "result.protocol.smoothing": "sliding",
    "result.protocol.mode": "batch-single",
    "result.data.sample": 10,
    "result.data.case_ids_sha256": sha("others"),
    # What it was made with.
    "result.provenance.dirty": True,
    "result.provenance.include_sha256": sha("tasks"),
    "result.provenance.resumed": [{"edits": 5, "forced": [{"key": "seed"}]}],
    "result.ending.stopped": "collapse at edit 3",
    "result.model.name": "my-own-model",
    "result.model.revision": "7e1230e11712",
    "result.model.dtype": "bfloat16",
    "result.model.weights_sha256": "7e12",
    "result.editor.code_sha256": "",
    "result.editor.name": "somebodys",
    "result.editor.hparams": {"layers": [3]},
    "result.editor.hparams.epochs": 3,
    "result.data.source": "folder",
    "result.editor.kind": "hooks",
    "result.editor.needs": [],
    "result.journal_sha256.edits.jsonl": sha("another journal"),
    "submission.card.name": "memit",
    "submission.card.needs": ["training"],
    "submission.card.code": "https://evil.example/x",
    "submission.card.licence": "MIT",
    "submission.card.summary": "the best",
    "submission.card.paper": "Mallory et al. 2026",
    "run": "sample1-seed0-0000000000",
}
ELSEWHERE = {
    # The problem is named where the computed number stands, not where the change was made.
    "result.curves.immediate.es.mean_5.3": "result.curves.immediate.es.mean_5.3",
    "result.curves.immediate.ps.mean_50.0": "result.curves.immediate.ps.mean_50",
    "result.curves.retention.es.sticky.0": "result.curves.retention.es.sticky",
    "result.curves.retention.es.all_edits.5": "result.curves.retention.es.all_edits",
    "result.curves.tasks.sst2_ll.edits.1": "result.curves.tasks.sst2_ll.edits",
    "result.curves.tasks.heldout_perplexity.metrics.word_perplexity.3": (
        "result.summary.tasks.heldout_perplexity.word_perplexity.final"
    ),
    "result.curves.checkpoints.2": "result.curves.retention.es.edits",
    "result.summary.single_edits.transfer.failures": (
        "result.summary.single_edits.transfer.failure_rate"
    ),
    "series.immediate.es.7": "result.summary.immediate.es",
    "series.immediate.ns.7": "series.immediate.ns",
    "series.retained.es.values.0": "result.curves.retention.es.instant",
    "series.case_ids.0": "result.data.case_ids_sha256",
    "series.case_ids.1": "series.case_ids",
    "series.case_ids.2": "series.case_ids",
    "result.curves.tasks.heldout_perplexity.metrics.word_perplexity.1": (
        "result.curves.tasks.heldout_perplexity.word_perplexity"
    ),
    "collapse.edit": "collapse",
    "result.suite.version": "result.suite",
    "result.protocol.num_edits": "result.ending.edits_done",
    "result.protocol.not_measured": "result.protocol.not_measured.mrpc_ll",
    "result.model.name": "result.model.revision",
    "result.model.dtype": "result.model.weights_sha256",
    "result.editor.hparams.epochs": "result.editor.hparams",
    "result.editor.name": "submission.card.code",
    "result.editor.kind": "submission.card.kind",
    "result.editor.needs": "submission.card.needs",
    "result.journal_sha256.edits.jsonl": "run",
}


def change(raw: Raw, path: str, value: Any) -> None:
    if path.endswith(".jsonl"):
        path = path.replace(".", "/").replace("/jsonl", ".jsonl")
    if path == "result.summary.single_edits.transfer.failures":
        value = (raw["result"]["summary"]["single_edits"]["transfer"]["failures"] + 1) % 2
    if path == "series.retained.es.values.0":
        value = 1.0 - raw["series"]["retained"]["es"]["values"][0]
        assert raw["series"]["immediate"]["es"][0], "the first edit shall have worked"
    if path == "series.immediate.es.7":
        value = 1.0 - raw["series"]["immediate"]["es"][7]
    put(raw, path, value)


@pytest.mark.parametrize("path", TAMPERED)
def test_a_changed_field_is_refused_by_name(path: str, entry: Entry, tmp_path: Path) -> None:
    """Written as submit would have, where its content says: nothing is wrong but that."""
    raw = json.loads(entry.to_json())
    change(raw, path, TAMPERED[path])
    changed = Entry.model_validate(raw)
    board = add(tmp_path / "leaderboards", changed)
    assert ELSEWHERE.get(path, path) in fields(board)


def theirs(raw: Raw, name: str) -> Entry:
    """The entry as that of another's editor, whose card is filled in."""
    raw["result"]["editor"]["name"] = raw["submission"]["card"]["name"] = name
    raw["submission"]["card"] |= {"code": "https://example.org/x", "licence": "MIT"}
    return Entry.model_validate(raw)


@pytest.mark.parametrize(
    "name", ["ROME", "rome ", "r\u043eme", "rome+", "+rome", "rect++rome", "2"]
)
def test_names_that_no_editor_can_have(name: str, entry: Entry, tmp_path: Path) -> None:
    raw = json.loads(entry.to_json())
    assert "result.editor.name" in fields(add(tmp_path, theirs(raw, name)))
    assert "result.editor.name" not in fields(add(tmp_path / "good", theirs(raw, "rect+mine_2")))


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("submission.team", " \u200b"),
        ("submission.team", "Us\u202e"),
        ("submission.team", "\x1b[31mUs"),
        ("submission.team", "Us "),
        ("submission.team", "2 + 2"),
        ("submission.card.summary", "two\nlines"),
        ("submission.card.licence", "\u200bMIT"),
    ],
)
def test_texts_that_say_other_than_is_seen(
    field: str, text: str, entry: Entry, tmp_path: Path
) -> None:
    raw = json.loads(theirs(json.loads(entry.to_json()), "mine").to_json())
    assert fields(add(tmp_path / "good", Entry.model_validate(raw))) == set()
    put(raw, field, text)
    assert fields(add(tmp_path / "bad", Entry.model_validate(raw))) == {field}


@pytest.mark.parametrize(
    ("team", "says"),
    [
        ("\u0939\u093f\u0928\u094d\u200d\u0926\u0940", None),
        ("seqedit\u200d-bench", r"has U\+200D \(ZERO WIDTH JOINER\), which cannot be seen$"),
        ("Équipe\u00a0TAL", r"has U\+00A0 \(NO-BREAK SPACE\), .*: write a space$"),
        ("Us\x07", r"has U\+0007 \(control\), which cannot be seen$"),
    ],
)
def test_spelling_is_not_refused(team: str, says: str | None, entry: Entry, tmp_path: Path) -> None:
    raw = json.loads(theirs(json.loads(entry.to_json()), "mine").to_json())
    put(raw, "submission.team", team)
    found = problems(add(tmp_path / "board", Entry.model_validate(raw)))
    assert len(found) == (says is not None)
    assert all(re.search(str(says), each.text) for each in found)


def test_editors_of_one_name_from_two_places_are_two(entry: Entry, tmp_path: Path) -> None:
    """As on the board: neither is a later version of the other."""
    twin = json.loads(made_entry(tmp_path / "twin", num_edits=60, luck=1).to_json())
    for code, found in (("https://example.org/x", ["result.seed"]), ("https://example.org/y", [])):
        board = add(tmp_path / str(len(found)), theirs(json.loads(entry.to_json()), "mine"))
        second = json.loads(theirs(twin, "mine").to_json())
        second["submission"]["card"]["code"] = code
        add(board, Entry.model_validate(second))
        assert [each.field for each in problems(board)] == found


def test_one_of_ours_under_the_name_of_another(entry: Entry, tmp_path: Path) -> None:
    """A run of ft_c that says it is rome, in all places: what rome needs and is set by are not."""
    raw = json.loads(made_entry(tmp_path / "run", named("ft_c", needs=[]), editor="ft_c").to_json())
    assert fields(add(tmp_path / "honest", Entry.model_validate(raw))) == set()
    raw["result"]["editor"]["name"] = raw["submission"]["card"]["name"] = "rome"
    assert {"result.editor.hparams", "submission.card.needs", "submission.card.summary"} <= fields(
        add(tmp_path / "forged", Entry.model_validate(raw))
    )


def named(editor: str, **changes: Any) -> Callable[[Parts], None]:
    def change(made: Parts) -> None:
        made.config["editor"] |= {"name": editor, **changes}

    return change


@pytest.mark.parametrize("of", ["rect", "encore"])
def test_wrapped_editors_of_ours_are_known_too(of: str, tmp_path: Path) -> None:
    raw = json.loads(made_entry(tmp_path / "run", editor="rect+encore").to_json())
    assert fields(add(tmp_path / "honest", Entry.model_validate(raw))) == set()
    place = raw["result"]["editor"]["hparams"]
    (place["rect"] if of == "rect" else place)["epochs"] = 3
    raw["submission"]["card"]["summary"] = "the best"
    assert fields(add(tmp_path / "forged", Entry.model_validate(raw))) == {
        "result.editor.hparams",
        "submission.card.summary",
    }


@pytest.mark.parametrize(
    ("name", "revision", "field"),
    [
        ("evil-", "octocat", "result.model.revision"),
        ("o/m", "0" * 39, "result.model.revision"),
        ("o/<b>", "0" * 40, "result.model.name"),
        ("o/m/x", "0" * 40, "result.model.name"),
        ("o/m", "0" * 40, ""),
        ("gpt-j-6b", "0" * 40, ""),
    ],
)
def test_models_of_the_hub(
    name: str, revision: str, field: str, entry: Entry, tmp_path: Path
) -> None:
    raw = json.loads(entry.to_json())
    raw["result"]["model"] |= {"name": name, "revision": revision, "weights_sha256": sha("w")}
    assert fields(add(tmp_path, Entry.model_validate(raw))) == ({field} if field else set())


def test_the_command_says_file_field_and_why(board: Path, entry: Entry) -> None:
    path = board / "entries" / entry.place
    path.write_text(path.read_text().replace('"dirty": false', '"dirty": true'))
    done = seqedit("validate", board)
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith(f"{entry.place}: result.provenance.dirty: the run was made from a ")
    assert done.out.endswith("1 entry, 1 problem\n")


def test_every_problem_is_said(entry: Entry, tmp_path: Path) -> None:
    raw = json.loads(entry.to_json())
    for path in ("result.summary.immediate.es", "result.provenance.dirty", "collapse.edit"):
        change(raw, path, TAMPERED[path])
    board = add(tmp_path / "leaderboards", Entry.model_validate(raw))
    assert {"result.provenance.dirty", "collapse"} <= fields(board)
    put(raw, "collapse.edit", None)
    board = add(tmp_path / "again", Entry.model_validate(raw))
    assert {"result.provenance.dirty", "result.summary.immediate.es"} <= fields(board)


def nested(levels: int) -> str:
    return '{"a": ' * levels + "1" + "}" * levels


@pytest.mark.parametrize(
    ("rewrite", "says"),
    [
        (lambda text: text.replace('": ', '":  ', 1), "from line 2 on"),
        (lambda text: json.dumps(json.loads(text)), "from line 1 on"),
        (lambda text: text + "\n", "is not as `seqedit-bench submit` writes it"),
        (lambda text: "\ufeff" + text, "not JSON"),
        (lambda text: text[: len(text) // 2], "not JSON"),
        (lambda text: text.replace('"seed": 0', '"seed": 0,\n  "seed": 0'), "is there twice"),
        (lambda text: text.replace('"seed": 0', '"seed": NaN'), "not JSON"),
        (lambda text: text.replace('"seed": 0', '"seed": "0"'), "valid integer"),
        (lambda text: text.replace('"tokens_scored": 12345', '"tokens_scored": true'), "integer"),
        (lambda text: text.replace('"seconds_prepare": 1.0', '"seconds_prepare": "inf"'), "number"),
        (lambda text: text.replace('"v_lr": 0.5', '"v_lr": "\\ud800"'), "half a character"),
        (lambda text: text.replace('"v_lr": 0.5', '"v_lr": ' + nested(30)), "nested too deeply"),
        (lambda text: text.replace('"v_lr": 0.5', '"v_lr": ' + nested(260)), "nested too deeply"),
        (lambda text: text.replace('"entry_version": 1', '"entry_version": 2'), "entry_version 2"),
        (lambda text: text.replace('"seed": 0', '"seed": 0,\n  "x": 0'), "Extra inputs"),
    ],
)
def test_another_text_is_refused(
    rewrite: Callable[[str], str], says: str, entry: Entry, board: Path
) -> None:
    path = board / "entries" / entry.place
    path.write_text(rewrite(path.read_text(encoding="utf-8")), encoding="utf-8")
    (found,) = problems(board)
    assert says in str(found)
    assert str(found).startswith(f"{entry.place}: ")
    assert str(board) not in str(found)


def test_one_that_cannot_be_judged_is_one_problem(
    board: Path, entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(board, made_entry(tmp_path / "other", sample=2))
    ours = folder.consistency

    def fails(judged: Entry, known: Known) -> Iterator[Problem]:
        if judged.result.data.sample == 1:
            raise OverflowError("too large")
        return ours(judged, known)

    monkeypatch.setattr(folder, "consistency", fails)
    found = validate(board, known())
    (said,) = [str(each) for each in found.problems]
    assert said == f"{entry.place}: file: cannot be judged: OverflowError too large"
    assert [each.result.data.sample for each in found.entries.values()] == [2]


# --- Places ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        "quick@99/{model}/rome/{run}.json",
        "{quick}/gpt2@0/rome/{run}.json",
        "{quick}/{model}/memit/{run}.json",
        "{quick}/{model}/rome/best.json",
    ],
)
def test_at_another_place(place: str, entry: Entry, tmp_path: Path) -> None:
    model = entry.place.split("/")[1]
    path = tmp_path / "entries" / place.format(quick=QUICK, model=model, run=entry.run)
    path.parent.mkdir(parents=True)
    path.write_text(entry.to_json(), encoding="utf-8")
    (found,) = problems(tmp_path)
    assert (found.field, entry.place in found.text) == ("file", True)


@pytest.mark.parametrize("name", ["notes.txt", "quick@2/run.json", "a/b/c/d/e.json", ".hidden"])
def test_stray_files(name: str, board: Path) -> None:
    path = board / "entries" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    (found,) = problems(board)
    assert (found.file, found.field) == (name, "file")


def test_links_are_not_followed(board: Path, entry: Entry, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("do not show")
    path = board / "entries" / "quick@2" / "m@1" / "rome" / "run.json"
    path.parent.mkdir(parents=True)
    path.symlink_to(secret)
    (board / "entries" / "again").symlink_to(board / "entries" / "quick@2")
    assert [(each.file, each.text) for each in problems(board)] == [
        ("again", "is a link, not a file"),
        ("quick@2/m@1/rome/run.json", "is a link, not a file"),
    ]


@pytest.mark.parametrize("place", ["leaderboards", "leaderboards/entries"])
def test_a_folder_that_is_a_link_is_not_looked_into(place: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "entries").mkdir(parents=True)
    link = tmp_path / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResultError, match="is a link: name the folder itself"):
        validate(tmp_path / "leaderboards", known())


def test_what_was_there_before_stays_as_it_was(board: Path, entry: Entry, tmp_path: Path) -> None:
    raw = json.loads(entry.to_json())
    put(raw, "submission.team", "Somebody else")
    before = add(tmp_path / "before", Entry.model_validate(raw))
    removed = entry.model_copy(update={"run": "sample1-seed0-0123456789"})
    add(before, removed)
    done = seqedit("validate", board, "--base", before)
    assert done.code == 1
    assert f"{entry.place}: file: was another entry before: to correct one, remove it" in done.out
    assert f"{removed.place}: removed\n" in done.out
    assert done.out.endswith("1 entry, 1 problem\n")
    assert seqedit("validate", board, "--base", board).code == 0


def test_an_entry_is_corrected_by_removing_it_first(
    board: Path, entry: Entry, tmp_path: Path
) -> None:
    """The same run has the same file name again, so it takes two steps."""
    raw = json.loads(entry.to_json())
    put(raw, "submission.team", "The right ones")
    corrected = Entry.model_validate(raw)
    assert corrected.place == entry.place
    without = add(tmp_path / "without", made_entry(tmp_path / "other", sample=2))
    before = add(add(tmp_path / "before", entry), made_entry(tmp_path / "same", sample=2))
    done = seqedit("validate", without, "--base", before, "--markdown", tmp_path / "removed.md")
    assert (done.code, done.out) == (0, f"{entry.place}: removed\n1 entry, no problem\n")
    text = (tmp_path / "removed.md").read_text(encoding="utf-8")
    assert "1 entry, no problem." in text and "Removed: 1" in text
    after = add(add(tmp_path / "after", corrected), made_entry(tmp_path / "too", sample=2))
    assert seqedit("validate", after, "--base", before).code == 1
    assert seqedit("validate", after, "--base", without).code == 0


def test_too_large(board: Path, entry: Entry) -> None:
    path = board / "entries" / entry.place
    path.write_text(path.read_text() + " " * (9 << 20))
    (found,) = problems(board)
    assert "larger than 8 MiB" in found.text


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="has no folder 'entries'"):
        validate(tmp_path, known())
    done = seqedit("validate", tmp_path)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    (tmp_path / "entries").mkdir()
    assert problems(tmp_path) == problems(tmp_path / "entries") == []


# --- Together --------------------------------------------------------------------------------


def test_the_same_run_twice(board: Path, entry: Entry) -> None:
    raw = json.loads(entry.to_json())
    put(raw, "result.seed", 1)
    put(raw, "run", entry.run.replace("seed0", "seed1"))
    add(board, Entry.model_validate(raw))
    (found,) = problems(board)
    assert found.field == "result.journal_sha256.edits.jsonl"
    assert entry.place in found.text


def other_code(made: Parts) -> None:
    made.config["provenance"]["sources_sha256"] = sha("a later version")


def test_the_same_settings_and_code_twice(board: Path, tmp_path: Path) -> None:
    add(board, made_entry(tmp_path / "twin", num_edits=60, luck=1))
    (found,) = problems(board)
    assert found.field == "result.seed"
    assert "remove one" in found.text
    # Another sample, seed or setting makes it another.
    board = tmp_path / "more"
    others: list[dict[str, Any]] = [{}, {"sample": 2}, {"seed": 5}, {"editor": "r_rome"}]
    for number, asked in enumerate(others):
        add(board, made_entry(tmp_path / f"run{number}", **asked))
    assert problems(board) == []


def test_other_code_that_gives_other_numbers(board: Path, entry: Entry, tmp_path: Path) -> None:
    add(board, made_entry(tmp_path / "near", other_code, num_edits=60))
    assert problems(board) == []
    far = made_entry(tmp_path / "far", _worse, num_edits=60)
    add(board, far)
    found = {each.field for each in problems(board)}
    assert "result.summary.immediate.es" in found
    assert not any("em" in field.split(".") for field in found)


def _worse(made: Parts) -> None:
    made.config["provenance"]["sources_sha256"] = sha("worse")
    for line in made.edits[:20]:
        line["metrics"] |= {"es": 0.0, "es_exact": 0.0, "em": -0.1}


# --- What cannot be told from less -----------------------------------------------------------


def test_a_model_that_broke_is_good(tmp_path: Path) -> None:
    """Metrics that are not finite, and such that some facts do not have, in one run."""

    def broken(made: Parts) -> None:
        for line in made.edits[30:]:
            line["metrics"]["em"] = line["metrics"]["es_nll_new"] = None
            line["collapsed"] = "es_nll_new is nan"
        for line in made.edits[::7]:
            for name in ("free", "free_first", "free_true"):
                del line["metrics"][name]

    entry = made_entry(tmp_path / "run", broken)
    assert entry.series.not_finite == {"em": list(range(31, 51))}
    assert entry.result.ending.collapsed_at == 31
    assert "em" not in entry.result.summary.immediate
    board = add(tmp_path / "leaderboards", entry)
    assert problems(board) == []
    raw = json.loads(entry.to_json())
    put(raw, "result.ending.collapsed_at", None)
    assert "result.ending.collapsed_at" in fields(add(tmp_path / "b", Entry.model_validate(raw)))


def test_further_tasks_are_allowed(tmp_path: Path) -> None:
    """A group of the harness's brings tasks of other names, at the cadence that was asked."""

    def further(made: Parts) -> None:
        made.config["protocol"]["checkpoint"]["mmlu"] = 20
        for line in made.checkpoints:
            if line["edits"] % 20 == 0 or line["edits"] == 50:
                line["tasks"] |= {"mmlu": {"acc": 0.5}, "mmlu_law": {"acc": 0.5}}

    entry = made_entry(tmp_path / "run", further)
    board = add(tmp_path / "leaderboards", entry)
    assert problems(board) == []
    raw = json.loads(entry.to_json())
    raw["result"]["curves"]["tasks"]["mmlu_law"]["edits"][1] = 30
    assert fields(add(tmp_path / "b", Entry.model_validate(raw))) == {
        "result.curves.tasks.mmlu_law.edits"
    }


# --- What is said ----------------------------------------------------------------------------


def test_markdown_says_what_is_new(board: Path, entry: Entry, tmp_path: Path) -> None:
    base, out = tmp_path / "base", tmp_path / "out.md"
    add(base, entry)

    raw = json.loads(made_entry(tmp_path / "new", sample=2).to_json())
    put(raw, "submission.team", "o/<img src=x>|`@all` # hi")
    new = Entry.model_validate(raw)
    add(board, new)
    done = seqedit("validate", board, "--markdown", out, "--base", base)
    assert done.code == 0, done.out
    text = out.read_text(encoding="utf-8")
    assert "2 entries, no problem." in text
    assert "New: 1" in text and "Removed" not in text
    rows = [line for line in text.splitlines() if line.startswith("| <code>")]
    assert {row.count("|") for row in rows} == {13}
    for harmful in ("<img", "@all", "`", "# hi"):
        assert harmful not in text


def test_markdown_of_problems(board: Path, entry: Entry, tmp_path: Path) -> None:
    path = board / "entries" / entry.place
    path.write_text(path.read_text().replace('"dirty": false', '"dirty": true'))
    done = seqedit("validate", board, "--markdown", tmp_path / "out.md")
    assert done.code == 1
    text = (tmp_path / "out.md").read_text(encoding="utf-8")
    assert "1 entry, 1 problem." in text
    assert "result.provenance.dirty" in text
    assert "New" not in text
