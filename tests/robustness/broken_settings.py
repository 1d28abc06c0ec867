"""Broken suites, options, results, editors' files and models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from robustness.broken import SUITE, Broken, changed, encoded

RESULT = Path(__file__).parent.parent / "leaderboards" / "result.json"


def _suites() -> list[Broken]:
    run = "{run} --suite {path}"
    changes = [
        ("a key twice", "version: 3", "version: 3\nversion: 4", "not YAML: key 'version'"),
        ("an unknown key", "version: 3", "version: 3\nextra: 1", "key extra"),
        ("a date", "version: 3", "version: 2001-99-99", "not YAML: month"),
        ("infinity", "version: 3", "version: .inf", "key version"),
        ("a Python tag", "version: 3", "version: !!python/object/apply:os.getcwd []", "not YAML"),
        (
            "a function tag",
            "version: 3",
            "version: !function os.getcwd",
            "not YAML: could no",
        ),
        (
            "a number of 5000 digits",
            "version: 3",
            f"version: 1{'0' * 5000}",
            "not YAML|key version",
        ),
        ("a path for a name", "name: tiny", "name: ../../tiny", "key name"),
        ("a tab", "version: 3", "version:\t- 3\n\t- 4", "not YAML"),
        ("an unknown stream", "edits: counterfact", "edits: counterfeit", "unknown edit stream"),
        ("an unknown score", "score: {counter", "score: {counted", "unknown key of score"),
        ("no tasks", "[counterfact_es]", "[]", "key each_edit"),
        ("a cadence of zero", "retention: 2", "retention: 0", r"key checkpoint\.retention"),
    ]
    lines = [
        Broken(f"suite: {n}", "my.yaml", SUITE.replace(old, new).encode(), s, run)
        for n, old, new, s in changes
    ]
    whole = [
        ("empty", b"", "key top level"),
        ("a list", b"- a\n", "key top level"),
        ("not UTF-8", b"\xff", "not readable"),
        ("nested deeply", b"a: " + b"[" * 20_000, "not YAML: nested too deeply"),
        ("an open quote", b'name: "a', "not YAML"),
        ("a loop", b"a: &a [*a]\n", "key"),
    ]
    return lines + [Broken(f"suite: {n}", "my.yaml", c, s, run) for n, c, s in whole]


def _options() -> list[Broken]:
    """`--hparams` strings: no file, so the line names the option's value."""
    cases = [
        ("layers=[1", "not YAML"),
        ("layers=" + "[" * 5000, "nested too deeply"),
        ("layers=[]", "layers"),
        ("layers=[99]", "layer 99"),
        ("layers=[-1]", "layer -1"),
        ("layers={{a: 1, a: 2}}", "twice"),
        ("v_lr=.nan", "v_lr"),
        ("v_lr=.inf", "v_lr"),
        ("v_lr=1e999", "v_lr"),
        ("v_lr=-1", "v_lr"),
        ("v_num_grad_steps=1" + "0" * 5000, "hparam"),
        ("v_lr=2001-99-99", "not YAML"),
        ("v_lr=!!python/name:os.system", "not YAML"),
        ("context_template_length_params=[[5, -1]]", "context_template_length_params"),
        ("mom2_n_tokens=1000000000000000000000000", "mom2_n_tokens"),
        ("=3", "hyper-parameter"),
        ("v_lr", "write key=value"),
        ("mom2_source=\\ud800", "cannot be read"),
    ]
    return [
        Broken(f"hparams: {text[:40]}", "x", b"", says, f"{{rome}} --hparams '{text}'", names=" ")
        for text, says in cases
    ]


def _results() -> list[Broken]:
    good = RESULT.read_bytes()

    def with_value(path: str, value: Any) -> bytes:
        return encoded(changed(json.loads(good), path, value))

    cases = [
        ("empty", b"", "not JSON"),
        ("cut", good[:300], "not JSON"),
        ("a list", b"[]", "field top level"),
        ("not UTF-8", b"\xff", "not JSON"),
        ("nested deeply", b"[" * 200_000, "not JSON: nested too deeply"),
        ("another schema", with_value("schema_version", 7), "schema_version 7"),
        ("a schema of a megabyte", with_value("schema_version", "x" * 10**6), "schema_version"),
        ("NaN", good.replace(b'"seed": 0', b'"seed": NaN'), "not JSON: the number NaN"),
        (
            "1e999",
            good.replace(b'"seconds_edit": 2.5', b'"seconds_edit": 1e999'),
            "not finite",
        ),
        (
            "5000 digits",
            good.replace(b'"seed": 0', b'"seed": 1' + b"0" * 5000),
            "of 5001 digits",
        ),
        (
            "a key twice",
            good.replace(b'"seed": 0', b'"seed": 0, "seed": 1'),
            "'seed' is there",
        ),
        ("an extra field", with_value("extra", 1), "field extra"),
        ("edits of 20 digits", with_value("protocol.num_edits", 10**20), r"field protocol\.num_"),
        ("no edits", with_value("protocol.num_edits", 0), r"field protocol\.num_edits"),
        ("a curve of text", with_value("curves.immediate.es.mean_5", ["a"]), "field curves"),
        ("a name of numbers", with_value("editor.name", 3), r"field editor\.name"),
        (
            "too many curves",
            with_value(
                "curves.immediate",
                {f"m{n}": {"edits": [], "mean_5": [], "mean_50": []} for n in range(3000)},
            ),
            r"field curves\.immediate",
        ),
    ]
    lines = []
    for name, content, says in cases:
        for command in ("compare", "plot"):
            lines.append(
                Broken(f"{command}: {name}", "leaderboard.json", content, says, command + " {path}")
            )
    lines.append(
        Broken(
            "compare: a folder", "run/x", b"", "no such result", "compare {folder}/run", names="run"
        )
    )
    return lines


def _code() -> list[Broken]:
    run = "{run} --editor-path {path}"
    cases = [
        ("empty", b"", "registers no editor"),
        ("NUL", b"x = 1\0", "null bytes|SyntaxE"),
        ("not UTF-8", b"\xff", "SyntaxError|Unicode"),
        ("nested deeply", b"(" * 5000, "Error"),
        ("raises", b"raise KeyError('a\\nb')", "KeyError"),
        ("exits", b"raise SystemExit", "Exit"),
    ]
    return [Broken(f"editor file: {n}", "mine.py", c, s, run) for n, c, s in cases]


def _models() -> list[Broken]:
    run = "{run} --model {folder}/model"
    cases = [
        ("no config", "model/x", b"", "has no config.json"),
        ("an empty config", "model/config.json", b"", "cannot load model"),
        ("a list", "model/config.json", b"[]", "cannot load model"),
        ("nested deeply", "model/config.json", b"[" * 100_000, "cannot load model"),
        ("an unknown type", "model/config.json", b'{"model_type": "x"}', "cannot load model"),
        ("no weights", "model/config.json", b'{"model_type": "gpt2"}', "cannot load model"),
        (
            "code of its own",
            "model/config.json",
            encoded(
                {
                    "model_type": "mine",
                    "auto_map": {"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.Mine"},
                }
            ),
            "--trust-remote-code",
        ),
    ]
    return [Broken(f"model: {n}", f, c, s, run, names="model") for n, f, c, s in cases]


BROKEN_SETTINGS = [*_suites(), *_options(), *_results(), *_code(), *_models()]
