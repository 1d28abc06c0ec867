"""From a run to its entry: what is written, and what is refused and why."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command import Done, seqedit
from made_run import QUICK, Parts, parts, write_run
from records import put, sha
from seqedit_bench.benchmark.protocols import known
from seqedit_bench.leaderboards import submit
from seqedit_bench.leaderboards.entry import read_entry
from seqedit_bench.leaderboards.submit import default_entries

Change = Callable[[Parts], None]
CARD = """\
name: theirs
summary: edits somehow
paper: "-"
code: https://example.org/theirs
licence: MIT
kind: weights
needs: [subject, covariance]
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run", parts())


@pytest.fixture
def entries(tmp_path: Path) -> Path:
    return tmp_path / "entries"


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def refused(run: Path, entries: Path, *options: object) -> str:
    """Submit a run that must not be taken; return the one line that is said."""
    before = files(run)
    done = seqedit("submit", run, "--team", "Us", "--entries", entries, *options)
    assert (done.code, done.out) == (2, ""), done
    assert not entries.exists()
    assert files(run) == before
    (line,) = done.err.splitlines()
    return line


# --- What is written -------------------------------------------------------------------------


def test_writes_one_file_and_says_so(run: Path, entries: Path) -> None:
    done = seqedit(
        "submit", run, "--team", "The group", "--paper", "https://example.org/p",
        "--entries", entries,
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    (path,) = files(entries)
    assert done.out.startswith(f"wrote: {path} (")
    entry = read_entry(path)
    assert path == entries / entry.place
    assert path.read_text(encoding="utf-8") == entry.to_json()
    assert entry.submission.team == "The group"
    assert entry.submission.paper == "https://example.org/p"
    card = entry.submission.card
    assert (card.name, card.code, card.needs) == ("rome", None, ["covariance", "subject"])
    assert "Meng" in card.paper
    assert seqedit("validate", entries).code == 0


def test_the_same_run_again_is_the_same_file(run: Path, entries: Path) -> None:
    arguments = ("submit", run, "--team", "Us", "--entries", entries)
    seqedit(*arguments)
    before = files(entries)
    done = seqedit(*arguments)
    assert done.code == 0
    assert done.out.startswith("is there already: ")
    assert files(entries) == before
    # Said otherwise, it is not overwritten.
    done = seqedit("submit", run, "--team", "Others", "--entries", entries)
    assert done.code == 2
    assert "remove it first" in done.err
    assert files(entries) == before


def test_check_writes_nothing_and_needs_no_team(run: Path, entries: Path) -> None:
    done = seqedit("submit", run, "--entries", entries, "--check")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"good: would write {entries}")
    assert "nothing was written" in done.out
    assert not entries.exists()


def test_commands_to_commit(run: Path, tmp_path: Path) -> None:
    checkout = tmp_path / "a clone"
    subprocess.run(["git", "init", "-q", checkout], check=True)
    done = seqedit(
        "submit", run, "--team", "Us", "--entries", checkout / "leaderboards" / "entries"
    )
    rank, switch, add, commit, push = done.out.splitlines()[1:]
    assert rank == "rank: alone: no other editor is there on this model"
    assert push.startswith(f"git -C '{checkout}' push")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for line in (switch, add, commit.replace("git ", f"git {' '.join(identity)} ", 1)):
        subprocess.run(line, shell=True, check=True, capture_output=True)
    shown = subprocess.run(
        ["git", "-C", checkout, "show", "--name-only", "--format=%s"],
        capture_output=True, text=True, check=True,
    ).stdout.split("\n", 1)  # fmt: skip
    assert shown[0] == f"Add rome on smollm2-135m, {QUICK}, sample 1"
    assert shown[1].strip().startswith(f"leaderboards/entries/{QUICK}/smollm2-135m@")


def test_where_entries_go(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "clone"
    (checkout / "leaderboards").mkdir(parents=True)
    (checkout / "deep" / "below").mkdir(parents=True)
    (checkout / "pyproject.toml").touch()
    (checkout / "leaderboards" / "suites.json").touch()
    place = checkout / "leaderboards" / "entries"
    assert default_entries(checkout / "deep" / "below") == place
    monkeypatch.chdir(checkout / "deep")
    assert seqedit("submit", run, "--team", "Us").code == 0
    assert len(files(place)) == 1
    # Elsewhere: this package's own, if it is a checkout.
    assert default_entries(tmp_path) == submit.ENTRIES
    monkeypatch.setattr(submit, "ENTRIES", tmp_path / "site-packages" / "leaderboards" / "entries")
    monkeypatch.chdir(tmp_path)
    done = seqedit("submit", run, "--team", "Us")
    assert (done.code, "--entries" in done.err) == (2, True)


def test_team_is_not_guessed(run: Path, entries: Path) -> None:
    done = seqedit("submit", run, "--entries", entries)
    assert done.code == 2
    assert "--team is missing" in done.err
    assert not entries.exists()


# --- What is refused -------------------------------------------------------------------------


def config(path: str, value: Any) -> Change:
    def change(made: Parts) -> None:
        put(made.config, path, value)

    return change


def stopped(made: Parts) -> None:
    made.leaderboard["ending.stopped"] = "collapse at edit 40: distance of w is nan"
    for lines, key in ((made.edits, "edit"), (made.checkpoints, "edits")):
        lines[:] = [line for line in lines if line[key] <= 40]


def forced(made: Parts) -> None:
    resumed = [{"edits": 10, "forced": [{"key": "versions.torch", "then": "1", "now": "2"}]}]
    made.leaderboard["provenance/resumed"] = resumed


REFUSED: dict[str, tuple[Change, str]] = {
    "dirty": (config("provenance.dirty", True), "provenance.dirty: the run was made from"),
    "stopped": (stopped, "ending.stopped: the run was stopped"),
    "forced": (forced, "provenance.resumed: the run was gone on with by --force"),
    "limited": (config("protocol.limits", {"sst2_ll": 5}), "protocol.limits: sst2_ll: not all"),
    "skipped": (
        config("protocol.not_measured", {"cola_ll": "left out by --skip"}),
        "protocol.not_measured.cola_ll: cola_ll was left out by --skip",
    ),
    "unknown suite": (lambda made: _suite(made, name="a", version=1), "a@1 is no protocol of this"),
    "unknown version": (lambda made: _suite(made, version=99), "quick@99 is no protocol of this"),
    "other file": (lambda made: _suite(made, sha256=sha("x")), f"suite.sha256: {QUICK} was run"),
    "further task files": (
        config("provenance.include_sha256", sha("x")), "provenance.include_sha256: tasks of its own"
    ),
    "local model": (config("model.name", "my-model"), "model.revision: nobody else can tell which"),
    "no code": (config("editor.code_sha256", ""), "editor.code_sha256: the editor's code has no"),
    "kind": (config("editor.kind", "hooks"), "submission.card.kind: is weights, and the run's"),
    "needs": (config("editor.needs", ["training"]), "submission.card.needs: is covariance"),
}  # fmt: skip


def _suite(made: Parts, **changes: Any) -> None:
    made.config["suite"] |= changes
    made.config["suite_definition"] |= changes


@pytest.mark.parametrize("case", REFUSED)
def test_runs_that_are_not_taken(case: str, tmp_path: Path, entries: Path) -> None:
    change, says = REFUSED[case]
    made = parts()
    change(made)
    line = refused(write_run(tmp_path / "run", made), entries)
    assert f"{tmp_path / 'run'}: {says}" in line or says in line
    assert line.startswith("error: ")


def test_fewer_edits_than_the_suite_asks(tmp_path: Path, entries: Path) -> None:
    line = refused(write_run(tmp_path / "run", parts(num_edits=20)), entries)
    assert f"protocol.num_edits: 20 edits are fewer than the 50 of {QUICK}" in line


def test_an_unfinished_run(run: Path, tmp_path: Path, entries: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "leaderboard.json").unlink()
    assert "is not finished (50 edits so far): go on with seqedit-bench resume" in refused(
        copy, entries
    )
    (copy / "edits.jsonl").unlink()
    assert "not a run directory" in refused(copy, entries)


CHANGED: dict[str, tuple[str, Any, str]] = {
    "summary": ("summary.immediate.es", 1.0, "summary.immediate.es: leaderboard.json has 1.0, and"),
    "curve": ("curves.retention.es.instant.0", 0.123, "curves.retention.es.instant.0: leaderboard"),
    "ending": (
        "ending.failed",
        3,
        "ending.failed: leaderboard.json has 3, and the journal gives 0",
    ),
    "cost": ("cost.seconds_edit", 1.0, "cost."),
    "config": ("seed", 7, "seed: leaderboard.json has 7, and config.json has 0"),
    "dirty flag": ("provenance.sources_sha256", "0", "provenance.sources_sha256: leaderboard.json"),
    "single edits": ("summary.single_edits.num_edits", 9, "summary.single_edits.num_edits"),
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_result_that_its_journal_does_not_give(case: str, tmp_path: Path, entries: Path) -> None:
    path, value, says = CHANGED[case]
    made = parts()
    made.leaderboard[path] = value
    line = refused(write_run(tmp_path / "run", made), entries)
    assert says in line
    assert "what was measured has been changed" in line


@pytest.mark.parametrize("name", ["edits.jsonl", "checkpoints.jsonl", "config.json"])
def test_a_journal_that_was_changed(name: str, run: Path, tmp_path: Path, entries: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    text = (copy / name).read_text(encoding="utf-8")
    (copy / name).write_text(text.replace("0.5", "0.25").replace("tiny", "x") + " ")
    line = refused(copy, entries)
    assert f"journal_sha256.{name}: leaderboard.json has " in line
    (copy / "single_edits.jsonl").unlink()
    assert "journal_sha256." in refused(copy, entries)


@pytest.mark.parametrize(
    ("old", "new"),
    [('"metrics": {', '"metrics": ['), ('"seconds": {"edit"', '"later": {"edit"'), ('"es":', "{")],
)
def test_a_journal_that_cannot_be_used(
    old: str, new: str, run: Path, tmp_path: Path, entries: Path
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    text = (copy / "edits.jsonl").read_text(encoding="utf-8")
    (copy / "edits.jsonl").write_text(text.replace(old, new, 1))
    assert str(copy) in refused(copy, entries)


def test_lines_without_seconds(tmp_path: Path, entries: Path) -> None:
    run = write_run(tmp_path / "run", parts())
    lines = (run / "edits.jsonl").read_text(encoding="utf-8").replace('"seconds"', '"later"', 1)
    (run / "edits.jsonl").write_text(lines, encoding="utf-8")
    result = json.loads((run / "leaderboard.json").read_text(encoding="utf-8"))
    result["journal_sha256"]["edits.jsonl"] = sha(lines)
    (run / "leaderboard.json").write_text(json.dumps(result))
    assert "says no seconds" in refused(run, entries)


# --- Cards -----------------------------------------------------------------------------------


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A run of an editor from a file, which has its card beside it."""
    made = parts(editor="theirs")
    made.config["request"]["editor_path"] = str(tmp_path / "theirs.py")
    (tmp_path / "theirs.yaml").write_text(CARD, encoding="utf-8")
    return write_run(tmp_path / "run", made)


def submitted(run: Path, entries: Path, *options: object) -> Done:
    return seqedit("submit", run, "--team", "Us", "--entries", entries, *options)


def test_card_beside_the_editors_file(theirs: Path, entries: Path) -> None:
    assert submitted(theirs, entries).code == 0
    (path,) = files(entries)
    assert path.parent.name == "theirs"
    assert read_entry(path).submission.card.code == "https://example.org/theirs"
    assert seqedit("validate", entries).code == 0


def test_card_elsewhere(theirs: Path, entries: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").rename(tmp_path / "card.yaml")
    line = refused(theirs, entries)
    assert f"needs a card, and there is none at {tmp_path / 'theirs.yaml'}" in line
    assert "--card" in line
    assert submitted(theirs, entries, "--card", tmp_path / "card.yaml").code == 0


def test_wrapped_editors_have_both_in_their_card(tmp_path: Path, entries: Path) -> None:
    for name in ("rect+rome", "rect+theirs"):
        made = parts(editor=name)
        made.config["request"]["editor_path"] = str(tmp_path / "theirs.py")
        (tmp_path / "theirs.yaml").write_text(CARD, encoding="utf-8")
        assert submitted(write_run(tmp_path / name, made), entries).code == 0
    cards = [read_entry(path).submission.card for path in files(entries)]
    assert [card.name for card in cards] == ["rect+rome", "rect+theirs"]
    assert all("; around " in card.summary and "Gu et al." in card.paper for card in cards)
    assert [card.code for card in cards] == [None, "https://example.org/theirs"]


def test_wrappers_around_wrappers_fit_a_card() -> None:
    editors = known().own.editors
    wrappers = [name for name in editors if known().is_wrapper(name)]
    for chosen in itertools.permutations(wrappers):
        for base in editors.keys() - wrappers:
            name = "+".join([*chosen, base])
            (*_, card) = known().cards(name)
            assert (card.name, max(len(card.summary), len(card.paper)) <= 300) == (name, True)
    whole = known().cards("rect+rome")[-1].summary
    assert not whole.endswith("…")


def test_our_own_need_none(run: Path, entries: Path, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(CARD, encoding="utf-8")
    assert "rome is an editor of this project" in refused(
        run, entries, "--card", tmp_path / "card.yaml"
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("name: theirs", "name: others", "submission.card.name: is 'others', and the run's"),
        ("kind: weights", "kind: hooks", "submission.card.kind: is hooks"),
        ("kind: weights", "kind: magic", "key kind: Input should be 'weights', 'hooks'"),
        ("needs: [subject, covariance]", "needs: []", "submission.card.needs: is nothing, and"),
        ("needs: [subject, covariance]", "needs: subject", "key needs: Input should be a valid"),
        ("code: https://example.org/theirs", "code:", "says its code: fill it in"),
        ("code: https://example.org/theirs", "code: http://x", "key code: String should match"),
        ("licence: MIT", "licence:", "says its licence: fill it in"),
        ("licence: MIT", "", "key licence: Field required"),
        ("licence: MIT", "license: MIT", "unknown key 'license': did you mean 'licence'?"),
        ("summary: edits somehow", "summary: 5", "key summary: Input should be a valid string"),
        ("summary: edits somehow", "summary: !!python/name:os.system", "not YAML"),
        ("name: theirs", "name: theirs\nname: theirs", "key 'name' is there twice"),
    ],
)  # fmt: skip
def test_cards_that_do_not_fit(
    old: str, new: str, says: str, theirs: Path, entries: Path, tmp_path: Path
) -> None:
    assert old in CARD
    (tmp_path / "theirs.yaml").write_text(CARD.replace(old, new), encoding="utf-8")
    line = refused(theirs, entries)
    assert says in line
    assert line.startswith(f"error: editor card {tmp_path / 'theirs.yaml'}: ")


@pytest.mark.parametrize("text", ["", "- a\n", "just words"])
def test_what_is_no_card(text: str, theirs: Path, entries: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs.yaml").write_text(text, encoding="utf-8")
    assert "write key: value, a line each" in refused(theirs, entries)
    assert "cannot be read" in refused(theirs, entries, "--card", tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("options", "says"),
    [(("--paper", "http://x"), "--paper 'http://x'"), (("--team", ""), "--team ''")],
)
def test_options_that_cannot_be(
    options: tuple[str, ...], says: str, run: Path, entries: Path
) -> None:
    done = seqedit("submit", run, "--team", "Us", "--entries", entries, *options)
    assert (done.code, says in done.err) == (2, True)
    assert not entries.exists()


def test_numbers_are_compared_at_six_digits(tmp_path: Path, entries: Path) -> None:
    """Another machine may add up otherwise in the last place."""
    made = parts()
    es = json.loads(
        (write_run(tmp_path / "first", made) / "leaderboard.json").read_text(encoding="utf-8")
    )["summary"]["immediate"]["em"]
    made.leaderboard["summary.immediate.em"] = es * (1 + 1e-15)
    assert submitted(write_run(tmp_path / "run", made), entries).code == 0
