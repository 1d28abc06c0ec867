"""Broken data files: CounterFact, zsRE, GLUE, WikiText, texts of second moments."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pyarrow
from pyarrow import parquet
from robustness.broken import RECORD, SUITE, Broken, changed, encoded

ZSRE: dict[str, Any] = {
    "subject": "Ada",
    "src": "Where was Ada born?",
    "rephrase": "What is Ada's place of birth?",
    "answers": ["Rome"],
    "loc": "who sang it",
    "loc_ans": "Bo",
}
GLUE_SUITE = SUITE.replace("{retention: 2}", "{cola_ll: 2}")


def _facts() -> list[Broken]:
    """Broken `counterfact.jsonl` and `counterfact.json`."""
    run = "{run} --data-dir {folder}"
    good = encoded(RECORD)
    rewrite = "requested_rewrite"
    fields = [
        ("prompt is a number", f"{rewrite}.prompt", 5, r":2: field requested_rewrite\.prompt"),
        ("prompt has no slot", f"{rewrite}.prompt", "It is", r":2: field .* 0 '\{\}'"),
        ("prompt has two slots", f"{rewrite}.prompt", "{} {}", r":2: field .* 2 '\{\}'"),
        ("subject is missing", f"{rewrite}.subject", ..., r":2: field requested_rewrite\.subject"),
        ("subject is white space", f"{rewrite}.subject", " \t\u00a0", ":2: .*subject is empty"),
        ("subject holds NUL", f"{rewrite}.subject", "a\0b", ":2: .*NUL"),
        ("target is empty", f"{rewrite}.target_new.str", "", ":2: .*target_new is empty"),
        ("target is a list", f"{rewrite}.target_new", ["a"], r":2: field .*target_new"),
        ("target is null", f"{rewrite}.target_true.str", None, r":2: field .*target_true\.str"),
        ("case_id is a word", "case_id", "one", ":2: field case_id"),
        ("case_id has a fraction", "case_id", 1.5, ":2: field case_id"),
        ("case_id has 30 digits", "case_id", 10**30, ":2: field case_id"),
        ("case_id is there twice", "case_id", 0, "case_id 0 is there twice"),
        ("paraphrases are a word", "paraphrase_prompts", "one", ":2: field paraphrase_prompts"),
        ("a paraphrase is blank", "paraphrase_prompts", [" "], ":2: field paraphrase_prompts"),
        ("a neighbor is an object", "neighborhood_prompts", [{}], r":2: field neighborhood_pr"),
    ]
    lines = [
        Broken(
            f"counterfact: {name}",
            "counterfact.jsonl",
            good + b"\n" + encoded(changed({**RECORD, "case_id": 1}, field, value)),
            says,
            run,
        )
        for name, field, value, says in fields
    ]
    whole = [
        ("empty", b"", "no records"),
        ("blank lines", b"\n\r\n \n", "no records"),
        ("a list in a line", b"[1, 2]", ":1: field record"),
        ("a number in a line", good + b"\n7", ":2: field record"),
        ("cut", good + b"\n" + good[:50], ":2: not JSON"),
        ("Python, not JSON", b"{'case_id': 0}", ":1: not JSON"),
        ("a trailing comma", good[:-1] + b",}", ":1: not JSON"),
        ("a key twice", good[:-1] + b', "case_id": 4}', ":1: not JSON: key 'case_id' is there twi"),
        ("NaN", good.replace(b": 0", b": NaN", 1), ":1: not JSON: NaN"),
        ("a number of 999 powers", good.replace(b": 0", b": 1e999", 1), ":1: not JSON: the numbe"),
        ("5000 digits", good.replace(b": 0", b": 1" + b"0" * 5000, 1), ":1: not JSON: an integer"),
        ("half a character", good.replace(b"France", rb"\ud83d", 1), ":1: not JSON: .*half a"),
        ("nested deeply", good + b"\n" + b"[" * 100_000, ":2: not JSON: nested too deeply"),
        ("objects nested deeply", b'{"a":' * 100_000, ":1: not JSON: nested too deeply"),
        ("not UTF-8", good + b"\n\xff\xfe\n", "not readable as UTF-8"),
        ("UTF-16", good.decode().encode("utf-16"), "not readable as UTF-8"),
        ("compressed", gzip.compress(good), "not readable as UTF-8|not JSON"),
        ("NUL bytes", good.replace(b"France", b"Fr\0nce", 1), ":1: not JSON: Invalid control"),
        ("a gigantic line", b'{"case_id": "' + b"x" * 2_000_000 + b'"}', ":1: field"),
    ]
    lines += [
        Broken(f"counterfact: {n}", "counterfact.jsonl", c, says, run) for n, c, says in whole
    ]
    lists = [
        ("an object, not a list", good, "expected a list of records, found dict"),
        ("an empty list", b"[]", "no records"),
        ("null", b"null", "found NoneType"),
        ("lines, not a list", good + b"\n" + good, ":2: not JSON: Extra data"),
        (
            "a bad record",
            encoded([RECORD, {**RECORD, "requested_rewrite": 3}]),
            ": record 1: field",
        ),
        ("a cut list", b"[" + good + b",\n", ":2: not JSON"),
    ]
    lines += [Broken(f"counterfact list: {n}", "counterfact.json", c, s, run) for n, c, s in lists]
    lines.append(
        Broken(
            "counterfact: a folder of that name",
            "counterfact.json/x",
            b"",
            "is not in",
            run,
            names="counterfact.json",
        )
    )
    edits = "{run} --data-dir {folder} --edits counterfact-edits"
    lines += [
        Broken("edits: a list", "counterfact_all_edits.jsonl", b"[]", ":1: expected a J", edits),
        Broken("edits: no prompt", "counterfact_all_edits.jsonl", b"{}", ":1: field", edits),
    ]
    return lines


def _zsre() -> list[Broken]:
    run = "{run} --data-dir {folder} --edits zsre --suite quick --skip single_edit"
    cases = [
        ("no answers", changed(ZSRE, "answers", []), ": record 0: field answers"),
        ("blank answer", changed(ZSRE, "answers", [" "]), r": record 0: field answers\.0"),
        ("no question", changed(ZSRE, "src", ...), ": record 0: field src"),
        ("subject not in it", changed(ZSRE, "subject", "Bo"), "no records whose question holds"),
        ("braces", changed(ZSRE, "src", "Is {} Ada?"), r": record 0: field src: .*2 '\{\}'"),
        ("loc is a list", changed(ZSRE, "loc", []), ": record 0: field loc"),
    ]
    return [Broken(f"zsre: {n}", "zsre_mend_eval.json", encoded([c]), s, run) for n, c, s in cases]


def parquet_file(columns: dict[str, list[Any]]) -> bytes:
    """Return a table as a file."""
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


def _glue() -> list[Broken]:
    run = "{run} --data-dir {folder} --suite {glue_suite}"
    row = {"sentence": "He sings.", "label": 1, "idx": 0}
    cases = [
        ("label 2", {**row, "label": 2}, ":1: field label is 2, not 0 or 1"),
        ("label as text", {**row, "label": "1"}, ":1: field label is '1'"),
        ("no sentence", {"label": 1}, ":1: field sentence"),
        ("idx as text", {**row, "idx": "0"}, ":1: field idx"),
        ("idx of 30 digits", {**row, "idx": 10**30}, ":1: field idx"),
        ("a list", [1], ":1: expected a JSON object"),
    ]
    lines = [Broken(f"cola: {n}", "cola_train.jsonl", encoded(c), s, run) for n, c, s in cases]
    twice = encoded(row) + b"\n" + encoded(row)
    lines.append(Broken("cola: idx twice", "cola_train.jsonl", twice, "same idx", run))
    tables = [
        ("garbage", b"PAR1 no PAR1", "not a parquet file"),
        ("cut", parquet_file({"sentence": ["a"], "label": [1]})[:-9], "not a parquet file"),
        ("empty", b"", "not a parquet file"),
        ("a column missing", parquet_file({"label": [1]}), ": record 0: field sentence"),
        (
            "labels NaN",
            parquet_file({"sentence": ["a"], "label": [float("nan")]}),
            ": record 0: fi",
        ),
        (
            "texts of bytes",
            parquet_file({"sentence": [b"a"], "label": [1]}),
            ": record 0: field sent",
        ),
        ("nulls", parquet_file({"sentence": [None], "label": [1]}), ": record 0: field sentence"),
        ("no rows", parquet_file({"sentence": [], "label": []}), "no row with idx"),
    ]
    lines += [Broken(f"cola parquet: {n}", "cola_train.parquet", c, s, run) for n, c, s in tables]
    return lines


def _texts() -> list[Broken]:
    heldout = "{run} --data-dir {folder} --suite {heldout_suite}"
    moments = "moments --model {tiny} --layers 1 --tokens 200 --text {path}"
    return [
        Broken("wikitext: not UTF-8", "wikitext-2-raw.test.txt", b"a\xff", "at byte 1", heldout),
        Broken("wikitext: garbage", "wikitext-2-raw.test.parquet", b"x", "not a parquet", heldout),
        Broken(
            "wikitext: no column",
            "wikitext-2-raw.test.parquet",
            parquet_file({"a": ["x"]}),
            ": record 0: no column text",
            heldout,
        ),
        Broken("text: not UTF-8", "text.txt", b"\xff", "not readable as UTF-8", moments),
        Broken("text: empty", "text.txt", b"", "has 0 tokens", moments),
        Broken("text: short", "text.txt", b"Hello there.", r"has \d+ tokens", moments),
        Broken(
            "text: a folder", "t/x", b"", "directory", moments.replace("path", "folder"), "given"
        ),
        Broken("text: in a run", "t.txt", b"\xff", "UTF-8", "{rome} --hparams mom2_source={path}"),
    ]


BROKEN_DATA = [*_facts(), *_zsre(), *_glue(), *_texts()]
