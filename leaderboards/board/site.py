"""The board as a folder of pages that any static host can serve and any browser opens from disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from .._files import write_whole
from .._jsontext import parse_json
from ..canonical import canonical
from ..results import ResultError
from .as_json import board_json
from .filed import Filed
from .pages import Pages
from .rows import Row
from .standings import Standing

MANIFEST = "files.json"
_COPIES = "entries"


def write_site(standings: Sequence[Standing], folder: Path, files: str | None = None) -> Path:
    """Write the pages, and remove those that an earlier call wrote and nothing belongs to any more.

    Args:
        standings: What to show.
        folder: Where to; made if it is not there.
        files: Where the entries are already, relative to `folder` or an https address; None copies
            them into it.

    Returns:
        The page to open.

    Raises:
        ResultError: something cannot be written, or `files` is no such place.
    """
    prefix = _COPIES if files is None else _address(files)
    pages = Pages(standings, prefix)
    made = {
        "index.html": pages.index(),
        "compare.html": pages.compare(),
        **{f"rows/{row.page}": pages.row(row) for row in _rows(standings)},
        "board.json": board_json(standings),
    }
    written = {name: text.encode() for name, text in made.items()}
    entries = [run for row in _rows(standings) for run in row.runs] if files is None else []
    _remove_stale(folder, {*written, *(f"{_COPIES}/{run.place}" for run in entries)})
    hashes = dict(_write(folder, written, entries))
    write_whole(folder / MANIFEST, canonical({"files": hashes}))
    return folder / "index.html"


def _address(files: str) -> str:
    """Return where the entries are, as links begin with it.

    Raises:
        ResultError: it is neither a relative path nor an https address.
    """
    if re.fullmatch(r"https://[!-~]+", files):
        return files.rstrip("/")
    if not files or files.startswith("/") or ":" in files or "\\" in files:
        raise ResultError(f"--files {files}: not a relative path and not an https address")
    return quote(files.rstrip("/"))


def _rows(standings: Iterable[Standing]) -> Iterator[Row]:
    for standing in standings:
        for ranked in standing.ranked:
            yield ranked.row


def _write(
    folder: Path, pages: dict[str, bytes], entries: Sequence[Filed]
) -> Iterator[tuple[str, str]]:
    """Write pages and copies of entries; yield each name and its digest."""
    for name, content in pages.items():
        _place(folder / name, content)
        yield name, hashlib.sha256(content).hexdigest()
    for run in entries:
        name = f"{_COPIES}/{run.place}"
        target = folder / name
        # Where the entries lie in the site already they are the user's, and never stale.
        if not (target.exists() and target.samefile(run.path)):
            _place(target, _unchanged(run))
            yield name, run.sha256


def _unchanged(run: Filed) -> bytes:
    content = run.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != run.sha256:
        raise ResultError(f"{run.path}: has changed while the board was made; run it again")
    return content


def _place(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"{path.parent}: cannot be made: {error.strerror}") from None
    write_whole(path, content)


def _remove_stale(folder: Path, kept: set[str]) -> None:
    """Remove files that the last call wrote and this one does not, if nobody has changed them."""
    try:
        listed = parse_json((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        stale = {str(name): str(sha256) for name, sha256 in listed.items() if name not in kept}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    for name, sha256 in stale.items():
        inside = PurePosixPath(name)
        path = folder / inside
        if inside.is_absolute() or ".." in inside.parts or path.resolve() != _here(folder, inside):
            continue
        with suppress(OSError):
            if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
                path.unlink()


def _here(folder: Path, inside: PurePosixPath) -> Path:
    """Return where a file is if no link leads elsewhere."""
    return folder.resolve() / inside
