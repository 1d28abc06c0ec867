"""Where data comes from: the bundled files, a folder, or the network; never one for another.

Every file that is read is remembered with its sha256, so that a result can say what it measured.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Literal

from .errors import InputError
from .jsontext import parse_json

SourceName = Literal["bundled", "folder", "hub"]

_ROME = "https://rome.baulab.info/data/dsets"
_HUB = "https://huggingface.co/datasets"
_GLUE = f"{_HUB}/nyu-mll/glue/resolve/bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
_WIKITEXT = f"{_HUB}/Salesforce/wikitext/resolve/b08601e04326c79dfdd32d625aee71d232d685c3"
OFFICIAL_URLS = {
    "counterfact.json": f"{_ROME}/counterfact.json",
    "attribute_snippets.json": f"{_ROME}/attribute_snippets.json",
    "zsre_mend_eval.json": f"{_ROME}/zsre_mend_eval.json",
    "wikitext-2-raw.test.parquet": f"{_WIKITEXT}/wikitext-2-raw-v1/test-00000-of-00001.parquet",
    **{
        f"{task}_{split}.parquet": f"{_GLUE}/{task}/{split}-00000-of-00001.parquet"
        for task in ("sst2", "mrpc", "cola", "rte")
        for split in ("train", "validation")
    },
}
"""Files their authors publish, data sets of the hub at a pinned revision."""

DATA_VARIABLE = "SEQEDIT_DATA_DIR"


def data_folder(source: str | None, given: Path | None) -> Path | None:
    """Return the data folder: the one that is given, else the one that the environment names.

    Args:
        source: The source of data; the environment does not count where it is no folder.
        given: The folder, where somebody says which.
    """
    there = os.environ.get(DATA_VARIABLE) if source in (None, "folder") else None
    return given or (Path(there) if there else None)


_RECORDERS: list[dict[str, str]] = []


@contextmanager
def recording() -> Iterator[dict[str, str]]:
    """Collect the digest of every file that any source reads meanwhile, by name."""
    digests: dict[str, str] = {}
    _RECORDERS.append(digests)
    try:
        yield digests
    finally:
        _RECORDERS.remove(digests)


@dataclass(frozen=True)
class Source:
    """One place that data is read from."""

    name: SourceName
    """`bundled`, `folder` or `hub`."""
    folder: Path | None = None
    """The data folder, for `folder`."""
    urls: dict[str, str] = field(default_factory=lambda: dict(OFFICIAL_URLS))
    """Address of each published file, for `hub`."""

    @classmethod
    def choose(cls, name: str | None, data_dir: Path | None) -> Source:
        """Resolve what the user asked for: a data folder, else the named source, else bundled.

        Raises:
            InputError: the folder is missing, or contradicts the name.
        """
        if name is None:
            name = "folder" if data_dir else "bundled"
        if name not in ("bundled", "folder", "hub"):
            raise InputError(f"unknown data source {name!r} (known: bundled, folder, hub)")
        if (name == "folder") != (data_dir is not None):
            raise InputError(
                f"data source {name!r} and --data-dir {data_dir}: a folder needs --data-dir, "
                "and only a folder takes it"
            )
        if data_dir is not None and not data_dir.is_dir():
            raise InputError(f"data folder {data_dir} is not there: check --data-dir")
        return cls(name, data_dir)

    def find(self, *names: str) -> Path | None:
        """Return the first of these files that the source has, or None.

        A folder may hold a file at its top or in a sub-folder of the official layout.
        """
        if self.name == "bundled":
            root = Path(str(files("seqedit_bench.tasks"))) / "data"
            candidates = [root / name for name in names]
        elif self.folder is not None:
            folder = self.folder
            places = [[folder / name, *folder.glob(f"*/{name}")] for name in names]
            candidates = [path for each in places for path in each]
        else:
            return next((self._download(name) for name in names if name in self.urls), None)
        found = next((path for path in candidates if path.is_file()), None)
        if found is not None:
            _record(found.name, found)
        return found

    def require(self, *names: str) -> Path:
        """Return the first of these files.

        Raises:
            InputError: the source has none of them; says where each is to be had.
        """
        found = self.find(*names)
        if found is None:
            place = {"bundled": "the bundled data", "hub": "the published files"}.get(self.name)
            raise InputError(
                f"{' or '.join(names)} is not in {place or self.folder}: "
                "name a folder that has it with --data-dir"
            )
        return found

    def _download(self, name: str) -> Path:
        from datasets import DownloadManager

        url = self.urls[name]
        try:
            path = Path(str(DownloadManager().download(url)))
        except Exception as error:
            raise InputError(
                f"cannot download {url} ({type(error).__name__}): "
                "fetch the file yourself and name its folder with --data-dir"
            ) from error
        _record(name, path)
        return path


def _record(name: str, path: Path) -> None:
    for digests in _RECORDERS:
        if name not in digests:
            try:
                digests[name] = file_sha256(path)
            except OSError as error:
                raise _unreadable(path, error) from None


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def read_text(path: Path) -> str:
    """Return a text file's content, without a byte-order mark.

    Raises:
        InputError: it cannot be read, or is not UTF-8; says at which byte of which line.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        where = f"at byte {error.start}, in line {line}"
        raise InputError(f"{path}: not readable as UTF-8 text: {error.reason} {where}") from None
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be read: {error.strerror or error}")


def read_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (where, record) from a `.jsonl`, `.json` (a list) or `.parquet` file.

    Raises:
        InputError: the file is not what its name says; says at which line or record.
    """
    if path.suffix == ".parquet":
        yield from _read_parquet(path)
        return
    text = read_text(path)
    if path.suffix == ".jsonl":
        # Not splitlines, which also breaks at separators that JSON allows inside a text.
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                yield f"{path}:{number}", _decode(line, path, line=number)
        return
    records = _decode(text, path)
    if not isinstance(records, list):
        raise InputError(f"{path}: expected a list of records, found {type(records).__name__}")
    for number, record in enumerate(records):
        yield f"{path}: record {number}", record


def _decode(text: str, path: Path, line: int | None = None) -> Any:
    """Return what a JSON text says; `line` is where it stands, if it is one of many."""
    try:
        return parse_json(text)
    except JSONDecodeError as error:
        found = f"{error.msg} (column {error.colno})"
        raise InputError(f"{path}:{line or error.lineno}: not JSON: {found}") from None
    except ValueError as error:
        raise InputError(f"{path}{f':{line}' if line else ''}: not JSON: {error}") from None


def _read_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    from pyarrow import parquet

    try:
        records = parquet.read_table(path).to_pylist()
    except Exception as error:  # of Arrow's own, and of Python where values are none of its
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: not a parquet file that can be read: {reason}") from None
    for number, record in enumerate(records):
        yield f"{path}: record {number}", record
