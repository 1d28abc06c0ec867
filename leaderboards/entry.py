"""An entry of the leaderboard: a result, edit by edit, with who made it and how to repeat it.

Entries lie in `leaderboards/entries/<suite>@<version>/<model>@<revision>/<editor>/<run>.json`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from .canonical import canonical
from .results import Count, Positive, Record, Result, read_record

ENTRY_VERSION = 1
MAX_BYTES = 8 << 20
_SET = ("result", "editor", "hparams")
"""What an edit is made again with: rounded, other numbers would come out."""
ENTRIES = Path(__file__).parent / "entries"

MOST_LETTERS = 300
Text = Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]
Link = Annotated[str, Field(pattern=r"^https://[!-~]+$", max_length=300)]


class Card(Record):
    """What an editor is: of ours from their own description, of others from their card, a YAML."""

    name: Text
    summary: Text
    paper: Text
    """Where it was published; "-" where it was not."""
    code: Link | None
    """Where its code is; null for editors of this project."""
    licence: Text | None
    """Of that code."""
    kind: Literal["weights", "hooks", "context"]
    needs: list[Text]


class Submission(Record):
    """Who put it here."""

    team: Text
    paper: Link | None
    """What to cite for these numbers."""
    card: Card


class Followed(Record):
    """Every earlier edit asked again, at the end of the run."""

    at: Count
    """Edits done by then."""
    values: list[float | None]
    """One an edit, in order."""


class Series(Record):
    """Numbers of single edits: what intervals and paired comparisons are computed from."""

    case_ids: list[int]
    """Facts in the order of the edits."""
    immediate: dict[str, list[float | None]]
    """Metrics right after each edit; null where it has none or it is not finite."""
    not_finite: dict[str, list[Positive]] = Field(default_factory=dict)
    """Edits after which a metric was not finite, where there are any: in curves that is a 0."""
    retained: dict[str, Followed]
    """Metrics of all edits at the last measurement of each."""


class Collapse(Record):
    """What `seqedit-bench analyze` finds, with its default thresholds."""

    type: Literal["none", "gradual", "catastrophic"]
    edit: Positive | None
    """The edit that broke the model."""


class Entry(Record):
    """A result on the leaderboard."""

    entry_version: Literal[1] = ENTRY_VERSION
    run: Text
    """Name of the run, unique among all: the file's."""
    submission: Submission
    result: Result
    series: Series
    collapse: Collapse

    @property
    def place(self) -> str:
        """Where this lies below the folder of entries, as a path with forward slashes."""
        result = self.result
        suite = f"{slug(result.suite.name)}@{result.suite.version}"
        return f"{suite}/{model_slug(result)}/{slug(result.editor.name)}/{self.run}.json"

    def to_json(self) -> str:
        """Return the one text that an entry of this content has."""
        return canonical(self.model_dump(mode="json"), exact=_SET)


def slug(name: str) -> str:
    """Return a name as a folder can have it on any system.

    Example:
        >>> slug("EleutherAI/gpt-j-6b"), slug("rect+memit")
        ('EleutherAI__gpt-j-6b', 'rect+memit')
    """
    return re.sub(r"[^A-Za-z0-9._+-]", "-", name.replace("/", "__")).strip(".")[:100] or "-"


def model_slug(result: Result) -> str:
    """Return model and revision; where there is no revision, the beginning of the weights' hash."""
    revision = result.model.revision or result.model.weights_sha256
    return f"{slug(result.model.name)}@{slug(revision[:12])}"


def read_entry(path: Path) -> Entry:
    """Read an entry.

    Raises:
        ResultError: it is missing, too large, not JSON, or does not fit the schema.
    """
    return read_record(path, Entry, "entry", {"entry_version": ENTRY_VERSION}, MAX_BYTES)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of an entry; `entry.schema.json` beside this file is its copy."""
    return Entry.model_json_schema()


def write_schema() -> None:
    """Write `entry.schema.json` again, after a change of the record."""
    path = Path(__file__).with_name("entry.schema.json")
    path.write_text(json.dumps(json_schema(), indent=2) + "\n", encoding="utf-8")
