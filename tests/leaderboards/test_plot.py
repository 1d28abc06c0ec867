"""Figures: what is shown where, that it can be read, that files are whole and repeatable."""

from __future__ import annotations

import copy
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from records import changed
from seqedit_bench.leaderboards import Result, ResultError
from seqedit_bench.leaderboards._labels import LINE_POINTS, fit, spread, thinned, width
from seqedit_bench.leaderboards._one_run import panels_of_run, short_names
from seqedit_bench.leaderboards._overlay import panels_of_runs
from seqedit_bench.leaderboards._panels import COLOURS, Panel, style
from seqedit_bench.leaderboards.plot import (
    HEIGHT,
    TEXT_POINTS,
    WIDTH,
    drawing,
    overlay_figure,
    plot_run,
    plot_runs,
    run_figure,
)

Change = Callable[[dict[str, Any]], None]
CHECKPOINTS = [0, 10, 20, 30]
MATRIX = "model.layers.3.mlp.down_proj.weight"
PROFICIENCY = "Proficiency right after each edit"
DISTANCE = "Distance from the unedited weights"
ENTROPY = "n-gram entropy of generated texts"


def curve(*means: float | None) -> dict[str, Any]:
    edits = [10 * (at + 1) for at in range(len(means))]
    return {"edits": edits, "mean_5": list(means), "mean_50": list(means)}


def task(edits: Sequence[int] = CHECKPOINTS, **metrics: Sequence[float | None]) -> dict[str, Any]:
    return {"edits": list(edits), "metrics": metrics}


def distance(*values: float | None) -> dict[str, Any]:
    return {kind: list(values) for kind in ("l2", "l2_per_param", "l2_relative")}


RAW: dict[str, Any] = {
    "suite": {"name": "tiny", "version": 2, "sha256": "5e1f"},
    "editor": {
        "name": "rome",
        "kind": "weights",
        "needs": [],
        "hparams": {},
        "hparams_source": "defaults",
        "code_sha256": "c0de",
        "prepared": {},
    },
    "model": {
        "name": "tiny-llama",
        "model_type": "llama",
        "revision": None,
        "weights_sha256": "3e16",
        "num_parameters": 1000,
        "dtype": "float32",
        "trust_remote_code": False,
    },
    "data": {
        "source": "bundled",
        "files_sha256": {"counterfact.jsonl": "da7a"},
        "edits": "counterfact",
        "sample": 1,
        "order": "as listed",
        "case_ids_sha256": "1d5",
    },
    "protocol": {
        "mode": "instance-sequential",
        "num_edits": 30,
        "batch_size": 1,
        "each_edit": ["counterfact_es"],
        "checkpoint": {"retention": 10},
        "start_end": [],
        "limits": {},
        "not_measured": {},
        "smoothing": "buckets",
    },
    "seed": 0,
    "ending": {"edits_done": 30, "stopped": None, "failed": 0, "collapsed_at": None},
    "curves": {
        "immediate": {
            "es": curve(1.0, 0.9, 0.8),
            "em": curve(0.9, 0.8, 0.7),
            "es_exact": curve(0.9, 0.8, 0.6),
            "ps": curve(0.7, 0.6, 0.5),
            "ns": curve(0.75, 0.7, 0.6),
            "free": curve(0.8, 0.7, 0.2),
            "fluency": curve(6.0, 5.5, 5.0),
        },
        "retention": {
            "es": {
                "edits": [10, 20, 30],
                "instant": [1.0, 0.9, 0.7],
                "sticky": [1.0, 0.8, 0.6],
                "all_edits": [1.0, 0.9, 0.7],
            },
            "es_exact": {
                "edits": [10, 20, 30],
                "instant": [0.9, 0.5, 0.4],
                "sticky": [0.9, 0.4, 0.3],
                "all_edits": [0.9, 0.5, 0.4],
            },
        },
        "tasks": {
            "sst2_ll": task(
                weighted_f1=[0.9, 0.8, 0.7, 0.5], mcc=[0.8, 0.6, 0.4, 0], constant_f1=[1 / 3] * 4
            ),
            "cola_ll": task(weighted_f1=[0.6, 0.55, 0.5, 0.45], constant_f1=[1 / 3] * 4),
            "hellaswag": task(acc=[0.5, 0.45, 0.4, 0.35], acc_norm=[0.6, 0.5, 0.5, 0.5]),
            "heldout_perplexity": task(
                word_perplexity=[30.0, 40.0, 80.0, 900.0], bits_per_byte=[1.0, 1.1, 1.2, 1.9]
            ),
            "generation": task([0, 30], ngram_entropy=[5.5, 2.5], word_entropy=[0.9, 0.4]),
        },
        "distance": {MATRIX: distance(0.0, 0.1, 0.2, 0.3)},
        "checkpoints": CHECKPOINTS,
    },
    "summary": {
        "immediate": {},
        "immediate_last_50": {},
        "baseline": {"es": 0.2, "ps": 0.25, "ns": 0.8, "free": 0.01, "fluency": 6.25},
        "baseline_records": 30,
        "retention": {},
        "tasks": {},
        "distance": {},
        "transfer": None,
        "single_edits": None,
    },
    "cost": {
        "edits_per_second": 4.0,
        "seconds_edit": 2.5,
        "seconds_evaluate": 5.0,
        "seconds_prepare": 1.0,
        "peak_memory_bytes": 1,
        "tokens_scored": 1,
    },
    "provenance": {},
    "journal_sha256": {"edits.jsonl": "ed17"},
}


def raw(**changes: Any) -> dict[str, Any]:
    """Return the example, with fields replaced: `raw(curves__distance={})`."""
    data = changed(copy.deepcopy(RAW), changes)
    if "ending" not in changes:
        data["ending"]["edits_done"] = data["protocol"]["num_edits"]
    return data


def made(**changes: Any) -> Result:
    return Result.model_validate(raw(**changes))


def shown(result: Result, title: str) -> Panel:
    return {panel.title: panel for panel in panels_of_run(result)}[title]


def overlaid(results: Sequence[Result], title: str) -> Panel:
    runs = [(f"run {at}", result) for at, result in enumerate(results)]
    return {panel.title: panel for panel in panels_of_runs(runs)}[title]


def values(panel: Panel) -> dict[str, list[float | None]]:
    return {
        each.label: [value and round(value, 6) for value in each.values] for each in panel.series
    }


def rendered(figure: Figure) -> Figure:
    FigureCanvasAgg(figure).draw()
    return figure


@pytest.fixture
def settings() -> Iterator[None]:
    with drawing():
        yield


# What is shown


TITLES = {
    PROFICIENCY: ("immediate", ["es", "ps", "ns", "free"]),
    "Retention": ("retention", ["es", "es_exact"]),
    "Downstream tasks": ("tasks", ["sst2_ll", "cola_ll"]),
    "Other tasks": ("tasks", ["hellaswag"]),
    "Perplexity": ("tasks", ["heldout_perplexity"]),
    DISTANCE: ("distance", [MATRIX]),
    ENTROPY: ("tasks", ["generation"]),
}


def test_a_panel_for_all_that_was_measured() -> None:
    assert [panel.title for panel in panels_of_run(made())] == list(TITLES)


@pytest.mark.parametrize("title", TITLES)
def test_no_panel_for_what_was_not(title: str) -> None:
    data = raw()
    del data["curves"]["immediate"]["fluency"]
    kind, names = TITLES[title]
    for name in names:
        del data["curves"][kind][name]
    result = Result.model_validate(data)
    assert [panel.title for panel in panels_of_run(result)] == [t for t in TITLES if t != title]
    with drawing():
        assert len(run_figure(result).axes) == len(TITLES) - 1


def test_values_that_are_not_there_make_no_panel() -> None:
    nothing = made(curves__retention={}, curves__distance={MATRIX: distance(*[None] * 4)})
    assert DISTANCE not in [panel.title for panel in panels_of_run(nothing)]


def test_proficiency_shows_the_scores_in_percent_with_the_unedited_model() -> None:
    panel = shown(made(), PROFICIENCY)
    assert values(panel) == {
        "ES": [100, 90, 80],
        "PS": [70, 60, 50],
        "NS": [75, 70, 60],
        "free": [80, 70, 20],
    }
    assert [each.unedited for each in panel.series] == [20, 25, 80, 1]
    assert (panel.unit, panel.scale) == ("%", "percent")


def test_proficiency_of_zsre() -> None:
    names = ["efficacy", "efficacy_exact", "paraphrase", "specificity", "completion"]
    immediate = {name: curve(0.5, 0.25) for name in names}
    panel = shown(made(curves__immediate=immediate, summary__baseline={}), PROFICIENCY)
    assert [each.label for each in panel.series] == [
        "efficacy",
        "paraphrase",
        "specificity",
        "completion",
    ]
    assert {each.unedited for each in panel.series} == {None}


def test_the_faster_mean_is_there_too() -> None:
    fast = {"edits": [5, 10], "mean_5": [1.0, 0.0], "mean_50": [1.0, 0.5]}
    (series,) = shown(made(curves__immediate={"es": fast}), PROFICIENCY).series
    assert (series.values, series.noisy) == ([100, 50], [100, 0])


def test_retention_shows_both_readings_of_every_criterion() -> None:
    assert values(shown(made(), "Retention")) == {
        "ES, instant": [100, 90, 70],
        "ES, sticky": [100, 80, 60],
        "exact, instant": [90, 50, 40],
        "exact, sticky": [90, 40, 30],
    }


def test_downstream_has_the_unedited_model_and_the_floors() -> None:
    panel = shown(made(), "Downstream tasks")
    assert values(panel) == {"sst2_ll": [90, 80, 70, 50], "cola_ll": [60, 55, 50, 45]}
    assert [each.unedited for each in panel.series] == [90, 60]
    floors = {each.label: each.value for each in panel.references}
    assert floors == {"constant answer": pytest.approx(100 / 3, abs=1e-3), "all invalid": 0}


def test_floors_that_differ_name_their_tasks() -> None:
    tasks = {
        "a": task(weighted_f1=[0.9] * 4, constant_f1=[0.25] * 4),
        "b": task(weighted_f1=[0.8] * 4, constant_f1=[0.5] * 4),
        "c": task(weighted_f1=[0.7] * 4, constant_f1=[0.25] * 4),
    }
    panel = shown(made(curves__tasks=tasks), "Downstream tasks")
    assert [tuple(each)[:2] for each in panel.references] == [
        ("constant, a, c", 25),
        ("constant, b", 50),
        ("all invalid", 0),
    ]


def test_no_line_of_the_unedited_model_where_it_was_not_measured() -> None:
    late = {"sst2_ll": task([10, 20], weighted_f1=[0.5, 0.4])}
    assert shown(made(curves__tasks=late), "Downstream tasks").series[0].unedited is None
    broken = {"sst2_ll": task([0, 10], weighted_f1=[None, 0.4])}
    assert shown(made(curves__tasks=broken), "Downstream tasks").series[0].unedited is None


def test_tasks_of_start_and_end_are_apart() -> None:
    tasks = {
        "sst2_ll": task(weighted_f1=[0.9, 0.8, 0.7, 0.6]),
        "sst2_gen": task([0, 30], weighted_f1=[0.8, 0.1]),
    }
    result = made(curves__tasks=tasks, protocol__start_end=["sst2_gen"])
    assert [each.label for each in shown(result, "Downstream tasks").series] == ["sst2_ll"]
    ends = shown(result, "Downstream tasks at start and end")
    assert values(ends) == {"sst2_gen": [80, 10]}


def test_other_tasks_are_together_with_their_like() -> None:
    tasks = {
        "hellaswag": task(acc=[9.0] * 4, acc_norm=[0.5, 0.4, None, 0.3]),
        "cola": task(mcc=[0.5, 0.0, -0.25, -0.5]),
        "wmt": task(bleu=[30.0, 25.0, 20.0, 0.5]),
        "lambada": task(perplexity=[0.9, 20.0, 30.0, None]),
    }
    result = made(curves__tasks=tasks)
    assert values(shown(result, "Other tasks")) == {
        "hellaswag acc_norm": [50, 40, None, 30],
        "cola mcc": [50, 0, -25, -50],
    }
    unbounded = shown(result, "Other tasks, unbounded")
    assert values(unbounded) == {"wmt bleu": [30, 25, 20, 0.5]}
    assert unbounded.scale == "linear"
    perplexity = shown(result, "Perplexity")
    assert values(perplexity) == {"lambada": [0.9, 20, 30, None]}
    assert perplexity.scale == "log"


def test_entropy_has_its_own_unit() -> None:
    panel = shown(made(), ENTROPY)
    assert values(panel) == {"generation": [5.5, 2.5], "fluency": [6.0, 5.5, 5.0]}
    assert [each.unedited for each in panel.series] == [5.5, 6.25]
    assert panel.unit == "bits"


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["transformer.h.17.mlp.c_proj.weight"], ["17 c_proj"]),
        (["layer.weight", "w"], ["layer", "w"]),
        (["h.1.mlp.fc.weight", "h.1.mlp.fc.bias"], ["1 fc", "1 bias"]),
        (["l.0.e.1.w2.weight", "l.0.e.2.w2.weight"], ["0 1.w2", "0 2.w2"]),
        (["a.x.weight", "b.x.weight"], ["a.x", "b.x"]),
        (["encoder.0.w", "decoder.0.w"], ["encoder.0.w", "decoder.0.w"]),
        (["5", ""], ["5", ""]),
        ([], []),
    ],
)
def test_names_of_matrices(names: list[str], short: list[str]) -> None:
    assert short_names(names) == short


def test_distance_is_logarithmic_beyond_two_decades() -> None:
    assert shown(made(), DISTANCE).scale == "linear"
    step = {MATRIX: distance(0.0, 0.01, 0.02, 1.5)}
    assert shown(made(curves__distance=step), DISTANCE).scale == "log"
    still = {MATRIX: distance(0.0, 0.0, 0.0, 0.0)}
    assert shown(made(curves__distance=still), DISTANCE).scale == "linear"


# Several runs


def test_overlay_panels() -> None:
    runs = [("a", made()), ("b", made(editor__name="memit"))]
    assert [panel.title for panel in panels_of_runs(runs)] == [
        "ES",
        "PS",
        "NS",
        "Free generation",
        "Retention, exact and instant",
        "Downstream, mean of 2 tasks",
        "Distance of the furthest matrix",
    ]


def test_a_run_keeps_its_style_and_absent_ones_are_left_out() -> None:
    results = [made(), made(curves__immediate={}, curves__distance={}), made()]
    for title in ("ES", "Distance of the furthest matrix"):
        panel = overlaid(results, title)
        assert {each.label: each.style for each in panel.series} == {
            "run 0": style(0),
            "run 2": style(2),
        }
    assert len(overlaid(results, "Retention, exact and instant").series) == 3


def test_overlay_of_zsre_runs() -> None:
    zsre = made(
        curves__immediate={"efficacy": curve(0.5), "specificity": curve(0.25)},
        curves__retention={"efficacy_exact": RAW["curves"]["retention"]["es"]},
    )
    titles = [panel.title for panel in panels_of_runs([("a", zsre)])]
    assert titles[:3] == ["Efficacy", "Specificity", "Retention, exact and instant"]


def test_mean_f1_is_over_the_same_tasks() -> None:
    one = {
        "a": task(weighted_f1=[0.8, None, 0.4, 0.2], constant_f1=[0.25] * 4),
        "b": task(weighted_f1=[0.6, 0.5, 0.2, 0.1], constant_f1=[0.5] * 4),
        "ends": task([0, 30], weighted_f1=[1.0, 1.0]),
        "own": task(weighted_f1=[1.0] * 4),
    }
    other = {name: one[name] for name in ("a", "b", "ends")}
    panel = overlaid(
        [made(curves__tasks=one), made(curves__tasks=other), made(curves__tasks={})],
        "Downstream, mean of 2 tasks",
    )
    assert values(panel) == {"run 0": [70, None, 30, 15], "run 1": [70, None, 30, 15]}
    assert {each.label: each.value for each in panel.references} == {
        "constant answer": 37.5,
        "all invalid": 0,
        "unedited": pytest.approx(70),
    }


def test_runs_without_a_task_in_common_have_no_mean() -> None:
    runs = [
        ("a", made(curves__tasks={"x": task(weighted_f1=[0.5] * 4)})),
        ("b", made(curves__tasks={"y": task(weighted_f1=[0.5] * 4)})),
    ]
    assert not [panel for panel in panels_of_runs(runs) if "Downstream" in panel.title]


def test_the_furthest_matrix() -> None:
    matrices = {"a": distance(0.0, 0.1, 0.5, 0.1), "b": distance(0.0, 0.2, 0.3, None)}
    panel = overlaid([made(curves__distance=matrices)], "Distance of the furthest matrix")
    assert values(panel) == {"run 0": [0, 0.2, 0.5, None]}


def test_the_unedited_model_is_one_line_where_runs_agree() -> None:
    same = overlaid([made(), made()], "ES")
    assert [(each.label, each.value) for each in same.references] == [("unedited", 20)]
    assert {each.unedited for each in same.series} == {None}
    other = overlaid([made(), made(summary__baseline={"es": 0.3})], "ES")
    assert [each.unedited for each in other.series] == [20, 30]
    assert not other.references


# How it is drawn


def axes_of(figure: Figure, title: str) -> Axes:
    return {axes.get_title(loc="left"): axes for axes in figure.axes}[title]


def line_of(axes: Axes, label: str) -> Line2D:
    return {str(line.get_label()): line for line in axes.get_lines()}[label]


def texts_of(figure: Figure) -> list[Text]:
    """Return all text that can be seen."""
    found = [each for each in figure.findobj(Text) if isinstance(each, Text)]
    return [each for each in found if each.get_visible() and each.get_text()]


def drawn(line: Line2D) -> list[float]:
    return np.asarray(line.get_ydata(), dtype=float).tolist()


def heights(axes: Axes, label: str) -> set[float]:
    return {round(y, 6) for y in drawn(line_of(axes, label))}


@pytest.mark.usefixtures("settings")
def test_unedited_and_floor_lines_are_at_their_heights() -> None:
    figure = run_figure(made())
    proficiency = axes_of(figure, PROFICIENCY)
    assert heights(proficiency, "ES, unedited") == {20}
    assert heights(proficiency, "NS, unedited") == {80}
    downstream = axes_of(figure, "Downstream tasks")
    assert heights(downstream, "sst2_ll, unedited") == {90}
    assert heights(downstream, "constant answer") == {33.333}
    assert heights(downstream, "all invalid") == {0}
    for axes in (proficiency, downstream):
        low, high = axes.get_ylim()
        assert low < 0 and 100 < high < 105


@pytest.mark.usefixtures("settings")
def test_titles_and_units() -> None:
    figure = rendered(run_figure(made()))
    texts = [text.get_text() for text in texts_of(figure)]
    assert "rome on tiny-llama: 30 edits, tiny@2, bundled data" in texts
    assert {axes.get_xlabel() for axes in figure.axes} == {"edits"}
    units = [axes.get_ylabel() for axes in figure.axes]
    assert units == ["%", "%", "weighted F1, %", "%", "perplexity", "relative distance", "bits"]
    assert axes_of(figure, "Perplexity").get_yscale() == "log"
    for words in ("ES", "ES, unedited", "constant answer", "all invalid", "3 down_proj"):
        assert words in texts, words


@pytest.mark.usefixtures("settings")
def test_a_logarithmic_axis_has_no_place_for_zero_and_plain_ticks() -> None:
    step = {MATRIX: distance(0.0, 0.01, 0.02, 1.5)}
    narrow = {"a": task(perplexity=[30.0, 40.0, 50.0, 60.0])}
    figure = rendered(run_figure(made(curves__distance=step, curves__tasks=narrow)))
    assert [math.isnan(y) for y in drawn(line_of(axes_of(figure, DISTANCE), "3 down_proj"))] == [
        True,
        False,
        False,
        False,
    ]
    expected = {DISTANCE: ["0.01", "0.1", "1"], "Perplexity": ["30", "40", "50", "60"]}
    for title, ticks in expected.items():
        labels = axes_of(figure, title).yaxis.get_ticklabels(which="both")
        assert [label.get_text() for label in labels if label.get_text()] == ticks


@pytest.mark.usefixtures("settings")
def test_gaps_stay_gaps_and_lonely_points_are_seen() -> None:
    means: list[float | None] = [0.5] * 100
    means[40] = means[42] = None
    result = made(curves__immediate={"es": curve(*means)}, protocol__num_edits=1000)
    line = line_of(axes_of(run_figure(result), PROFICIENCY), "ES")
    assert [at for at, value in enumerate(drawn(line)) if math.isnan(value)] == [40, 42]
    marked = line.get_markevery()
    assert isinstance(marked, list)
    assert 41 in marked
    assert len(marked) < 15


def many_matrices(count: int) -> dict[str, Any]:
    return {
        f"model.layers.{layer}.mlp.{part}.weight": distance(0.0, 0.1, 0.2, 0.3 + layer / 100)
        for layer in range(count)
        for part in ("up_proj", "down_proj")
    }


def luminance(colour: str) -> float:
    """Return the share of light in a colour, as greyscale print shows it (Rec. 709)."""
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(colour)
    ]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def lightness(colour: str) -> float:
    """Return CIE lightness, 0 to 100: even steps look even."""
    light = luminance(colour)
    return 116 * light ** (1 / 3) - 16 if light > 0.008856 else 903.3 * light


def test_the_first_colours_stay_apart_in_greyscale() -> None:
    shades = sorted(lightness(colour) for colour in COLOURS[:4])
    assert all(high - low > 15 for low, high in pairwise(shades))
    assert max(shades) < 80, "too light on white"


def test_styles_differ_without_colour() -> None:
    assert len({style(at)[1:] for at in range(35)}) == 35
    for one, other in combinations(map(style, range(7)), 2):
        assert one.marker != other.marker


def test_series_of_a_panel_differ_without_colour() -> None:
    result = made(curves__distance=many_matrices(4))
    for panel in panels_of_run(result):
        for one, other in combinations(panel.series, 2):
            apart = abs(lightness(one.style.colour) - lightness(other.style.colour)) > 10
            assert apart or one.style[1:] != other.style[1:], (one.label, other.label)


def test_many_matrices_have_a_tone_by_layer() -> None:
    panel = shown(made(curves__distance=many_matrices(12)), DISTANCE)
    by_label = {each.label: each.style for each in panel.series}
    up = [by_label[f"{layer} up_proj"] for layer in range(12)]
    shades = [lightness(each.colour) for each in up]
    assert all(high > low for low, high in pairwise(shades))
    assert shades[-1] < 85
    assert len({each[1:] for each in up}) == 1
    assert by_label["3 up_proj"].colour == by_label["3 down_proj"].colour
    assert by_label["3 up_proj"].marker != by_label["3 down_proj"].marker


def not_drawn(figure: Figure) -> set[Text]:
    """Return the labels of ticks outside the limits, which are there all the same."""
    return {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }


LONG = "x" * 300
HOSTILE = ["$x_1$", "$\\frac{", "50%_a^b", "<b>&\"'", LONG, "W" * 300, "\x1b[31m\r\n", "模型🙂"]


def crowded() -> Result:
    """Return a result with more lines than there is room for labels."""
    tasks = {f"mmlu_{LONG[:at]}_{at}": task(acc=[0.9 - at / 50, 0.5, 0.5, 0.5]) for at in range(40)}
    f1 = {f"f1_{at}": task(weighted_f1=[0.5] * 4, constant_f1=[at / 100] * 4) for at in range(20)}
    return made(curves__tasks={**tasks, **f1}, curves__distance=many_matrices(30))


def sized() -> Result:
    """Return a result whose axes have numbers that take room."""
    tasks = {
        "a": task(perplexity=[2.6e7, 3e7, 2.9e7, 2.4e7]),
        "b": task(bleu=[-0.000125, -1.1e-5, 0.0, -2.0]),
        "c": task(weighted_f1=[1.0] * 4),
    }
    small = {MATRIX: distance(0.0, 1.25e-7, 2.5e-7, 3.5e-7)}
    scores = {name: curve(1.0, 1.0, 1.0) for name in ("es", "ps", "ns", "free", "fluency")}
    return made(curves__tasks=tasks, curves__distance=small, curves__immediate=scores)


FIGURES: dict[str, Callable[[], Figure]] = {
    "run": lambda: run_figure(made()),
    "crowded": lambda: run_figure(crowded()),
    "overlay": lambda: overlay_figure(
        [made()] * 14, [f"{LONG[: 20 * at]}{at}" for at in range(14)]
    ),
    "long numbers": lambda: run_figure(sized()),
    "short labels": lambda: overlay_figure([made()] * 14, ["rome"] * 14),
}


@pytest.mark.parametrize("build", FIGURES.values(), ids=FIGURES)
@pytest.mark.usefixtures("settings")
def test_text_is_legible_whole_and_apart(build: Callable[[], Figure]) -> None:
    figure = rendered(build())
    page = figure.bbox
    boxes = []
    for text in set(texts_of(figure)) - not_drawn(figure):
        box = text.get_window_extent()
        assert float(text.get_fontsize()) >= TEXT_POINTS
        assert box.x0 >= page.x0 and box.x1 <= page.x1, text
        assert box.y0 >= page.y0 and box.y1 <= page.y1, text
        boxes.append((box, text.get_text()))
    for (one, first), (other, second) in combinations(boxes, 2):
        overlap_x = min(one.x1, other.x1) - max(one.x0, other.x0)
        overlap_y = min(one.y1, other.y1) - max(one.y0, other.y0)
        # Boxes have room for accents and descenders, which may share a pixel row or two.
        assert overlap_x <= 0 or overlap_y <= 0.02 * figure.dpi, (first, second)


@pytest.mark.parametrize("panels", [panels_of_run(made()), panels_of_runs([("a", made())])])
@pytest.mark.usefixtures("settings")
def test_notes_are_no_wider_than_the_axes(panels: list[Panel]) -> None:
    """Beside them the uppermost label of a line begins."""
    assert all(width(panel.note) <= WIDTH for panel in panels)


@pytest.mark.usefixtures("settings")
def test_first_and_last_keep_their_labels_where_room_is_short() -> None:
    axes = axes_of(run_figure(made(curves__distance=many_matrices(30))), DISTANCE)
    texts = [text.get_text() for text in axes.texts]
    assert {"0 up_proj", "29 down_proj"} <= set(texts)
    assert len(texts) - 1 <= HEIGHT * 72 / LINE_POINTS


# Text


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.usefixtures("settings")
def test_text_is_cut_in_the_middle_to_fit(name: str, bold: bool) -> None:
    text = name + " and a long tail of it"
    short = fit(text, 0.9, bold=bold)
    assert width(short, bold=bold) <= 0.9
    assert short[0] == text[0] if text[0].isprintable() else "\ufffd"
    assert fit("memit", 0.9) == "memit"
    assert fit(text, 0.0) == "…" or width("…") > 0


HEIGHTS = st.lists(st.floats(min_value=0, max_value=1), max_size=12)


@given(HEIGHTS)
def test_labels_are_spread(wanted: list[float]) -> None:
    gap = 0.08
    placed = spread(wanted, gap)
    assert all(-1e-9 <= height <= 1 + 1e-9 for height in placed)
    ordered = sorted(placed)
    assert all(high - low >= gap - 1e-9 for low, high in pairwise(ordered))
    for one, other in combinations(range(len(wanted)), 2):
        if wanted[one] < wanted[other]:
            assert placed[one] < placed[other]


@given(HEIGHTS)
def test_labels_that_are_apart_stay(wanted: list[float]) -> None:
    apart = sorted(wanted)
    if all(high - low >= 0.05 for low, high in pairwise(apart)):
        assert spread(apart, 0.05) == pytest.approx(apart)


@given(st.lists(st.floats(min_value=0.3, max_value=0.7), min_size=2, max_size=4), st.randoms())
def test_spreading_moves_as_little_as_possible(wanted: list[float], random: Any) -> None:
    """No other way to keep the gaps is nearer, in squares; tried at random around it."""
    gap = 0.1
    placed = spread(wanted, gap)
    cost = sum((a - b) ** 2 for a, b in zip(wanted, placed, strict=True))
    order = sorted(range(len(placed)), key=placed.__getitem__)
    for _ in range(30):
        other = [height + random.uniform(-0.05, 0.05) for height in placed]
        ordered = [other[at] for at in order]
        if all(high - low >= gap for low, high in pairwise(ordered)):
            assert sum((a - b) ** 2 for a, b in zip(wanted, other, strict=True)) >= cost - 1e-9


def test_what_does_not_fit_is_left_out_evenly() -> None:
    assert thinned(range(10), 4) == [0, 3, 6, 9]
    assert thinned(range(10), 1) == [0]
    assert thinned(range(10), 0) == []


# Odd results


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_only_names(name: str, tmp_path: Path) -> None:
    hostile = made(
        editor__name=name,
        model__name=name,
        suite__name=name,
        curves__immediate={name: curve(0.5), "es": curve(0.5)},
        curves__retention={name: RAW["curves"]["retention"]["es"]},
        curves__tasks={
            name: task(weighted_f1=[0.5] * 4),
            f"{name} 2": {"edits": CHECKPOINTS, "metrics": {name: [0.5] * 4}},
            f"{name} 3": task(perplexity=[5.0] * 4),
        },
        curves__distance={name: distance(0.1), f"{name}.3.{name}": distance(0.2)},
    )
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        paths = plot_run(hostile, tmp_path)
        paths += plot_runs([hostile, hostile], [name, name], tmp_path / "overlay")
    assert not [str(each.message) for each in warned]
    for path in paths:
        if path.suffix == ".svg":
            found = ElementTree.parse(path).getroot()
            text = "".join(found.itertext())
            start = "".join(each if each.isprintable() else "\ufffd" for each in name[:5])
            assert start in text


def nothing(data: dict[str, Any]) -> None:
    for kind in ("immediate", "retention", "tasks", "distance"):
        data["curves"][kind] = {}
    data["curves"]["checkpoints"] = []


def no_points(data: dict[str, Any]) -> None:
    data["curves"]["immediate"] = {"es": {"edits": [], "mean_5": [], "mean_50": []}}
    data["curves"]["tasks"] = {"a": task([], weighted_f1=[]), "b": task([])}


def one_edit(data: dict[str, Any]) -> None:
    no_points(data)
    data["protocol"]["num_edits"] = 1
    data["curves"]["checkpoints"] = [0, 1]
    data["curves"]["tasks"]["a"] = task([0, 1], weighted_f1=[0.5, 0.4])
    data["curves"]["distance"] = {MATRIX: distance(0.0, 0.1)}


def one_checkpoint(data: dict[str, Any]) -> None:
    data["curves"]["checkpoints"] = [0]
    data["curves"]["distance"] = {MATRIX: distance(0.0)}
    data["curves"]["tasks"] = {"a": task([0], weighted_f1=[0.5]), "b": task([0], perplexity=[9.0])}


def of_all_sizes(data: dict[str, Any]) -> None:
    extreme = [1e-320, 1e299, -1e299, 1e308]
    data["curves"]["immediate"]["es"] = curve(*extreme)
    data["curves"]["tasks"] = {
        "a": task(weighted_f1=[*extreme]),
        "b": task(perplexity=[*extreme]),
        "c": task(bleu=[*extreme]),
        "d": task(perplexity=[0.0, -1.0, 0.0, 0.0]),
        "e": task(perplexity=[1e-320] * 4),
    }
    data["curves"]["distance"] = {MATRIX: distance(*extreme)}


def not_finite(data: dict[str, Any]) -> None:
    broken = [math.nan, math.inf, -math.inf, 0.5]
    data["curves"]["immediate"]["es"] = curve(*broken)
    data["curves"]["tasks"] = {"a": task(weighted_f1=[*broken]), "b": task(perplexity=[*broken])}
    data["curves"]["distance"] = {MATRIX: distance(*broken)}
    data["summary"]["baseline"]["es"] = math.nan


def misfits(data: dict[str, Any]) -> None:
    data["protocol"]["num_edits"] = 2**53
    data["curves"]["checkpoints"] = [0, 2**53, 3, 3, 2]
    data["curves"]["immediate"]["es"] = {"edits": [5], "mean_5": [], "mean_50": [0.5, 0.5]}
    data["curves"]["tasks"] = {"a": task([0, 1], weighted_f1=[0.5]), "b": task([], acc=[0.5])}
    data["curves"]["distance"] = {MATRIX: {}, "b": distance(0.1, 0.2, 0.3)}


ODD: list[Change] = [
    nothing,
    no_points,
    one_edit,
    one_checkpoint,
    of_all_sizes,
    not_finite,
    misfits,
]


@pytest.mark.parametrize("change", ODD)
def test_odd_results_make_figures(change: Change, tmp_path: Path) -> None:
    data = raw()
    change(data)
    result = Result.model_validate(data)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        paths = plot_run(result, tmp_path)
        paths += plot_runs([result, made()], ["odd", "even"], tmp_path / "overlay")
    assert not [str(each.message) for each in warned]
    assert all(path.stat().st_size > 1000 for path in paths)


@pytest.mark.usefixtures("settings")
def test_an_empty_figure_says_so() -> None:
    data = raw()
    nothing(data)
    texts = [text.get_text() for text in texts_of(run_figure(Result.model_validate(data)))]
    assert "nothing to draw was measured" in texts


@pytest.mark.usefixtures("settings")
def test_thousands_of_edits() -> None:
    means = [0.5, 0.6, None, 0.4] * 1250
    immediate = {"edits": list(range(1, 5001)), "mean_5": means, "mean_50": means}
    result = made(curves__immediate={"es": immediate}, protocol__num_edits=5000)
    assert rendered(run_figure(result))


# Files


def test_files_are_written_whole(tmp_path: Path) -> None:
    for name in ("curves.png", "curves.svg"):
        (tmp_path / name).write_text("old")
    paths = plot_run(made(), tmp_path)
    assert paths == [tmp_path / "curves.png", tmp_path / "curves.svg"]
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    root = ElementTree.parse(paths[1]).getroot()
    words = {"".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"ES", "constant answer", "3 down_proj"} <= words


def test_an_overlay_goes_where_it_is_told(tmp_path: Path) -> None:
    for stem in ("over.lay", "over.lay.png"):
        paths = plot_runs([made(), made()], ["a", "b"], tmp_path / stem)
        assert [path.name for path in paths] == ["over.lay.png", "over.lay.svg"]
        assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_a_label_used_twice_is_numbered(tmp_path: Path) -> None:
    _, svg = plot_runs([made(), made(), made()], ["rome", "memit", "rome"], tmp_path / "overlay")
    assert "rome (2)" in svg.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"suite__sha256": "0dd"}, "suite"),
        ({"model__weights_sha256": "0dd"}, "model"),
        ({"data__files_sha256": {}}, "data"),
    ],
)
def test_unlike_runs_share_no_figure(changes: dict[str, Any], what: str, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=f"different {what} cannot share"):
        plot_runs([made(), made(), made(**changes)], ["a", "b", "c"], tmp_path / "overlay")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("missing", "file"):
        with pytest.raises(ResultError, match=r"curves\.png: cannot be written: ") as caught:
            plot_run(made(), tmp_path / folder)
        assert "\n" not in str(caught.value)
    (tmp_path / "curves.png").mkdir()
    with pytest.raises(ResultError, match="cannot be written"):
        plot_run(made(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "curves.png"}
    with pytest.raises(ResultError, match="not the name of a figure"):
        plot_runs([made()], ["a"], Path())


DRAW = """
import sys
from pathlib import Path
from seqedit_bench.leaderboards import Result
from seqedit_bench.leaderboards.plot import plot_run, plot_runs
assert not {"matplotlib", "numpy", "torch"} & set(sys.modules)
folder = Path(sys.argv[1])
result = Result.model_validate_json((folder / "result.json").read_text())
plot_run(result, folder)
plot_runs([result, result], ["a", "b"], folder / "overlay")
assert not {"matplotlib.pyplot", "torch"} & set(sys.modules)
"""


def test_the_same_result_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the process, the time, the hash seed and the user's own settings."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: true\nfont.size: 30\nsavefig.dpi: 10\n")
    (tmp_path / "result.json").write_text(made().to_json())
    plot_run(made(), tmp_path)
    plot_runs([made(), made()], ["a", "b"], tmp_path / "overlay")
    names = ("curves.png", "curves.svg", "overlay.png", "overlay.svg")
    first = {name: (tmp_path / name).read_bytes() for name in names}
    for name in names:
        (tmp_path / name).unlink()
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"),
        "SOURCE_DATE_EPOCH": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", DRAW, str(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {name: (tmp_path / name).read_bytes() for name in names} == first


def test_settings_are_put_back(tmp_path: Path) -> None:
    before = dict(rcParams)
    filters = list(warnings.filters)
    plot_run(made(), tmp_path)
    assert dict(rcParams) == before
    assert list(warnings.filters) == filters
