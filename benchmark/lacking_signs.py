"""Output in encodings that lack some signs: written otherwise, for nothing shall be lost by it."""

from __future__ import annotations

import codecs
import io
import sys

from ..leaderboards.sparkline import LEVELS

# One for one where it can be, so that columns of tables stand below each other.
_ASCII = {"‖": "|", "Δ": "d", "…": "~", "≥": ">=", "≤": "<="}
_ASCII |= {level: str(height) for height, level in enumerate(LEVELS, start=1)}
_NAME = "seqedit_bench.lacking_signs"


def write_otherwise() -> None:
    """Let the standard output take what its encoding lacks, as Python's standard error does.

    Where somebody has said what shall happen (`PYTHONIOENCODING=latin-1:replace`), that holds.
    """
    codecs.register_error(_NAME, _otherwise)
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
        stream.reconfigure(errors=_NAME)


def _otherwise(error: UnicodeError) -> tuple[str, int]:
    r"""Return what stands for signs that cannot be written: our own in ASCII, others escaped.

    Example:
        >>> codecs.register_error("example", _otherwise)
        >>> "median ‖ΔW‖ of é, Ł".encode("latin-1", "example")
        b'median |dW| of \xe9, \\u0141'
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    written = (
        _ASCII.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lacking
    )
    return "".join(written), error.end
