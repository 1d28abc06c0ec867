"""What no editor has a part in is held against the data and other entries; numbers, each other."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from command import seqedit
from judged import add, fields, problems
from made_run import FACTS, KNOWN, Parts, made_entry
from records import put, sha
from seqedit_bench.leaderboards.canonical import rounded
from seqedit_bench.leaderboards.curves import harmonic_mean
from seqedit_bench.leaderboards.entry import Entry
from seqedit_bench.leaderboards.referee.folder import run_name
from seqedit_bench.leaderboards.referee.relations import _distance
from seqedit_bench.leaderboards.series import lines_of
from seqedit_bench.leaderboards.summary import curves, means
from seqedit_bench.tasks.edits import load_stream
from seqedit_bench.tasks.sources import Source

Raw = dict[str, Any]
TASK = "result.curves.tasks.sst2_ll"


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    return made_entry(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    """Another editor's, on the same facts."""
    return made_entry(tmp_path_factory.mktemp("runs") / "run", editor="r_rome")


def again(raw: Raw) -> Entry:
    """Compute what follows from single edits and curves once more, as a forger would."""
    ids = ",".join(map(str, raw["series"]["case_ids"]))
    raw["result"]["data"]["case_ids_sha256"] = hashlib.sha256(ids.encode()).hexdigest()
    raw["result"]["journal_sha256"]["edits.jsonl"] = sha(json.dumps(raw))
    entry = Entry.model_validate(raw)
    lines, summary = lines_of(entry.series), raw["result"]["summary"]
    for part in ("immediate", "immediate_last_50"):
        kept = {name: value for name, value in summary[part].items() if "_nll" in name}
        summary[part] = means(lines, KNOWN.score(entry.result)) | kept
    drawn = curves(lines, [], entry.result.protocol.smoothing).immediate
    raw["result"]["curves"]["immediate"] = {name: each.model_dump() for name, each in drawn.items()}
    for name, record in raw["result"]["curves"]["tasks"].items():
        summary["tasks"][name] = {
            metric: {"unedited": values[0], "final": values[-1]}
            for metric, values in record["metrics"].items()
        }
    for name, kinds in raw["result"]["curves"]["distance"].items():
        summary["distance"][name] = {kind: values[-1] for kind, values in kinds.items()}
    score = [summary["baseline"][name] for name in KNOWN.score(entry.result)]
    summary["baseline"]["s"] = harmonic_mean(score)
    raw["run"] = run_name(Entry.model_validate(raw).result)
    return Entry.model_validate_json(Entry.model_validate(raw).to_json())


def values(name: str, change: Callable[[float], float | None]) -> Callable[[Raw], None]:
    def forge(raw: Raw) -> None:
        found = raw["series"]["immediate"]
        found[name] = [change(value) for value in found[name]]

    return forge


def task(metric: str, change: Sequence[float]) -> Callable[[Raw], None]:
    """Replace the first values of one metric of SST-2."""

    def forge(raw: Raw) -> None:
        found = raw["result"]["curves"]["tasks"]["sst2_ll"]["metrics"][metric]
        found[: len(change)] = change

    return forge


def both(*forgeries: Callable[[Raw], None]) -> Callable[[Raw], None]:
    def forge(raw: Raw) -> None:
        for each in forgeries:
            each(raw)

    return forge


def fields_of(path: str, value: Any) -> Callable[[Raw], None]:
    return lambda raw: put(raw, path, value)


def another_order(raw: Raw) -> None:
    series = raw["series"]
    for each in (series["case_ids"], *series["immediate"].values()):
        each[0], each[1] = each[1], each[0]
    for each in series["retained"].values():
        each["values"][0], each["values"][1] = each["values"][1], each["values"][0]


def other_facts(raw: Raw) -> None:
    raw["series"]["case_ids"] = [10**6 + number for number in range(50)]


def still(raw: Raw) -> None:
    for kinds in raw["result"]["curves"]["distance"].values():
        kinds["l2_relative"] = [0.0 for _ in kinds["l2_relative"]]


def unmoved(raw: Raw) -> None:
    raw["result"]["curves"]["distance"] = raw["result"]["summary"]["distance"] = {}


ALONE: dict[str, tuple[Callable[[Raw], None], str]] = {
    "failures left out": (values("ps", lambda ps: ps or None), "series.immediate.ps"),
    "another order": (another_order, "series.case_ids"),
    "facts that are not there": (other_facts, "series.case_ids"),
    "another sample": (fields_of("result.data.sample", 2), "series.case_ids"),
    "another file": (
        fields_of("result/data/files_sha256/mrpc_train.jsonl", sha("mine")),
        "result.data.files_sha256.mrpc_train.jsonl",
    ),
    "no file of facts": (
        fields_of("result.data.files_sha256", {"held.txt": KNOWN.own.files["held.txt"][-1]}),
        "result.data.files_sha256",
    ),
    "successes against magnitudes": (values("ps", lambda _: 1.0), "series.immediate.pm"),
    "magnitudes against successes": (values("em", lambda _: -1.0), "series.immediate.em"),
    "kept magnitudes": (
        lambda raw: raw["series"]["retained"]["em"].update(values=[0.9] * 50),
        "series.retained.em",
    ),
    "exact without success": (
        both(values("es", lambda _: 0.0), values("em", lambda _: -1.0)),
        "series.immediate.es_exact",
    ),
    "F1 beyond accuracy": (task("acc", [0.8, 0.5]), f"{TASK}.weighted_f1"),
    "right and invalid": (task("invalid", [0.0, 0.4]), f"{TASK}.acc"),
    "a constant that changes": (task("constant_f1", [1 / 3, 0.1]), f"{TASK}.constant_f1"),
    "edits that move nothing": (unmoved, "result.curves.distance"),
    "moved, and not at all": (
        still, "result.curves.distance.model.layers.3.mlp.down_proj.weight.l2_relative"
    ),
}  # fmt: skip
BESIDE: dict[str, tuple[Callable[[Raw], None], str]] = {
    "unedited F1": (task("weighted_f1", [0.7]), f"{TASK}.weighted_f1.0"),
    "unedited perplexity": (
        lambda raw: put(
            raw, "result.curves.tasks.heldout_perplexity.metrics.word_perplexity.0", 120.0
        ),
        "result.curves.tasks.heldout_perplexity.word_perplexity.0",
    ),
    "constant answer": (task("constant_f1", [0.0] * 3), f"{TASK}.constant_f1.0"),
    "unedited NS": (
        fields_of("result.summary.baseline.ns", 0.1), "result.summary.baseline.ns"
    ),
    "facts without a number": (
        values("free", lambda free: free or None), "series.immediate.free"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALONE)
def test_one_entry_by_itself(case: str, entry: Entry, tmp_path: Path) -> None:
    forge, field = ALONE[case]
    raw = json.loads(entry.to_json())
    assert problems(add(tmp_path / "honest", again(raw))) == []
    forge(raw)
    assert field in fields(add(tmp_path / "forged", again(raw)))


def test_distances_with_six_digits_go_together(entry: Entry) -> None:
    """Each of the numbers is rounded by itself: two quotients are up to 2e-5 apart."""
    draw = random.Random(0)
    curves = entry.result.curves
    refused = []
    for error in (0.0, 1e-4):
        refused.append(0)
        for _ in range(400):
            moved = [draw.uniform(0.1, 100) for _ in range(100)]
            scale = draw.uniform(1e-7, 1e-3)
            kinds = {"l2": moved, "l2_per_param": [each * scale for each in moved]}
            kinds["l2_per_param"][50] *= 1 + error
            told = {"distance": {"weight": rounded(kinds)}}
            result = entry.result.model_copy(update={"curves": curves.model_copy(update=told)})
            refused[-1] += bool(list(_distance(result)))
    assert refused == [0, 400]


def test_sampled_texts_are_those_of_a_seed(entry: Entry, tmp_path: Path) -> None:
    for seed, found in ((0, {"result.curves.tasks.generation.ngram_entropy.0"}), (1, set())):
        made = made_entry(tmp_path / f"run{seed}", editor="r_rome", seed=seed)
        raw = json.loads(made.to_json())
        put(raw, "result.curves.tasks.generation.metrics.ngram_entropy.0", 5.0)
        board = add(add(tmp_path / f"board{seed}", entry), again(raw))
        assert fields(board) == found


@pytest.mark.parametrize("case", BESIDE)
def test_one_entry_beside_another(case: str, entry: Entry, other: Entry, tmp_path: Path) -> None:
    """The new one is to blame, whichever comes first in the folder."""
    forge, field = BESIDE[case]
    before = add(tmp_path / "before", other)
    after = add(add(tmp_path / "after", other), entry)
    assert seqedit("validate", after, "--base", before).code == 0
    for old, name in ((other, "rome"), (entry, "r_rome")):
        raw = json.loads((entry if old is other else other).to_json())
        forge(raw)
        new = again(raw)
        assert new.result.editor.name == name
        alone = tmp_path / f"alone {name}"
        assert problems(add(alone, new)) == []
        before = add(tmp_path / f"base {name}", old)
        done = seqedit("validate", add(alone, old), "--base", before)
        lines = [line for line in done.out.splitlines() if f": {field}: " in line]
        assert [line.startswith(f"{new.place}: ") for line in lines] == [True]
        assert f" in {old.place}: no editor changes that" in lines[0]


def test_little_is_left_to_machines(entry: Entry, other: Entry, tmp_path: Path) -> None:
    raw = json.loads(other.to_json())
    both(task("weighted_f1", [0.77]), fields_of("result.summary.baseline.ns", 0.77))(raw)
    assert problems(add(add(tmp_path, entry), again(raw))) == []


def test_a_longer_run_is_on_the_same_facts(entry: Entry, tmp_path: Path) -> None:
    longer = made_entry(tmp_path / "run", num_edits=60, editor="r_rome")
    assert problems(add(add(tmp_path / "board", entry), longer)) == []


def test_published_data_is_the_same_for_all(tmp_path: Path, entry: Entry) -> None:
    """Here under a suite that is for other data too: what is bundled is nothing of `hub`."""
    board = tmp_path / "board"
    for editor, digest in (("rome", FACTS), ("r_rome", sha("mine"))):
        raw = json.loads(entry.to_json())
        put(raw, "result.editor.name", editor)
        raw["result"]["data"] |= {"source": "hub", "files_sha256": {"counterfact.json": digest}}
        add(board, again(raw))
    assert "result.data.files_sha256.counterfact.json" in fields(board)


def test_the_same_facts_as_another_sample(tmp_path: Path, entry: Entry) -> None:
    """On data that is not known here it is seen beside the other entry."""
    board = tmp_path / "board"
    for sample in (1, 2):
        raw = json.loads(entry.to_json())
        raw["result"]["data"] |= {"source": "folder", "sample": sample}
        add(board, again(raw))
    assert "result.data.sample" in fields(board)


def test_a_model_is_one_and_the_same(tmp_path: Path, entry: Entry) -> None:
    board = tmp_path / "board"
    for seed in (1, 2):
        raw = json.loads(entry.to_json())
        raw["result"] |= {"seed": seed}
        model = {"name": "o/m", "revision": "0" * 40, "weights_sha256": sha(str(seed))}
        raw["result"]["model"] |= model
        add(board, again(raw))
    assert fields(board) == {"result.model.weights_sha256"}


def test_an_editor_that_changes_nothing_has_moved_nothing(tmp_path: Path) -> None:
    def nothing(made: Parts) -> None:
        made.config["editor"] |= {"name": "none", "needs": [], "hparams": {}}
        for line in made.checkpoints:
            tasks = made.checkpoints[0]["tasks"]
            line |= {"distance": {}, "tasks": {name: tasks[name] for name in line["tasks"]}}
        for line in made.single_edits:
            line["metrics"] = line["unedited"]

    entry = made_entry(tmp_path / "run", nothing, editor="none")
    assert problems(add(tmp_path / "board", entry)) == []


@pytest.mark.parametrize("name", ["counterfact", "zsre"])
def test_every_bundled_fact_has_what_the_score_asks(name: str) -> None:
    """Or the referee would refuse an honest entry on it."""
    for case in load_stream(Source.choose("bundled", None), name, sample=0).cases:
        assert case.paraphrase_prompts
        assert case.neighborhood_prompts if name == "counterfact" else case.locality
