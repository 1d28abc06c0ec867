"""The report as a file: whole, self-contained, and with nothing in it that runs but our script."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from reported import FAST, HOSTILE, named
from seqedit_bench.leaderboards import ResultError
from seqedit_bench.leaderboards.analysis.journal import RunJournal
from seqedit_bench.leaderboards.report.page import report


class Page(HTMLParser):
    """The elements of a page, with their attributes and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        else:
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


@pytest.fixture(scope="module")
def page(runs: list[RunJournal]) -> Page:
    return Page(report(runs, FAST))


def test_what_it_says(page: Page) -> None:
    for text in (
        "What 160 edits by 3 editors do to tiny",
        "breaks the model with edit 80",
        "does not break it in 120 edits",
        "catastrophic collapse at edit 80",
        "the model broke here",
        "Properties (the paper's Table 3, by rules)",
        "@inproceedings{gupta2024model",
        "spike_factor",
        "by hand",
    ):
        assert text in page.text, text


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:,")), (tag, name, value)
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv"))
    assert policy is not None and policy.startswith("default-src 'none'")


def test_only_our_script_may_run(page: Page) -> None:
    data, script = page.scripts
    json.loads(data)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] for t, a in page.elements if a.get("http-equiv"))
    assert f"script-src 'sha256-{digest}'" in str(policy)
    assert not [name for _, a in page.elements for name in a if name.startswith("on")]


def test_charts_are_there_without_the_script(page: Page) -> None:
    figures = [a for tag, a in page.elements if tag == "figure"]
    charts = [a["data-chart"] for a in figures if "data-chart" in a]
    assert charts == ["es", "ps", "ns", "retention", "downstream", "distance", "ages"]
    lines = [a["d"] for tag, a in page.elements if tag == "path" and "line" in str(a.get("class"))]
    assert all(lines)
    collapses = [a for tag, a in page.elements if a.get("class") == "collapse" and tag == "path"]
    assert len(collapses) == 6  # one run, in all charts along the edits


def test_phases_are_marked_where_there_is_one_run(runs: list[RunJournal], page: Page) -> None:
    def bands(shown: Page) -> set[str | None]:
        return {a.get("class") for tag, a in shown.elements if tag == "rect"}

    assert bands(Page(report(runs[:1], FAST))) == {"band intact", "band collapsed"}
    assert bands(page) == set()


def test_tables_have_every_run(page: Page) -> None:
    assert [tag for tag, _ in page.elements].count("table") >= 12
    for name in ("rome", "ft_c", "memit"):
        assert page.text.count(name) > 10


def test_strangers_texts_are_text(hostile: RunJournal) -> None:
    page = Page(report([hostile], FAST))
    assert len(page.scripts) == 2
    assert "img" not in {tag for tag, _ in page.elements}
    assert HOSTILE in page.text
    assert "\x1b" not in page.text and "\u202e" not in page.text
    label = json.loads(page.scripts[0])["charts"][0]["lines"][0]["label"]
    assert label == HOSTILE


def test_what_was_not_measured_is_left_out(runs: list[RunJournal]) -> None:
    bare = dataclasses.replace(runs[0], checkpoints=[], edits=runs[0].edits[:3])
    page = Page(report([bare], FAST))
    assert "facts were not asked again" in page.text
    charts = {a["data-chart"] for tag, a in page.elements if tag == "figure"}
    assert charts == {"distance"}


def test_runs_of_one_editor_are_told_apart(runs: list[RunJournal]) -> None:
    second = {"edits": "counterfact", "source": "folder", "sample": 2, "files_sha256": {}}
    other = named(runs[0], "rome", data=second, request={"sample": 2, "seed": 0, "hparams": []})
    page = Page(report([runs[0], other], FAST))
    assert "rome, sample 1" in page.text and "rome, sample 2" in page.text
    assert "What 160 edits by rome do to tiny" in page.text


def test_edits_of_many_runs_are_folded(runs: list[RunJournal], page: Page) -> None:
    def folded(shown: Page) -> list[bool]:
        blocks = re.split(r'<section id="', shown.source)
        edits = next(block for block in blocks if block.startswith("edits"))
        return [
            "open" in start
            for start, label in re.findall(r"<details([^>]*)><summary>(.*?)</summary>", edits)
            if label.endswith(" edits")
        ]

    assert folded(page) == []
    many = [*runs, named(runs[2], "lora"), named(runs[1], "emmet")]
    assert folded(Page(report(many, FAST))) == [True, False, False, False, False]


def test_runs_that_cannot_be_compared_are_refused(runs: list[RunJournal]) -> None:
    other = named(runs[0], "rome", suite={"name": "quick", "version": 1, "sha256": "1"})
    with pytest.raises(ResultError, match="different suite"):
        report([runs[1], other], FAST)


def test_the_same_runs_make_the_same_page(runs: list[RunJournal]) -> None:
    assert report(runs[:1], FAST) == report(runs[:1], FAST)


def test_fixed_prompts_before_and_after(runs: list[RunJournal]) -> None:
    checkpoints = [
        line.model_copy(
            update={
                "texts": {"generation": [{"prompt": "My city", "text": f"text at {line.edits}"}]}
            }
        )
        for line in runs[0].checkpoints
    ]
    page = Page(report([dataclasses.replace(runs[0], checkpoints=checkpoints)], FAST))
    # Around edit 80, which broke it; and from the start to the end.
    assert "text at 70" in page.text and "after 70 and after 80 edits" in page.text
    assert "text at 0" in page.text and "text at 160" in page.text
    assert re.search(r"unedited\s+text at 0", page.text)
