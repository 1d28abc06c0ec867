"""What a comparison looks like: in terminals of any width, Markdown, LaTeX, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from seqedit_bench.leaderboards.compare import Comparison, Run, catalogue, compare
from seqedit_bench.leaderboards.compare.grid import Grid, in_depth, overview
from seqedit_bench.leaderboards.compare.latex import as_latex
from seqedit_bench.leaderboards.compare.markdown import as_markdown
from seqedit_bench.leaderboards.compare.metrics import all_metrics, default_metrics, find
from seqedit_bench.leaderboards.compare.records import CSV_COLUMNS, as_csv, as_json
from seqedit_bench.leaderboards.compare.table import ComparisonTable

MakeRun = Callable[..., Run]

# What the name of anything can be, in a file from anyone.
HOSTILE = [
    "[bold]loud[/bold]",
    "[/red]",
    ":smile:",
    "<script>alert(1)</script>",
    "a|b `c` *d* ![x](https://x) https://x.org @someone #1",
    '=HYPERLINK("http://x")',
    "  +1",
    "\\input{/etc/passwd} $x$ % & _ ^ ~ # {",
    "]x[ -- ''``?`",
    "rome\x1b]0;title\x07\x1b[2J\r\nnext",
    "\u202eemor\u200b \ud7ff 模型 é",
    "x" * 3000,
]


def compared(runs: Sequence[Run], *names: str, **given: Any) -> Comparison:
    known = catalogue(runs)
    metrics = [each for name in names if (each := find(name, known))] or default_metrics(known)
    return compare(runs, metrics, known.get("es", metrics[0]), draws=200, **given)


def shown(grid: Grid, width: int = 200, **console: Any) -> str:
    out = Console(width=width, color_system=None, **console)
    with out.capture() as captured:
        out.print(ComparisonTable(grid))
    return captured.get()


@pytest.fixture
def three(make_run: MakeRun) -> list[Run]:
    """The control, an editor that works, and one that nearly does as well."""

    def scores(es: list[float], ns: float) -> dict[str, Any]:
        return {"es": es, "ps": es, "ns": [ns] * 10, "es_exact": es, "kept": {"es_exact": es}}

    return [
        make_run("none", **scores([0.0] * 9 + [1.0], 0.9)),
        make_run("rome", **scores([1.0] * 10, 0.8)),
        make_run("ft", **scores([1.0] * 9 + [0.0], 0.2)),
    ]


def test_the_table_says_what_is_best_tied_and_better_than_none(three: list[Run]) -> None:
    text = shown(overview(compared(three)))
    first, *_ = text.splitlines()
    assert first == "tiny-gpt2, suite tiny@2, bundled data, 10 edits, sample 1"
    rome, ft, none = (
        next(line for line in text.splitlines() if line.startswith(name))
        for name in ("rome ", "ft ", "none ")
    )
    assert rome.split()[:3] == ["rome", "100.0*", "+90.0"]
    assert ft.split()[:3] == ["ft", "90.0~", "+80.0"]
    assert none.split()[:2] == ["none", "10.0"]
    assert "80.0* -10.0" in rome and "20.0 -70.0" in ft
    assert "72.2-100.0" in text  # Wilson's interval of ten of ten
    assert "* best, none aside; ~ tied: the paired interval to the best covers zero" in text
    assert "████" in rome


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40, 24])
def test_no_number_is_cut_in_a_narrow_terminal(width: int, three: list[Run]) -> None:
    text = shown(overview(compared(three)), width)
    assert max(map(len, text.splitlines())) <= width
    words = set(text.split())
    assert {"100.0*", "90.0~", "72.2-100.0", "rome"} <= words
    assert "kept" in words and ("exact" in words)


def test_a_hundred_columns_hold_the_default_table(make_run: MakeRun) -> None:
    wide = {name: [1.0, 0.0] * 50 for name in ("es", "ps", "ns", "es_exact")}
    runs = [make_run(name, **wide, kept={"es_exact": [1.0, 0.0] * 50}) for name in ("none", "ab")]
    runs += [make_run("prune+memit", **wide)]
    text = shown(overview(compared(runs)), 100)
    assert text.count("editor") == 1
    assert "+0.0" in text


def test_what_differs_between_rows_gets_a_column(make_run: MakeRun) -> None:
    text = shown(overview(compared([make_run("a", sample=1), make_run("b", sample=2)])))
    assert "samples" in text.splitlines()[1] and "sample 1" not in text.splitlines()[0]
    text = shown(overview(compared([make_run("a", seed=1), make_run("b", seed=2)])))
    assert "seeds" in text.splitlines()[1]


def test_one_metric_in_depth(three: list[Run]) -> None:
    text = shown(in_depth(compared(three, "es")))
    heading, rome, ft, none = text.splitlines()[1:5]
    assert " ".join(heading.split()) == (
        "editor ES 95 % of to best 95 % pairs to none 95 % pairs ES curve"
    )
    assert rome.split()[:4] == ["rome", "100.0*", "72.2-100.0", "10"]
    assert re.fullmatch(r"-10\.0 -\d\d\.\d…\+0\.0 10", " ".join(ft.split()[4:7]))
    assert none.split()[4] == "-90.0"


def test_zsre_has_its_own_columns(make_run: MakeRun) -> None:
    scores = {name: [1.0, 0.5] for name in ("efficacy", "paraphrase", "specificity")}
    grid = overview(compared([make_run(**scores)]))
    assert grid.headings[:4] == ["efficacy", "paraphrase", "specificity", "S"]


def test_nothing_measured_is_a_dash(make_run: MakeRun) -> None:
    empty = make_run(
        changes={
            "summary__retention": {"es": {}},
            "summary__distance": {"w": {}},
            "curves__distance": {"w": {}},
            "curves__tasks": {},
            "summary__immediate": {},
        }
    )
    known = catalogue([empty])
    grid = overview(compare([empty], all_metrics(known), known["moved"], draws=100))
    by_heading = dict(zip(grid.headings, grid.rows[0], strict=False))
    assert by_heading["F1"].value == "-"
    assert "rome" in shown(grid)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_only_names_in_a_terminal(name: str, make_run: MakeRun) -> None:
    runs = hostile(name, make_run)
    text = shown(overview(compared(runs)), 400, force_terminal=True)
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
    if name.isprintable() and len(name) < 20 and name == name.strip():
        assert name in text
    assert max(map(len, text.splitlines())) <= 400


def hostile(name: str, make_run: MakeRun) -> list[Run]:
    """Return runs in which everything that has a name has this one."""
    changes = {"model__name": name, "suite__name": name}
    return [
        make_run(name, changes={**changes, "editor__hparams": {name: value}}, run=f"r{value}")
        for value in (1, 2)
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_only_names_in_markdown(name: str, make_run: MakeRun) -> None:
    text = as_markdown(overview(compared(hostile(name, make_run))))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
    assert len(columns) == 1
    assert "<" not in text and "://x" not in text and not re.search(r"(?<!\w)@", text)
    assert not re.search(r"(?<!\\)[`\[\]]", text)
    assert not {"\x1b", "\r"} & set(text)


def test_markdown_is_a_table(three: list[Run]) -> None:
    lines = as_markdown(overview(compared(three))).splitlines()
    assert lines[2].startswith("| editor | ES | PS | NS | S | kept exact | F1 | s/edit |")
    assert lines[4].startswith(r"| rome | **100.0**\* (72.2-100.0) +90.0 |")
    assert lines[5].startswith(r"| ft | 90.0\~ (")


def test_latex_sets_no_minus_where_there_is_no_number(make_run: MakeRun) -> None:
    runs = [make_run("a", es=[1.0, 0.0]), make_run("b", ps=[1.0, 0.0])]
    text = as_latex(overview(compared(runs, "es", "ps")))
    (line,) = [line for line in text.splitlines() if line.startswith("{}b")]
    assert line.startswith("{}b & -- & 50.0")


def test_latex_is_a_table_of_booktabs(three: list[Run]) -> None:
    lines = as_latex(overview(compared(three))).splitlines()
    assert r"\toprule" in lines and r"\bottomrule" in lines
    (rome,) = [line for line in lines if line.startswith("{}rome")]
    assert r"\textbf{100.0} {\scriptsize +90.0} {\scriptsize (72.2--100.0)}" in rome
    (ft,) = [line for line in lines if line.startswith("{}ft")]
    assert r"\underline{90.0}" in ft and "$-$70.0" in ft
    cells = {line.count("&") for line in lines if line.endswith(r"\\")}
    assert len(cells) == 1


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_only_names_in_latex(name: str, make_run: MakeRun) -> None:
    text = as_latex(overview(compared(hostile(name, make_run))))
    body = [line for line in text.splitlines() if not line.startswith("%")]
    assert [line.count(r"\\") for line in body].count(1) == 3
    stripped = re.sub(r"\\[&%$#_{}\\]|\\text\w+\{\}|\{(?:[-`?!]|'+)\}|\{\}", "", "\n".join(body))
    commands = set(re.findall(r"\\(\w+)", stripped))
    assert commands <= {
        "begin",
        "end",
        "toprule",
        "midrule",
        "bottomrule",
        "textbf",
        "underline",
    } | {"scriptsize"}
    assert stripped.count("{") == stripped.count("}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_latex_compiles(three: list[Run], make_run: MakeRun, tmp_path: Path) -> None:
    tables = [as_latex(overview(compared(three))), as_latex(in_depth(compared(three, "es")))]
    tables += [as_latex(overview(compared(hostile(name, make_run)))) for name in HOSTILE]
    body = "\n\\par\n".join(tables)
    (tmp_path / "t.tex").write_text(
        f"\\documentclass{{article}}\n\\usepackage{{booktabs}}\n\\begin{{document}}\n{body}\n"
        "\\end{document}\n",
        encoding="utf-8",
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-2000:]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_has_a_line_for_each_editor_and_metric(three: list[Run]) -> None:
    text = as_csv(compared(three, "es", "ns"))
    rows = rows_of(text)
    assert text.splitlines()[0] == ",".join(CSV_COLUMNS)
    assert [(row["editor"], row["metric"]) for row in rows] == [
        (editor, metric) for editor in ("rome", "ft", "none") for metric in ("es", "ns")
    ]
    ft = rows[2]
    assert (ft["value"], ft["mark"], ft["to_best"], ft["to_best_pairs"]) == (
        "0.9",
        "tied",
        "-0.1",
        "10",
    )
    assert (rows[0]["to_best"], rows[0]["to_none"]) == ("", "0.9")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_cell_of_csv_is_a_formula(name: str, make_run: MakeRun) -> None:
    rows = rows_of(as_csv(compared(hostile(name, make_run))))
    for row in rows:
        for column in ("editor", "hparams", "run", "samples", "metric"):
            assert not row[column].lstrip().startswith(("=", "+", "-", "@", "\t", "\r"))
            assert row[column].isprintable()


def test_json_has_all_numbers(three: list[Run]) -> None:
    found = json.loads(as_json(compared(three, "es", "kept_es_exact", "memory", seed=3)))
    assert set(found) == {
        *("format_version", "suite", "model", "data", "edits", "bootstrap", "metrics", "curve"),
        *("rows", "notes"),
    }
    assert found["bootstrap"] == {"draws": 200, "seed": 3, "level": 0.95}
    assert found["metrics"][2] == {"name": "memory", "better": "lower", "unit": "GiB"}
    assert [row["editor"] for row in found["rows"]] == ["rome", "ft", "none"]
    ft = found["rows"][1]
    assert set(ft) == {"editor", "differing_hparams", "hparams", "runs", "metrics", "curve"}
    assert ft["runs"] == [{"name": "ft-1-0.json", "sample": 1, "seed": 0, "edits": 10}]
    es = ft["metrics"]["es"]
    assert set(es) == {
        *("value", "low", "high", "count", "mark", "open_ended", "to_best", "to_none"),
    }
    assert es["to_best"]["value"] == -0.1 and es["to_best"]["pairs"] == 10
    assert es["to_none"]["low"] < es["to_none"]["value"] < es["to_none"]["high"]
    assert found["rows"][0]["metrics"]["es"]["to_best"] is None


def test_json_says_the_same_every_time(three: list[Run]) -> None:
    texts = {as_json(compared(runs)) for runs in (three, three[::-1])}
    assert len(texts) == 1


def test_collapse_is_open_ended_where_there_was_none(make_run: MakeRun) -> None:
    runs = [make_run("mend", collapse=3), make_run("rome")]
    grid = overview(compared(runs, "collapse"))
    assert [row[0].value for row in grid.rows] == [">4", "2"]


def test_small_curves_have_one_scale(make_run: MakeRun) -> None:
    runs = [make_run("a", es=[1.0] * 10), make_run("b", es=[0.5] * 10)]
    grid = overview(compared(runs))
    assert [row[-1].value for row in grid.rows] == ["█" * 10, "▅" * 10]
