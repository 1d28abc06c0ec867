"""What the runs that are hurt need: a tiny model, a suite with everything in it, many facts."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import yaml

EDITORS = ("rome", "memit_seq", "mend", "grace", "lora", "ft_c", "in_context", "prune+memit")
BATCHES = {"ft_c": 2, "prune+memit": 3}
"""Facts a call; one for all others."""
HALF = {"ft_c"}
"""Editors that run on a model in half precision, with float32 masters of what they edit."""
DEMANDS = {"mend": ["mend_mode=harness"]}
"""The mode whose normaliser goes on from edit to edit."""
SUITE = """\
name: faults
version: 1
description: everything that a run can have, small
data_source: bundled
edits: counterfact
num_edits: 10
baseline_records: 2
each_edit: [counterfact_es, counterfact_ns, counterfact_free]
checkpoint: {retention: 3, generation: 5}
start_end: [heldout_perplexity]
single_edit: {edits: zsre, num_edits: 4, tasks: [zsre_efficacy, zsre_completion]}
score: {counterfact: [es, ns]}
smoothing: buckets
"""
LONG = """\
name: long
version: 1
description: a long sequence
data_source: bundled
edits: counterfact
num_edits: 300
baseline_records: 2
each_edit: [counterfact_es, counterfact_ps]
checkpoint: {retention: 50}
score: {counterfact: [es, ps]}
smoothing: buckets
"""


class Stage(NamedTuple):
    """Files that all runs read."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "tiny"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def build(self) -> None:
        """Write everything; takes the tokenizers' threads, so not in a process that forks."""
        from seqedit_bench.benchmark.tiny_models import build_model, build_tokenizer

        build_model("gpt2").save_pretrained(self.model)
        build_tokenizer("gpt2").save_pretrained(self.model)
        (self.folder / "faults.yaml").write_text(SUITE, encoding="utf-8")
        (self.folder / "long.yaml").write_text(LONG, encoding="utf-8")
        (self.folder / "data").mkdir()
        text = json.dumps(many_facts(300))
        (self.folder / "data" / "counterfact.json").write_text(text, encoding="utf-8")

    def arguments(self, editor: str, output: Path) -> list[str]:
        """Return the command line of a run with an editor."""
        options = ["--batch-size", str(BATCHES.get(editor, 1)), "--save-every", "3"]
        if editor in HALF:
            options += ["--dtype", "bfloat16"]
        return self._arguments(editor, "faults.yaml", output, *options)

    def long_arguments(self, editor: str, output: Path) -> list[str]:
        """Return the command line of a long run."""
        return self._arguments(editor, "long.yaml", output, "--data-dir", str(self.folder / "data"))

    def _arguments(self, editor: str, suite: str, output: Path, *options: str) -> list[str]:
        given = ["run", "--editor", editor, "--model", str(self.model), "--device", "cpu"]
        given += ["--suite", str(self.folder / suite), "--output", str(output)]
        given += ["--cache-dir", str(self.cache), *options]
        base = editor.rpartition("+")[2]
        for item in (*small_hparams(base), *DEMANDS.get(editor, [])):
            given += ["--hparams", item]
        return given


def small_hparams(editor: str) -> list[str]:
    """Return the small hyper-parameters that `check-editor` uses."""
    path = Path(str(files("seqedit_bench.editors"))) / "hparams" / f"{editor}.yaml"
    check = yaml.safe_load(path.read_text(encoding="utf-8")).get("check", {})
    return [f"{key}={json.dumps(value)}" for key, value in check.items()]


def many_facts(count: int) -> list[dict[str, object]]:
    """Return bundled records, repeated under other names as often as it takes."""
    path = Path(str(files("seqedit_bench.tasks"))) / "data" / "counterfact.jsonl"
    known = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    records = []
    for number in range(count):
        record = json.loads(json.dumps(known[number % len(known)]))
        record["case_id"] = number
        if number >= len(known):
            record["requested_rewrite"]["subject"] += f" the {number // len(known) + 1}nd"
        records.append(record)
    return records
