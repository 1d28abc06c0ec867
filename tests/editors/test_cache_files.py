"""Files of the cache are whole, whoever else writes them, and what cannot be written is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from seqedit_bench.editors import Editor
from seqedit_bench.editors._cache_files import replacing
from seqedit_bench.editors._mend_checkpoint import Header, save_checkpoint
from seqedit_bench.tasks.errors import InputError


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    with replacing(path) as first:
        first.write_text("first")
        with replacing(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_what_is_interrupted_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("new")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_network_that_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "mend").touch()
    header = Header(weights_sha256=None, matrices=[], rank=1)
    with pytest.raises(InputError, match=r"cannot write .*: make room, or choose another"):
        save_checkpoint(tmp_path / "mend" / "a.safetensors", {"a": torch.ones(1)}, header)


def test_an_anchor_that_cannot_be_kept(
    make_model: Callable[..., PreTrainedModel], make_editor: Callable[..., Editor], cache_dir: Path
) -> None:
    cache_dir.mkdir()
    (cache_dir / "anchors").touch()
    with pytest.raises(InputError, match=r"cannot write .*: make room, or choose another"):
        make_editor("nas+rome", make_model("gpt2"), nas={"pilots": 1})
