"""Every file of the corpus: one line that says where and what, status 2, nothing left behind."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from robustness.broken import RECORD, SUITE, Broken, encoded
from robustness.broken_archives import BROKEN_ARCHIVES
from robustness.broken_data import BROKEN_DATA, GLUE_SUITE
from robustness.broken_settings import BROKEN_SETTINGS

from command import seqedit

CORPUS = [*BROKEN_DATA, *BROKEN_SETTINGS, *BROKEN_ARCHIVES]
BASE = "run --quiet --model {tiny} --suite {suite}"
SMALL = "--hparams mom2_n_tokens=200 --hparams context_template_length_params=[[4,1]]"


@pytest.fixture(scope="module")
def words(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What stands in the braces of a command."""
    folder = tmp_path_factory.mktemp("suites")
    texts = {
        "suite": SUITE,
        "glue_suite": GLUE_SUITE,
        "heldout_suite": SUITE.replace("{retention: 2}", "{heldout_perplexity: 2}"),
    }
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    paths = {name: str(folder / f"{name}.yaml") for name in texts}
    base = BASE.format(tiny=tiny_folder, **paths)
    return {
        **paths,
        "tiny": str(tiny_folder),
        "run": f"{base} --editor none",
        "rome": f"{base} --editor rome {SMALL}",
        "mend": f"{base} --editor mend",
    }


def left(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*")}


def test_there_are_enough_of_them() -> None:
    names = [each.name for each in CORPUS]
    assert len(names) == len(set(names)) >= 60


@pytest.mark.parametrize("broken", CORPUS, ids=lambda broken: broken.name)
def test_broken_file(broken: Broken, words: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "given"
    path = folder / broken.file
    path.parent.mkdir(parents=True)
    path.write_bytes(broken.content)
    arguments = shlex.split(broken.command.format(path=path, folder=folder, **words))
    if "heldout_suite" in broken.command or "glue_suite" in broken.command:
        (folder / "counterfact.jsonl").write_bytes(encoded(RECORD))
    before = left(folder, Path.cwd())
    done = seqedit(*arguments)
    assert done.code == 2, done
    assert done.err.startswith("error: ")
    assert done.err.endswith("\n")
    assert len(done.err.splitlines()) == 1, done.err
    assert len(done.err) < 1000, "one line, not a page"
    assert done.err.isprintable() or done.err[:-1].isprintable(), repr(done.err)
    assert (broken.names or path.name) in done.err, done.err
    assert re.search(broken.says, done.err), done.err
    assert left(folder, Path.cwd()) == before


@pytest.mark.parametrize("file", ["counterfact.jsonl", "counterfact.json", "my.yaml", "r.json"])
def test_a_file_that_must_not_be_read(
    file: str, words: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the tests may be allowed to read everything."""
    path = tmp_path / file
    path.write_bytes(b"{}")
    opened = Path.open

    def refuse(self: Path, *args: Any, **options: Any) -> Any:
        if self.name == file:
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **options)

    command = {".yaml": "{run} --suite {path}", "r.json": "compare {path}"}
    chosen = command.get(path.suffix) or command.get(file) or "{run} --data-dir {folder}"
    monkeypatch.setattr(Path, "open", refuse)
    done = seqedit(*shlex.split(chosen.format(path=path, folder=tmp_path, **words)))
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert f"{path}: cannot be read: Permission denied" in done.err


@pytest.mark.parametrize("file", ["counterfact.jsonl", "counterfact.json"])
def test_a_byte_order_mark_and_line_ends_of_elsewhere(
    file: str, words: dict[str, str], tmp_path: Path
) -> None:
    records = [RECORD, {**RECORD, "case_id": 1}]
    lines = file.endswith("jsonl")
    text = "\r\n".join(map(json.dumps, records)) if lines else json.dumps(records, indent=1)
    (tmp_path / file).write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    done = seqedit(*shlex.split(words["run"]), "--data-dir", tmp_path, "--output", tmp_path / "run")
    assert done.code == 0, done.err
