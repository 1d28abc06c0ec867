"""BibTeX: what cards say and no more, whatever is in them."""

from __future__ import annotations

import re

import pytest

from seqedit_bench.leaderboards.exports.bibtex import Credit, bibtex
from seqedit_bench.leaderboards.report.cite import BIBTEX


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{([^,]+),$", text, re.MULTILINE)


def test_the_suite_and_its_paper_are_always_cited() -> None:
    text = bibtex([], "0.1.0")
    assert keys(text) == ["gupta2024model", "seqedit_bench", "lm_evaluation_harness"]
    assert "Version 0.1.0" in text
    assert keys(BIBTEX) == keys(text)


def test_editors_are_cited_as_their_cards_say() -> None:
    text = bibtex(
        [
            Credit("rome", "Meng et al. 2022 (arXiv 2202.05262)"),
            Credit("ft", "as run by Meng et al. 2022 (arXiv 2202.05262)"),
            Credit(
                "memit_seq", "MEMIT (arXiv 2210.07229); a baseline of AlphaEdit (arXiv 2410.02355)"
            ),
            Credit("none", "-"),
        ],
        "0.1.0",
    )
    assert keys(text)[3:] == ["arxiv_2202_05262", "arxiv_2210_07229", "arxiv_2410_02355"]
    rome = text.split("@misc{arxiv_2202_05262")[1].split("@misc")[0]
    assert re.search(r"author +=\s\{Meng and others\}", rome)
    assert re.search(r"year +=\s\{2022\}", rome)
    assert "Cited for ft, rome" in rome
    assert "title" not in rome
    assert "author" not in text.split("@misc{arxiv_2210_07229")[1].split("@misc")[0]


def test_the_benchmarks_own_paper_is_not_cited_twice() -> None:
    assert len(keys(bibtex([Credit("x", "Gupta et al. 2024 (arXiv 2401.07453)")], "0"))) == 3


def test_other_papers_stand_as_they_are() -> None:
    text = bibtex([Credit("x", "https://x.org/p_1"), Credit("y", "My thesis & more")], "0")
    assert r"howpublished = {My thesis \& more}" in text
    assert "{https://x.org/p_1}" in text


@pytest.mark.parametrize(
    "paper", ["a } @misc{evil, title={x}", "{{{", "}}}", "x\n@misc{evil,\n}", "\\input{x}", '"%$']
)
def test_a_card_cannot_add_an_entry(paper: str) -> None:
    text = bibtex([Credit(paper, paper)], "0")
    assert len(keys(text)) == 4
    added = text.split("@misc{paper_1,")[1]
    unescaped = re.sub(r"\\[{}]", "", added)
    assert unescaped.count("}") == unescaped.count("{") + 1
    assert "@misc{" not in added
