"""The hunt for disabling edits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seqedit_bench import tasks
from seqedit_bench.benchmark import hunt
from seqedit_bench.benchmark.hunt_summary import summarise, to_measure
from seqedit_bench.editors import Editor, EditRequest
from seqedit_bench.leaderboards.analysis import Constants

SMALL = (
    "layers=[1]",
    "v_num_grad_steps=3",
    "mom2_n_tokens=600",
    "context_template_length_params=[[4, 2]]",
)
Command = Callable[..., Any]


@pytest.fixture
def hunting(seqedit: Command, tiny_folder: Path, tmp_path: Path, session_cache: Path) -> Command:
    """Hunt on the tiny model; later options win over these."""

    def call(*options: object) -> Any:
        hparams = [part for each in SMALL for part in ("--hparams", each)]
        base = ["--model", tiny_folder, "--output", tmp_path / "hunt", "--cache-dir", session_cache]
        return seqedit("hunt", "--editor", "rome", *base, *hparams, *options)

    return call


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def test_each_fact_is_the_only_edit(hunting: Command, tmp_path: Path) -> None:
    done = hunting("--num", 6, "--top", 2)
    assert done.code == 0, done.err
    hunted = lines(tmp_path / "hunt" / "hunted.jsonl")
    assert len(hunted) == 6
    for line in hunted:
        (distance,), (norm,) = line["distance"].values(), line["update_norm"].values()
        assert distance["l2"] == pytest.approx(norm, rel=1e-4)
    summary = json.loads((tmp_path / "hunt" / "hunt.json").read_text())
    assert (summary["facts"], summary["edited"], len(summary["top"])) == (6, 6, 2)
    ratios = [line["ratio"] for line in summary["top"]]
    assert ratios == sorted(ratios, reverse=True)
    top = summary["top"][0]
    assert (
        {"es", "ps", "ns"} <= top["edited"]["metrics"].keys() == top["unedited"]["metrics"].keys()
    )
    assert top["edited"]["metrics"] != top["unedited"]["metrics"]
    assert "6 of 6 facts edited" in " ".join(done.out.split())


def test_a_hunt_goes_on_where_it_was_stopped(hunting: Command, tmp_path: Path) -> None:
    hunting("--num", 6, "--top", 1)
    path = tmp_path / "hunt" / "hunted.jsonl"
    whole = lines(path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]) + '{"case', "utf-8")
    assert hunting("--num", 6, "--top", 1).code == 0
    again = lines(path)
    for before, after in zip(whole, again, strict=True):
        assert {**before, "seconds": 0} == {**after, "seconds": 0}


def test_more_facts_later(hunting: Command, tmp_path: Path) -> None:
    hunting("--num", 3, "--top", 0)
    first = lines(tmp_path / "hunt" / "hunted.jsonl")
    hunting("--num", 5, "--top", 0)
    assert lines(tmp_path / "hunt" / "hunted.jsonl")[:3] == first


def test_screening_edits_only_the_likeliest(hunting: Command, tmp_path: Path) -> None:
    assert hunting("--num", 12, "--screen", 3, "--controls", 2, "--top", 0).code == 0
    factors = {
        line["case_id"]: line["division_factor"]
        for line in lines(tmp_path / "hunt" / "screened.jsonl")
    }
    hunted = lines(tmp_path / "hunt" / "hunted.jsonl")
    assert len(factors) == 12
    least = sorted(factors, key=lambda case_id: abs(factors[case_id]))[:3]
    assert [line["case_id"] for line in hunted[:3]] == least
    # Two more tell what is usual: the three are anything but.
    assert len(hunted) == 5
    summary = json.loads((tmp_path / "hunt" / "hunt.json").read_text())
    norms = [next(iter(line["update_norm"].values())) for line in hunted[3:]]
    assert summary["median_norm"]["value"] == pytest.approx(sum(norms) / 2)
    assert (summary["facts"], summary["edited"], summary["normal"]) == (12, 5, 2)
    # What the keys said is what the edit was divided by.
    for line in hunted:
        assert line["editor"]["division_factor"] == pytest.approx(factors[line["case_id"]])


def test_another_editor_edits_the_same_facts(hunting: Command, tmp_path: Path) -> None:
    sizes = ("--num", 12, "--screen", 3, "--controls", 2, "--top", 0)
    assert hunting(*sizes).code == 0
    rome, other = tmp_path / "hunt", tmp_path / "other"
    by = ("--screened-by", rome, "--output", other)
    # It may be growing at this moment.
    growing = (rome / "screened.jsonl").read_text(encoding="utf-8") + '{"case_id": 1, "div'
    (rome / "screened.jsonl").write_text(growing, encoding="utf-8")
    done = hunting(*sizes, "--editor", "r_rome", *by)
    assert done.code == 0, done.err
    hunted = [
        [line["case_id"] for line in lines(folder / "hunted.jsonl")] for folder in (rome, other)
    ]
    assert hunted[0] == hunted[1]
    assert not (other / "screened.jsonl").exists()
    assert (rome / "screened.jsonl").read_text(encoding="utf-8") == growing


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--screen", 2, "--num", 9], "the keys of 6 of 9 facts were not looked at there"),
        (["--screen", 2, "--sample", 2], "that hunt has other sample"),
        (["--num", 3], "say by --screen how many"),
    ],
)
def test_facts_of_a_hunt_that_do_not_fit(
    options: list[object], says: str, hunting: Command, tmp_path: Path
) -> None:
    assert hunting("--num", 3, "--screen", 1, "--controls", 1, "--top", 0).code == 0
    other = tmp_path / "other"
    done = hunting(*options, "--screened-by", tmp_path / "hunt", "--output", other, "--top", 0)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert says in done.err
    assert not other.exists()


def test_no_hunt_to_take_the_facts_of(hunting: Command, tmp_path: Path) -> None:
    done = hunting("--screen", 2, "--screened-by", tmp_path)
    assert done.code == 2
    assert "no hunt with --screen is there" in done.err


def test_downstream_tasks_at_the_top(hunting: Command, tmp_path: Path) -> None:
    done = hunting("--num", 2, "--top", 1, "--downstream", "sst2_ll", "--downstream-limit", 4)
    assert done.code == 0, done.err
    (top,) = json.loads((tmp_path / "hunt" / "hunt.json").read_text())["top"]
    assert "weighted_f1" in top["edited"]["tasks"]["sst2_ll"]
    assert "sst2_ll" in done.out


def test_other_downstream_tasks_take_the_edits_over(hunting: Command, tmp_path: Path) -> None:
    """They are asked of the facts at the top alone; what was measured before is kept."""
    base = ["--num", 3, "--top", 1]
    limits = [["--downstream", "sst2_ll", "--downstream-limit", limit] for limit in (2, 4)]
    found = []
    for options in ([], *limits, limits[0]):
        done = hunting(*base, *options)
        assert done.code == 0, done.err
        (top,) = json.loads((tmp_path / "hunt" / "hunt.json").read_text())["top"]
        asked = top["asked"]
        found.append((asked["downstream"], asked["downstream_limit"], set(top["edited"]["tasks"])))
        assert ("sst2_validation.jsonl" in asked["data"]) == bool(options)
    assert found == [([], None, set()), *((["sst2_ll"], at, {"sst2_ll"}) for at in (2, 4, 2))]
    assert len(lines(tmp_path / "hunt" / "hunted.jsonl")) == 3
    assert len(lines(tmp_path / "hunt" / "top.jsonl")) == 3


def test_task_files_that_changed_are_asked_anew(hunting: Command, tmp_path: Path) -> None:
    ours = Path(tasks.__file__).parent / "glue_fewshot" / "sst2_ll.yaml"
    options = ["--num", 2, "--top", 1, "--downstream", "mine", "--downstream-limit", 4]
    folder = tmp_path / "own"
    folder.mkdir()
    found = []
    for more in ("", "", "description: Judge.\n"):
        text = f"include: {ours}\ntask: mine\n{more}"
        (folder / "mine.yaml").write_text(text, encoding="utf-8")
        done = hunting(*options, "--include-path", folder)
        assert done.code == 0, done.err
        found.append(len(lines(tmp_path / "hunt" / "top.jsonl")))
    assert found == [1, 1, 2]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--seed", 1], "holds a hunt with other prepared, seed"),
        (["--edits", "zsr"], "unknown edit stream 'zsr'"),
        (["--sample", 11], "--sample"),
    ],
)
def test_another_hunt_is_refused(options: list[object], says: str, hunting: Command) -> None:
    hunting("--num", 1, "--top", 0)
    done = hunting("--num", 1, "--top", 0, *options)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert says in done.err


def test_a_hunt_by_other_code_is_another(hunting: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    hunting("--num", 1, "--top", 0)
    monkeypatch.setattr(hunt, "code_sha256", lambda _: "0" * 64)
    assert "holds a hunt with other code_sha256" in hunting("--num", 1, "--top", 0).err


@pytest.mark.parametrize(
    ("editor", "options", "says"),
    [
        ("none", [], "'none' changes no weights"),
        ("ft_c", ["--screen", "2"], "'ft_c' has no division factor"),
        ("ft_c", ["--controls", "7"], "--controls has no effect without --screen"),
        ("ft_c", ["--downstream-limit", "5"], "--downstream-limit has no effect without --downstr"),
        ("ft_c", ["--include-path", "."], "--include-path has no effect without --downstream"),
        (
            *("ft_c", ["--include-path", "nowhere", "--downstream", "my_colors"]),
            "task folder nowhere is not there",
        ),
    ],
)
def test_nothing_to_hunt(
    editor: str, options: list[str], says: str, seqedit: Command, tiny_folder: Path, tmp_path: Path
) -> None:
    done = seqedit(
        "hunt", "--editor", editor, "--model", tiny_folder, "--output", tmp_path / "h", *options
    )
    assert done.code == 2
    assert says in done.err
    assert not (tmp_path / "h").exists()


def test_as_json(hunting: Command, tmp_path: Path) -> None:
    done = hunting("--num", 1, "--top", 0, "--json")
    assert json.loads(done.out) == json.loads((tmp_path / "hunt" / "hunt.json").read_text())


# --- Ranking ---------------------------------------------------------------------------------


def line(case_id: int, norm: float | None, factor: float) -> dict[str, Any]:
    return {"case_id": case_id, "update_norm": {"w": norm}, "editor": {"division_factor": factor}}


def test_both_rankings_reach_the_top() -> None:
    found = [line(1, 1.0, 5.0), line(2, 90.0, 4.0), line(3, 2.0, -0.01), line(4, 1.0, 3.0)]
    assert [each["case_id"] for each in to_measure(found, 2)] == [2, 3]
    assert [each["case_id"] for each in to_measure([line(1, 1.0, 1.0), line(2, None, 1.0)], 1)] == [
        2
    ]


def test_counts() -> None:
    found = [*(line(at, 1.0, 3.0) for at in range(20)), line(90, 12.0, 0.2), line(91, 150.0, -0.1)]
    summary = summarise(found, found[:20], [], 30, Constants(bootstrap=100))
    assert (summary["facts"], summary["edited"]) == (30, 22)
    assert (summary["spikes"], summary["disabling"], summary["largest_ratio"]) == (2, 1, 150.0)
    assert summary["division_factor"] == {"least": 0.1, "negative": 1}


def test_a_division_factor_needs_no_solving(
    make_editor: Callable[..., Editor], make_model: Callable[..., Any], requests: list[EditRequest]
) -> None:
    for name in ("rome", "r_rome", "p_rome"):
        editor: Any = make_editor(name, make_model("gpt2"))
        factor = editor.division_factor(requests[1])
        report = editor.edit([requests[1]]).per_request[0]
        assert report["division_factor"] == pytest.approx(factor, rel=1e-6)
