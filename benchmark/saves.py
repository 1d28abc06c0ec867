"""Saves: all that the next edit depends on, in a folder that is whole or not there.

    state/
        000020-0003-0000/       20 edits, 3 checkpoints and no single edit were written down
            weights.safetensors     the edited matrices, bit for bit
            editor.safetensors      what the editor remembers
            config.json             a copy of the run's
            manifest.json           digests of these and of the journal up to here; random states
        000010-0002-0000/       the one before, for the case that the last one is spoilt

A save is written under another name, brought to the disk, and renamed. Nothing is pickled.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..tasks.errors import InputError
from .storage import (
    Damaged,
    Digest,
    digest_of,
    free_name,
    read_sealed,
    storing,
    sync,
    write_sealed,
)

STATE = "state"
WEIGHTS = "weights.safetensors"
EDITOR = "editor.safetensors"
CONFIG = "config.json"
MANIFEST = "manifest.json"
FILES = (WEIGHTS, EDITOR, CONFIG)
KEPT = 2
"""Saves that are kept; for a moment there is one more."""
_WRITING = ".writing"
_NAME = re.compile(r"\d{6,}-\d{4,}-\d{4,}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Position(_Part):
    """How far a run has come, in lines of its journal."""

    edits: int = Field(ge=0)
    checkpoints: int = Field(ge=0)
    single_edits: int = Field(ge=0)

    @property
    def name(self) -> str:
        """A name that sorts as runs go on."""
        return f"{self.edits:06d}-{self.checkpoints:04d}-{self.single_edits:04d}"


class Counters(_Part):
    """What a result says of its cost, so far."""

    seconds_edit: float = 0.0
    seconds_evaluate: float = 0.0
    seconds_prepare: float = 0.0
    sequence: tuple[float, float] | None = None
    """Seconds of editing and of evaluation of the whole sequence, once it is through."""
    tokens: int = 0
    peak_memory: int = 0


class Manifest(_Part):
    """What a save is."""

    version: Literal[1] = 1
    position: Position
    files: dict[str, Digest]
    """Of the save's other files."""
    journal: dict[str, Digest]
    """Of the journal's files, up to this position."""
    random: dict[str, Any]
    """States of the random generators."""
    counters: Counters
    resumed: list[dict[str, Any]]
    """Where this run was taken up again before, and with what changes."""


class Loaded(NamedTuple):
    """The tensors of a save, on the CPU."""

    weights: dict[str, Tensor]
    editor: dict[str, Tensor]


class Save:
    """One save on disk; nothing in it is believed before `check`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def check(self) -> Manifest:
        """Return the manifest of a save that is whole.

        Raises:
            Damaged: a file is missing, has another length, or another digest; says which.
        """
        manifest = self.manifest()
        for name in FILES:
            wanted = manifest.files.get(name)
            found = digest_of(self.folder / name)
            if wanted is None or found != wanted:
                raise Damaged(f"{self._place(name)} {_how(self.folder / name, found, wanted)}")
        return manifest

    def manifest(self) -> Manifest:
        """Return the manifest, whether the rest is whole or not.

        Raises:
            Damaged: it is not what was written.
        """
        try:
            return Manifest.model_validate(read_sealed(self.folder / MANIFEST))
        except (Damaged, ValidationError):
            path = self.folder / MANIFEST
            how = "is damaged" if path.is_file() else "is missing"
            raise Damaged(f"{self._place(MANIFEST)} {how}") from None

    def load(self) -> Loaded:
        """Read the tensors of a save that was checked."""
        try:
            return Loaded(*(_in_memory(load_file(self.folder / name)) for name in FILES[:2]))
        except (SafetensorError, OSError) as error:
            raise InputError(f"{self.folder} cannot be read: {error}") from None

    def config(self) -> str:
        """Return the copy of the run's `config.json`."""
        return (self.folder / CONFIG).read_text(encoding="utf-8")

    def set_aside(self, ending: str) -> Path:
        """Give the save a name under which nobody looks for it; return where it is."""
        with storing(str(self.folder)):
            return self.folder.rename(free_name(self.folder, ending))

    def _place(self, name: str) -> str:
        return f"{STATE}/{self.folder.name}/{name}"


def _how(path: Path, found: Digest, wanted: Digest | None) -> str:
    if wanted is None:
        return "is not in the manifest"
    if not path.is_file():
        return "is missing"
    if found.length != wanted.length:
        return f"has {found.length} bytes of {wanted.length}"
    return "is not what was written (sha256)"


class Saves:
    """The saves of a run.

    Args:
        run: The run directory.
    """

    def __init__(self, run: Path) -> None:
        self._run = run
        self.folder = run / STATE

    def newest_first(self) -> list[Save]:
        """Return what look like saves by their names."""
        if not self.folder.is_dir():
            return []
        names = [path.name for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]
        order = sorted(names, key=lambda name: [int(part) for part in name.split("-")])
        return [Save(self.folder / name) for name in reversed(order)]

    def write(
        self,
        position: Position,
        *,
        weights: Mapping[str, Tensor],
        editor: Mapping[str, Tensor],
        journal: Mapping[str, Digest],
        **manifest: Any,
    ) -> None:
        """Write a save, and remove those that are older than the last two.

        Args:
            position: How far the run has come.
            weights: The live edited matrices, by parameter name.
            editor: What the editor remembers.
            journal: Digests of the journal up to here; its files must be on the disk.
            manifest: The other fields of a `Manifest`.

        Raises:
            StorageError: it could not be written; all earlier saves are as they were.
        """
        place = self.folder / _WRITING
        with storing(f"{STATE}/{position.name} in {self._run}"):
            try:
                self.clean()
                place.mkdir(parents=True)
                _save_tensors(weights, place / WEIGHTS)
                _save_tensors(editor, place / EDITOR)
                shutil.copyfile(self._run / CONFIG, place / CONFIG)
                for name in FILES:
                    sync(place / name)
                files = {name: digest_of(place / name) for name in FILES}
                whole = Manifest(position=position, files=files, journal=dict(journal), **manifest)
                write_sealed(place / MANIFEST, whole.model_dump(mode="json"))
                self._put(place, self.folder / position.name)
            except OSError:
                with suppress(OSError):
                    self.clean()
                raise
        for save in self.newest_first()[KEPT:]:
            shutil.rmtree(save.folder, ignore_errors=True)

    def _put(self, place: Path, target: Path) -> None:
        """Rename a new save to its name; one of that name is of the same edits, made again."""
        if target.exists():
            target.rename(self.folder / f"{_WRITING}-old")
        place.rename(target)
        sync(self.folder)
        sync(self._run)
        shutil.rmtree(self.folder / f"{_WRITING}-old", ignore_errors=True)

    def clean(self) -> None:
        """Remove what a crash left of a save that was not finished."""
        for name in (_WRITING, f"{_WRITING}-old"):
            if (self.folder / name).exists():
                shutil.rmtree(self.folder / name)

    def remove(self) -> None:
        """Remove all saves: for a run that has ended."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _in_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors out of their file, to where tensors begin: some sums depend on alignment."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        save_file(dict(_plain(tensors)), path)
    except SafetensorError as error:  # an error of the system, as text
        raise OSError(str(error)) from error


def _plain(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors as the format wants them: on the CPU, in one piece, none sharing memory."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        memory = plain.untyped_storage().data_ptr()
        yield name, plain.clone() if memory in seen else plain
        seen.add(memory)


def save_bytes(*groups: Mapping[str, Tensor]) -> int:
    """Return about how many bytes a save of these tensors takes."""
    return sum(tensor.nbytes for group in groups for tensor in group.values()) + 100_000
