"""Figures of runs: their curves as PNG and SVG, the same bytes for the same results."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._axes import Room, draw, line_style
from ._files import write_whole
from ._labels import TEXT_POINTS, fit, width
from ._one_run import panels_of_run
from ._overlay import panels_of_runs
from ._panels import Panel, style
from .comparable import ensure_comparable
from .results import Result, ResultError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

# Inches. Two columns are about as wide as the text of a page, so that letters keep their size.
COLUMNS = 2
LEFT, WIDTH, GUTTER = 0.66, 1.75, 1.5
ABOVE, HEIGHT, BELOW = 0.42, 1.6, 0.42
HEAD, LEGEND_ROW = 0.24, 0.17
TITLE_POINTS = 9
_ENDINGS = {"png": {}, "svg": {"Date": None}}
_SETTINGS: dict[RcKeyType, Any] = {
    "font.size": TEXT_POINTS,
    "axes.titlesize": TEXT_POINTS,
    "axes.labelsize": TEXT_POINTS,
    "xtick.labelsize": TEXT_POINTS,
    "ytick.labelsize": TEXT_POINTS,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    # Names may hold dollar signs.
    "text.parse_math": False,
    # Text stays text, and identifiers do not depend on chance.
    "svg.fonttype": "none",
    "svg.hashsalt": "seqedit-bench",
    "savefig.dpi": 200,
}


def plot_run(result: Result, folder: Path) -> list[Path]:
    """Draw the curves of a run as `curves.png` and `curves.svg`.

    Args:
        result: The run.
        folder: Where to; files of these names are replaced.

    Returns:
        The two files.

    Raises:
        ResultError: the files cannot be written.
    """
    with drawing():
        return write_figure(run_figure(result), folder / "curves")


def plot_runs(results: Sequence[Result], labels: Sequence[str], stem: Path) -> list[Path]:
    """Draw several runs over each other, as `<stem>.png` and `<stem>.svg`.

    Args:
        results: The runs.
        labels: What to call them, one each; the same label twice is numbered.
        stem: Where to; an ending of `.png` or `.svg` is dropped.

    Returns:
        The two files.

    Raises:
        ResultError: the runs differ in suite, model or data; or the files cannot be written.
    """
    ensure_comparable(results)
    if stem.suffix in {f".{ending}" for ending in _ENDINGS}:
        stem = stem.with_suffix("")
    if not stem.name:
        raise ResultError(f"{stem}: not the name of a figure")
    with drawing():
        return write_figure(overlay_figure(results, labels), stem)


def run_figure(result: Result) -> Figure:
    """Lay out the figure of one run, within `drawing`."""
    title = (
        f"{result.editor.name} on {result.model.name}: {_edits(result)}, "
        f"{result.suite.versioned}, {result.data.source} data"
    )
    return _figure(title, panels_of_run(result), result.protocol.num_edits, [])


def overlay_figure(results: Sequence[Result], labels: Sequence[str]) -> Figure:
    """Lay out the figure of several runs, within `drawing`."""
    first = results[0]
    title = f"{first.model.name}: {first.suite.versioned}, {first.data.source} data"
    runs = list(zip(_different(labels), results, strict=True))
    longest = max(result.protocol.num_edits for result in results)
    return _figure(title, panels_of_runs(runs), longest, [label for label, _ in runs])


def _edits(result: Result) -> str:
    return f"{result.num_edits} edit{'s' * (result.protocol.num_edits > 1)}"


def _different(labels: Sequence[str]) -> list[str]:
    """Number what would be the same label.

    Example:
        >>> _different(["rome", "memit", "rome"])
        ['rome', 'memit', 'rome (2)']
    """
    return [
        label if label not in labels[:at] else f"{label} ({labels[: at + 1].count(label)})"
        for at, label in enumerate(labels)
    ]


def _figure(title: str, panels: Sequence[Panel], num_edits: int, legend: Sequence[str]) -> Figure:
    """Put panels into a grid, all of the same size, under a title and a legend of runs."""
    from matplotlib.figure import Figure

    across = COLUMNS * (LEFT + WIDTH + GUTTER)
    legend = [fit(label, across - LEFT - 0.5) for label in legend]
    columns = max(1, int((across - 0.2) / (max(map(width, legend), default=0) + 0.55)))
    head = HEAD + LEGEND_ROW * math.ceil(len(legend) / columns)
    down = head + (ABOVE + HEIGHT + BELOW) * max(1, math.ceil(len(panels) / COLUMNS))
    figure = Figure(figsize=(across, down))
    title = fit(title, across - 0.2, points=TITLE_POINTS, bold=True)
    figure.text(0.1 / across, 1 - 0.06 / down, title, size=TITLE_POINTS, weight="bold", va="top")
    _legend(figure, legend, columns)
    for at, panel in enumerate(panels):
        row, column = divmod(at, COLUMNS)
        left = LEFT + column * (LEFT + WIDTH + GUTTER)
        bottom = down - head - ABOVE - HEIGHT - row * (ABOVE + HEIGHT + BELOW)
        place = (left / across, bottom / down, WIDTH / across, HEIGHT / down)
        draw(figure.add_axes(place), panel, num_edits, Room(LEFT, WIDTH, HEIGHT, GUTTER))
    if not panels:
        figure.text(0.5, 0.5, "nothing to draw was measured", ha="center")
    return figure


def _legend(figure: Figure, labels: Sequence[str], columns: int) -> None:
    """Write which run has which style, in rows under the title."""
    from matplotlib.lines import Line2D

    across, down = figure.get_size_inches()
    for at, label in enumerate(labels):
        row, column = divmod(at, columns)
        left = 0.1 + column * (across - 0.2) / columns
        height = 1 - (HEAD + (row + 0.3) * LEGEND_ROW) / down
        ends = [left / across, (left + 0.2) / across, (left + 0.4) / across]
        how = {**line_style(style(at)), "markevery": [1]}
        figure.add_artist(Line2D(ends, [height] * 3, transform=figure.transFigure, **how))
        figure.text((left + 0.47) / across, height, label, va="center")


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with our settings, not the user's, and leave no trace of them."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A name in a script that the font lacks becomes boxes in the PNG; in the SVG it is text.
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def write_figure(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and SVG; a crash leaves the old files or the new ones.

    Raises:
        ResultError: they cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    paths = []
    for ending, metadata in _ENDINGS.items():
        path = stem.with_name(f"{stem.name}.{ending}")
        drawn = io.BytesIO()
        figure.savefig(drawn, format=ending, metadata=metadata)
        paths.append(write_whole(path, drawn.getvalue()))
    return paths
