"""Run directories written without a model, whole and consistent, to be changed at will."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from records import changed, sha
from seqedit_bench.benchmark.protocols import known
from seqedit_bench.benchmark.suite import load_suite
from seqedit_bench.leaderboards.entry import Entry
from seqedit_bench.leaderboards.recompute import read_ran, recomputed
from seqedit_bench.leaderboards.results import Result
from seqedit_bench.leaderboards.submit import entry_of

Line = dict[str, Any]
Change = Callable[["Parts"], None]
MATRIX = "model.layers.3.mlp.down_proj.weight"
QUICK = f"quick@{load_suite('quick').version}"
EXACT = ("es", "es_exact")
KNOWN = known()
FACTS = KNOWN.own.files["counterfact.jsonl"][-1]


class Parts(NamedTuple):
    """What a run directory is written from."""

    config: dict[str, Any]
    edits: list[Line]
    checkpoints: list[Line]
    single_edits: list[Line]
    leaderboard: dict[str, Any]
    """Changes of `leaderboard.json`, by dotted path, against what the journal gives."""


def parts(
    *, num_edits: int = 50, sample: int = 1, seed: int = 0, editor: str = "rome", luck: int = 0
) -> Parts:
    """Return a run of `quick` that could have been made; `luck` changes its numbers."""
    draw = random.Random(f"{sample} {seed} {editor} {luck}")
    case_ids = KNOWN.own.orders["counterfact"][FACTS][sample][:num_edits]
    edits = [_edit(number, case_id, draw) for number, case_id in enumerate(case_ids, start=1)]
    checkpoints = [_checkpoint(done, edits, draw) for done in _due(num_edits)]
    unedited = random.Random(sample)  # the same of every editor
    checkpoints[0]["baseline"] = [_metrics(unedited) for _ in range(min(50, num_edits))]
    single = [_single(number, draw) for number in range(10)]
    return Parts(_config(num_edits, sample, seed, editor, case_ids), edits, checkpoints, single, {})


def _due(num_edits: int) -> list[int]:
    """Return the edits done at each checkpoint."""
    cadences = load_suite("quick").checkpoint.values()
    every = {done for step in cadences for done in range(0, num_edits + 1, step)}
    return sorted({*every, num_edits})


def _is_due(name: str, done: int, num_edits: int) -> bool:
    return done % load_suite("quick").checkpoint[name] == 0 or done == num_edits


def _metrics(draw: random.Random) -> dict[str, float]:
    made: dict[str, float] = {}
    for name, of in (("es", 1), ("ps", 2), ("ns", 10)):
        made[name] = sum(draw.random() < 0.8 for _ in range(of)) / of
        made[f"{name[0]}m"] = draw.uniform(made[name] - 1, made[name])
        made[f"{name}_exact"] = float(made[name] == 1.0 and draw.random() < 0.9)
        made[f"{name}_nll_new"] = draw.expovariate(1)
    return {**made, **dict.fromkeys(("free", "free_first", "free_true"), made["es_exact"])}


def _edit(number: int, case_id: int, draw: random.Random) -> Line:
    return {
        "edit": number,
        "case_id": case_id,
        "prompt": "{} lies in",
        "subject": f"Place\u2028{case_id}",
        "target_new": " Peru",
        "target_true": " Chile",
        "metrics": _metrics(draw),
        "per_prompt": {},
        "texts": {},
        "editor": {"loss": draw.random()},
        "update_norm": {MATRIX: 1 + draw.random()},
        "distance": {MATRIX: float(number)},
        "seconds": {"edit": 0.5 + draw.random(), "evaluate": 0.25},
    }


def _checkpoint(done: int, edits: Sequence[Line], draw: random.Random) -> Line:
    line: Line = {"edits": done}
    lost = [draw.random() > 0.9 for _ in edits[:done]]
    line["edited"] = {
        name: [
            0.0 if gone else value for gone, value in zip(lost, _column(edits, name), strict=False)
        ]
        for name in (*EXACT, "em")
        if done and _is_due("retention", done, len(edits))
    }
    f1 = {
        "weighted_f1": 0.8 - done / 1000,
        "mcc": 0.2,
        "acc": 0.8,
        "invalid": 0.0,
        "constant_f1": 1 / 3,
    }
    tasks = {name: f1 for name in ("sst2_ll", "mrpc_ll", "cola_ll", "rte_corrected_ll")}
    tasks["heldout_perplexity"] = {
        name: 100 + done for name in ("word_perplexity", "byte_perplexity", "bits_per_byte")
    }
    tasks["generation"] = {"ngram_entropy": 5.5, "word_entropy": 0.9}
    line["tasks"] = {
        name: found for name, found in tasks.items() if _is_due(name, done, len(edits))
    }
    line["texts"] = {}
    line["distance"] = {
        MATRIX: {"l2": done / 3, "l2_per_param": done / 3e6, "l2_relative": done / 300}
    }
    line["seconds"] = {"evaluate": 2.0}
    return line


def _column(edits: Sequence[Line], name: str) -> list[float]:
    return [line["metrics"][name] for line in edits]


def _single(number: int, draw: random.Random) -> Line:
    asked = [
        {"efficacy": 1.0, "efficacy_exact": float(draw.random() < p), "completion": float(p < 0.5)}
        for p in (0.1, 0.9)
    ]
    return {"edits": "zsre", "case_id": number, "unedited": asked[0], "metrics": asked[1]}


def _config(num_edits: int, sample: int, seed: int, editor: str, ids: list[int]) -> dict[str, Any]:
    suite = load_suite("quick")
    asked = [name for name in suite.each_edit if name.startswith("counterfact")]
    return {
        "request": {"editor": editor, "editor_path": None, "num_edits": num_edits},
        "suite_definition": suite.model_dump(),
        "suite": {"name": suite.name, "version": suite.version, "sha256": suite.sha256},
        "editor": {
            "name": editor,
            "kind": "weights",
            "needs": ["covariance", "subject"],
            "hparams": _hparams(editor),
            "hparams_source": "defaults",
            "code_sha256": sha("code"),
            "prepared": {"context_templates": ["{}", "So. {}"]},
        },
        "model": {
            "name": "smollm2-135m",
            "model_type": "llama",
            "revision": None,
            "weights_sha256": KNOWN.models["smollm2-135m"]["float32"],
            "num_parameters": 1000,
            "dtype": "float32",
            "trust_remote_code": False,
        },
        "data": {
            "source": "bundled",
            "files_sha256": {"counterfact.jsonl": FACTS},
            "edits": "counterfact",
            "sample": sample,
            "order": "as it came",
            "case_ids_sha256": sha(",".join(map(str, ids))),
        },
        "protocol": {
            "mode": "instance-sequential",
            "num_edits": num_edits,
            "batch_size": 1,
            "each_edit": asked,
            "checkpoint": {k: n for k, n in suite.checkpoint.items() if not k.startswith("zsre")},
            "start_end": [],
            "limits": {},
            "not_measured": {},
            "smoothing": suite.smoothing,
        },
        "seed": seed,
        "provenance": {
            "started": "2026-01-02T03:04:05",
            "versions": {"python": "3.11.7", "torch": "2.13.0", "seqedit-bench": "0.1.0"},
            "sources_sha256": sha("sources"),
            "include_sha256": None,
            "commit": "0" * 40,
            "dirty": False,
            "platform": "Linux",
            "device": "x86_64",
            "threads": 1,
        },
    }


def _hparams(editor: str) -> dict[str, Any]:
    """Return hyper-parameters that an editor has, wrappers included; `theirs` has any."""
    *wrappers, base = editor.split("+")
    own = KNOWN.own.editors
    names = own[base][-1].hparams if base in own else ["layers", "v_lr"]
    of_wrappers = {each: dict.fromkeys(own[each][-1].hparams, 1) for each in wrappers}
    said = {"layers": [3], "v_lr": 0.5}
    return {**{name: said.get(name, 1) for name in names}, **of_wrappers}


def write_run(folder: Path, made: Parts) -> Path:
    """Write a run directory: its `leaderboard.json` is what the journal gives, and the changes."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(made.config), encoding="utf-8")
    for name in ("edits", "checkpoints", "single_edits"):
        lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in getattr(made, name)]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    result = folder / "leaderboard.json"
    result.write_text(Result.model_validate(_blank(made)).to_json(), encoding="utf-8")
    whole = json.loads(recomputed(read_ran(folder)).to_json())
    result.write_text(json.dumps(changed(whole, made.leaderboard)), encoding="utf-8")
    return folder


def _blank(made: Parts) -> dict[str, Any]:
    """A result of the right form, whose computed parts are empty."""
    names = ("suite", "editor", "model", "data", "protocol", "seed", "provenance")
    evaluating = [line["seconds"]["evaluate"] for line in (*made.edits, *made.checkpoints)]
    empty: dict[str, Any] = {}
    return {
        **{name: made.config[name] for name in names},
        "ending": {
            "edits_done": len(made.edits),
            "stopped": made.leaderboard.get("ending.stopped"),
            "failed": 0,
            "collapsed_at": None,
        },
        "curves": {
            **dict.fromkeys(("immediate", "retention", "tasks", "distance"), empty),
            "checkpoints": [],
        },
        "summary": {
            **dict.fromkeys(("immediate", "immediate_last_50", "baseline"), empty),
            **dict.fromkeys(("retention", "tasks", "distance"), empty),
            "baseline_records": 0,
            "transfer": None,
            "single_edits": None,
        },
        "cost": {
            "edits_per_second": 0.0,
            "seconds_edit": sum(line["seconds"]["edit"] for line in made.edits),
            "seconds_evaluate": sum(evaluating),
            "seconds_prepare": 1.0,
            "peak_memory_bytes": 2**30,
            "tokens_scored": 12345,
        },
        "journal_sha256": {"config.json": sha("")},
    }


def made_entry(folder: Path, change: Change | None = None, **asked: Any) -> Entry:
    """Return the entry of a run that is written into a folder."""
    from seqedit_bench.benchmark.cards import card_for

    made = parts(**asked)
    if change is not None:
        change(made)
    ran = read_ran(write_run(folder, made))
    return entry_of(ran, card_for(ran, None, KNOWN), KNOWN, team="Us", paper=None)
