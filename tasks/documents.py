"""What the functions that build a task's documents share: from metadata to records.

The metadata comes from the runner, from `--metadata`, or from `--model_args`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .edits import STREAMS, load_stream
from .errors import OtherStream, unknown_name
from .requests import EditCase
from .sources import Source, data_folder


def source_from(data_source: str | None = None, data_dir: str | None = None, **_: Any) -> Source:
    """Return the source of data that the metadata names.

    Under plain lm_eval nothing else may say where data is, so the environment counts.
    """
    folder = data_folder(data_source, Path(data_dir) if data_dir else None)
    return Source.choose(data_source, folder)


def cases_from(
    family: str,
    *,
    edits: str | None = None,
    sample: int = 1,
    num_edits: int | None = None,
    **metadata: Any,
) -> tuple[EditCase, ...]:
    """Return the edits that the metadata chooses, in their order.

    Args:
        family: Whose edits the task asks about; the stream of that name if none is named.
        edits: Edit stream.
        sample: Which of the paper's orders.
        num_edits: How many; all if none is given.
        metadata: Where the data is; everything else is left alone.

    Raises:
        OtherStream: the named stream belongs to another family.
        InputError: data is missing or malformed.
    """
    name = edits or family
    if name not in STREAMS:
        raise unknown_name("edit stream", name, STREAMS)
    if STREAMS[name].family != family:
        raise OtherStream(f"asks about {family} edits, and the edits are those of {name}")
    cases = load_stream(source_from(**metadata), name, sample=int(sample)).cases
    return cases[: int(num_edits)] if num_edits else cases
