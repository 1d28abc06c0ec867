"""How to cite what a report or a table shows."""

PAPER = """\
@inproceedings{gupta2024model,
  title     = {Model Editing at Scale leads to Gradual and Catastrophic Forgetting},
  author    = {Gupta, Akshat and Rao, Anurag and Anumanchipalli, Gopala},
  booktitle = {Findings of the Association for Computational Linguistics: ACL 2024},
  pages     = {15202--15232},
  year      = {2024},
  note      = {arXiv:2401.07453},
}
"""

HARNESS = """\
@software{lm_evaluation_harness,
  title     = {The Language Model Evaluation Harness},
  author    = {Gao, Leo and Tow, Jonathan and Abbasi, Baber and Biderman, Stella and others},
  publisher = {EleutherAI},
  url       = {https://github.com/EleutherAI/lm-evaluation-harness},
}
"""


def software(note: str) -> str:
    """Return the entry of this package.

    Args:
        note: Which version, or where that is said.
    """
    return f"""\
@software{{seqedit_bench,
  title = {{seqedit-bench: a benchmark of sequential knowledge editing on lm-evaluation-harness}},
  year  = {{2026}},
  note  = {{{note}}},
}}
"""


BIBTEX = "\n".join(
    [PAPER, software('The version and the commit are listed under "How it was made"'), HARNESS]
)
