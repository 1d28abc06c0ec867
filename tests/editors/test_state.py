"""What editors remember goes through a file, whatever is in it, and is as large as they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from seqedit_bench.editors import Editor, EditRequest
from seqedit_bench.editors._facts import Facts
from seqedit_bench.editors._locate import decode_strings, encode_strings


@pytest.mark.parametrize(
    "texts", [[], [""], ["", ""], ["a\0b", "c"], ["é e\u0301 שלום 👩‍👩‍👧", "\ud800"], ['"\\n\n']]
)
def test_strings_of_any_kind(texts: list[str], tmp_path: Path) -> None:
    save_file(encode_strings("texts", texts), tmp_path / "state")
    assert decode_strings("texts", load_file(tmp_path / "state")) == texts


def test_facts_with_strange_characters() -> None:
    facts, again = Facts(), Facts()
    for number, subject in enumerate(["a\tb", "👩‍👩‍👧", "שלום"]):
        facts.add(
            EditRequest.create(
                case_id=number, prompt="{} is", subject=subject, target_new="x\ny", target_true="z"
            )
        )
    again.load_state_dict(facts.state_dict())
    assert list(again) == list(facts)


GROWING = ["alphaedit", "encore", "grace", "icl_oracle", "in_context", "lora", "memit_seq"]
STEADY = ["memit", "rome", "ultraedit", "rect+memit_seq"]


@pytest.mark.parametrize("name", [*GROWING, *STEADY])
def test_the_size_of_a_memory_is_known_beforehand(
    name: str,
    make_editor: Callable[..., Editor],
    make_model: Callable[..., PreTrainedModel],
    requests: list[EditRequest],
) -> None:
    options: dict[str, Any] = {"layers": [2], "num_steps": 2} if name == "grace" else {}
    editor = make_editor(name, make_model("gpt2"), **options)
    before, said = size(editor), editor.state_bytes(len(requests))
    for request in requests:
        editor.edit([request])
    assert size(editor) <= said
    if name in GROWING:
        assert before < size(editor)
    assert said < 2 * size(editor) + 10_000


def size(editor: Editor) -> int:
    return sum(each.nbytes for each in editor.state_dict().values())
