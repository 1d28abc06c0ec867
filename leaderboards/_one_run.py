"""The panels of one run: one for each thing it measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ._panels import (
    COLOURS,
    Panel,
    Reference,
    Series,
    Style,
    Values,
    known,
    panel,
    scaled,
    style,
    tone,
    wide,
)
from .headline import headline
from .results import Result, TaskRecord

SCORES = {
    "es": "ES",
    "ps": "PS",
    "ns": "NS",
    "efficacy": "efficacy",
    "paraphrase": "paraphrase",
    "specificity": "specificity",
    "free": "free",
    "completion": "completion",
}
F1, FLOOR = "weighted_f1", "constant_f1"
MOVED = "relative distance"
KEPT = "of edits that worked at first"
NORM = "‖ΔW‖ / ‖W‖, Frobenius norms"
UNEDITED = "dotted: unedited"
_RETAINED = {"es": "ES", "es_exact": "exact", "efficacy_exact": "exact"}
_MOST_STYLES = 8
_SMOOTHED = "means of 50 edits, thin: of 5"


def panels_of_run(result: Result) -> list[Panel]:
    """Return what the figure of one run shows."""
    scores = [name for name in SCORES if name in result.curves.immediate]
    proficiency = [immediate(result, name, style(at)) for at, name in enumerate(scores)]
    return [
        *panel("Proficiency right after each edit", "%", proficiency, note=_SMOOTHED),
        *panel("Retention", "%", _retention(result), note=KEPT),
        *_downstream(result),
        *_other_tasks(result),
        *_distance(result),
        *_entropy(result),
    ]


def immediate(result: Result, name: str, how: Style, factor: float = 100) -> Series:
    """Return the smoothed curve of a metric measured right after each edit."""
    curve = result.curves.immediate[name]
    return Series(
        SCORES.get(name, name),
        curve.edits,
        scaled(curve.mean_50, factor),
        how,
        noisy=scaled(curve.mean_5, factor),
        unedited=scaled([result.summary.baseline.get(name)], factor)[0],
    )


def _retention(result: Result) -> Iterator[Series]:
    for at, (name, record) in enumerate(result.curves.retention.items()):
        label, colour = _RETAINED.get(name, name), COLOURS[at % len(COLOURS)]
        round_, angular = (("o", "s"), ("^", "D"), ("v", "P"))[at % 3]
        yield Series(
            f"{label}, instant",
            record.edits,
            scaled(record.instant, 100),
            Style(colour, (), round_),
        )
        dashed = Style(colour, (4.0, 1.5), angular)
        yield Series(f"{label}, sticky", record.edits, scaled(record.sticky, 100), dashed)


def task_series(label: str, record: TaskRecord, metric: str, how: Style, factor: float) -> Series:
    """Return the curve of a task that belongs to no edit."""
    values = scaled(record.metrics[metric], factor)
    first = [value for edits, value in zip(record.edits, values, strict=False) if edits == 0]
    return Series(label, record.edits, values, how, unedited=first[0] if first else None)


def with_f1(result: Result) -> dict[str, TaskRecord]:
    """Return the tasks that are scored by F1."""
    return {name: task for name, task in result.curves.tasks.items() if F1 in task.metrics}


def floors(tasks: Mapping[str, TaskRecord]) -> list[Reference]:
    """Return the F1 of models without the ability; tasks with the same floor share a line."""
    found: dict[float, list[str]] = {}
    for name, task in tasks.items():
        for floor in known(scaled(task.metrics.get(FLOOR, []), 100))[:1]:
            found.setdefault(round(floor, 3), []).append(name)
    if len(found) == 1:
        constant = [Reference("constant answer", floor) for floor in found]
    else:
        constant = [
            Reference(f"constant, {', '.join(names)}", floor) for floor, names in found.items()
        ]
    return [*constant, Reference("all invalid", 0.0)]


def _downstream(result: Result) -> Iterator[Panel]:
    tasks = with_f1(result)
    ends = [name for name in tasks if name in result.protocol.start_end]
    for title, names in (
        ("Downstream tasks", [name for name in tasks if name not in ends]),
        ("Downstream tasks at start and end", ends),
    ):
        series = [
            task_series(name, tasks[name], F1, style(at), 100) for at, name in enumerate(names)
        ]
        references = floors({name: tasks[name] for name in names})
        yield from panel(title, "weighted F1, %", series, references=references, note=UNEDITED)


def _other_tasks(result: Result) -> Iterator[Panel]:
    """Draw the headline metric of all other tasks, together with those of the same range."""
    bounded: list[tuple[str, TaskRecord, str]] = []
    unbounded, perplexities = list(bounded), list(bounded)
    for name, task in result.curves.tasks.items():
        metric = headline(task.metrics)
        if metric is None or F1 in task.metrics or name == "generation":
            continue
        if "perplexity" in metric:
            perplexities.append((name, task, metric))
        elif all(abs(value) <= 1 for value in known(task.metrics[metric])):
            bounded.append((f"{name} {metric}", task, metric))
        else:
            unbounded.append((f"{name} {metric}", task, metric))

    def series(found: Sequence[tuple[str, TaskRecord, str]], factor: float) -> list[Series]:
        return [
            task_series(label, task, metric, style(at), factor)
            for at, (label, task, metric) in enumerate(found)
        ]

    yield from panel("Other tasks", "%", series(bounded, 100), note=UNEDITED)
    yield from panel(
        "Other tasks, unbounded", "score", series(unbounded, 1), scale="linear", note=UNEDITED
    )
    yield from panel(
        "Perplexity", "perplexity", series(perplexities, 1), scale="log", note=UNEDITED
    )


def _entropy(result: Result) -> Iterator[Panel]:
    series = []
    generation = result.curves.tasks.get("generation")
    if generation is not None and "ngram_entropy" in generation.metrics:
        series.append(task_series("generation", generation, "ngram_entropy", style(0), 1))
    if "fluency" in result.curves.immediate:
        series.append(immediate(result, "fluency", style(1), 1))
    yield from panel(
        "n-gram entropy of generated texts", "bits", series, scale="linear", note=UNEDITED
    )


def relative_distance(result: Result, name: str) -> Values:
    """Return how far a matrix is from the unedited one, relative to its size."""
    return scaled(result.curves.distance[name].get("l2_relative", []))


def _distance(result: Result) -> Iterator[Panel]:
    names = list(result.curves.distance)
    series = [
        Series(label, result.curves.checkpoints, relative_distance(result, name), how)
        for name, label, how in zip(names, short_names(names), _matrix_styles(names), strict=True)
    ]
    yield from panel(
        "Distance from the unedited weights", MOVED, series, scale=wide(series), note=NORM
    )


def short_names(names: Sequence[str]) -> list[str]:
    """Shorten names of parameters to layer and projection, as far as they stay different.

    Example:
        >>> short_names(["model.layers.3.mlp.down_proj.weight", "lm_head.weight"])
        ['3 down_proj', 'lm_head']
        >>> short_names(["h.3.attn.c_proj.weight", "h.3.mlp.c_proj.weight"])
        ['3 attn.c_proj', '3 mlp.c_proj']
    """
    split = [_layer_and_rest(name) for name in names]
    for length in range(1, 1 + max((len(rest) for _, rest in split), default=0)):
        short = [" ".join([*layer, ".".join(rest[-length:])]).strip() for layer, rest in split]
        if len({*short}) == len(short):
            return short
    return list(names)


def _layer_and_rest(name: str) -> tuple[list[str], list[str]]:
    """Split a name at the number of its layer, the first number in it.

    A name without any gives an empty first list.
    """
    parts = name.removesuffix(".weight").split(".")
    for at, part in enumerate(parts):
        if part.isdecimal():
            return [part], parts[at + 1 :]
    return [], parts


def _matrix_styles(names: Sequence[str]) -> list[Style]:
    """Give a few matrices a style each; many a tone by layer, dash and marker by projection."""
    if len(names) <= _MOST_STYLES:
        return [style(at) for at in range(len(names))]
    split = [_layer_and_rest(name) for name in names]
    layers = sorted({tuple(layer) for layer, _ in split}, key=lambda layer: [int(n) for n in layer])
    kinds = list(dict.fromkeys(tuple(rest) for _, rest in split))
    return [
        style(kinds.index(tuple(rest)))._replace(
            colour=tone(layers.index(tuple(layer)) / max(1, len(layers) - 1))
        )
        for layer, rest in split
    ]
