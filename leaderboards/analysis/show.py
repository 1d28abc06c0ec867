"""The analysis of a run in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..show import number, percent, plain
from .calibrate import Rate
from .records import (
    Analysis,
    Collapse,
    Confirmation,
    Disabling,
    Estimate,
    Forgetting,
    OverwritingSummary,
)

_LISTED = 12
_NAMED = 3
"""Undecided spikes that the verdict names; a broken model has one after the other."""


def analysis_tables(found: Analysis) -> Group:
    """Show an analysis in a few small tables."""
    state = "" if found.finished else ", not finished"
    title = plain(f"{found.editor} on {found.model}: {found.edits} edits{state}")
    title.stylize("bold")
    parts: list[RenderableType] = [Text(), title, verdict(found)]
    parts += [plain(f"note: {note}") for note in found.notes]
    parts += list(_tables(found))
    return Group(*parts)


def verdict(found: Analysis) -> Text:
    """Say in a sentence whether the model collapsed."""
    collapse = found.collapse
    if collapse.kind == "none":
        text = f"no collapse in {found.edits} edits"
    elif collapse.kind == "catastrophic":
        text = f"catastrophic collapse at edit {collapse.edit}"
    else:
        text = f"collapse without a spike near {place(collapse)}"
    if collapse.undecided:
        some = ", ".join(map(str, collapse.undecided[:_NAMED]))
        more = len(collapse.undecided) - _NAMED
        edits = f"{some} and {more} more" if more > 0 else some
        text += f"; too little was measured to judge the spike at {edits}"
    return plain(text)


def place(collapse: Collapse) -> str:
    """Return where a model broke, as closely as the run can tell.

    Example:
        >>> place(Collapse(kind="gradual", edit=11, low=1, high=61))
        'edit 11 (1 to 61)'
    """
    if collapse.low == collapse.high:
        return f"edit {collapse.edit}"
    return f"edit {collapse.edit} ({collapse.low} to {collapse.high})"


def table(headings: Sequence[str], left: int = 1) -> Table:
    """Return an empty table; its first columns are aligned to the left."""
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for index, heading in enumerate(headings):
        made.add_column(heading, justify="left" if index < left else "right", overflow="fold")
    return made


def interval(found: Estimate, show=percent) -> str:
    """Show a number with its interval.

    Example:
        >>> interval(Estimate(value=0.5, low=0.25, high=0.75))
        '50.0 (25.0-75.0)'
        >>> interval(Estimate(value=0.0, low=-0.2, high=0.2))
        '0.0 (-20.0 to 20.0)'
    """
    if found.low is None or found.high is None:
        return show(found.value)
    between = " to " if found.low < 0 else "-"
    return f"{show(found.value)} ({show(found.low)}{between}{show(found.high)})"


def _tables(found: Analysis) -> Iterator[Table]:
    if found.collapse.confirmation:
        yield _evidence(found.collapse.confirmation)
    if found.phases:
        yield _phases(found)
    if found.spikes:
        yield _spikes(found)
    if found.change_points:
        yield _changes(found)
    if found.onsets:
        yield _onsets(found)
    if found.forgetting:
        yield _forgetting(found)
        yield from _classes(found.forgetting[0])
    if found.disabling:
        yield _disabling(found.disabling)
    if found.overwriting and found.overwriting.lost:
        yield _overwriting(found.overwriting)


def _evidence(found: Confirmation) -> Table:
    made = table([f"\nwhy edit {found.edit}", "\nmet", "\nbefore", "\nafter", "\nbecause"])
    words = {True: "yes", False: "no", None: "unknown"}
    for criterion in found.criteria:
        made.add_row(
            criterion.name,
            words[criterion.met],
            percent(criterion.before),
            percent(criterion.after),
            plain(criterion.why),
        )
    return made


def _phases(found: Analysis) -> Table:
    made = table(["\nphase", "\nedits", "\nbegins between"])
    for phase in found.phases:
        begins = f"{phase.first_low} and {phase.first_high}" if phase.first > 1 else "-"
        made.add_row(phase.name, f"{phase.first} to {phase.last}", begins)
    return made


def _spikes(found: Analysis) -> Table:
    made = table(
        ["\nspike", "\nsubject", "\n‖ΔW‖", "\ntimes median", "\ndivision factor", "\ncollapse"], 2
    )
    words = {True: "yes", False: "no", None: "undecided"}
    largest = sorted(found.spikes, key=lambda spike: -spike.size)[:_LISTED]
    for spike in sorted(largest, key=lambda spike: spike.edit):
        made.add_row(
            f"edit {spike.edit}",
            plain(spike.subject),
            number(spike.norm),
            f"{number(spike.ratio)}{' severe' if spike.severe else ''}",
            number(spike.division_factor),
            words[spike.confirmation.confirmed],
        )
    if len(found.spikes) > _LISTED:
        made.caption = f"the largest {_LISTED} of {len(found.spikes)}"
    return made


def _changes(found: Analysis) -> Table:
    made = table(
        ["\nchange of level", "\nafter edit", "\n95 %", "\nfrom", "\nto", "\np", "\nshape"]
    )
    for change in found.change_points:
        made.add_row(
            change.series,
            str(change.at) if change.at else "none",
            f"{change.low}-{change.high}" if change.at else "-",
            number(change.before),
            number(change.after),
            f"{change.p_value:.3f}",
            change.shape or "-",
        )
    return made


def _onsets(found: Analysis) -> Table:
    headings = ["faster\nfrom", "slope\nthere", "slope\nbefore", "by\nchance", "random\nwalks"]
    made = table(["\ngrowth of distance", *headings])
    for each in found.onsets:
        made.add_row(
            plain(each.matrix),
            f"edit {each.at}" if each.at else "none",
            number(each.slope),
            number(each.slope_before),
            percent(each.chance),
            number(each.walk_ratio),
        )
    return made


def _forgetting(found: Analysis) -> Table:
    edits = found.forgetting[0].edits
    # A metric a column: intervals of four numbers do not fit beside each other in 80 columns.
    made = table(["\nforgetting", *(f"\n{each.metric}" for each in found.forgetting)])
    made.add_row("immediate", *(interval(each.immediate) for each in found.forgetting))
    made.add_row(f"retained@{edits}", *(interval(each.retained) for each in found.forgetting))
    made.add_row("lost, points", *(interval(each.forgetting) for each in found.forgetting))
    made.add_row("kept of learned", *(interval(each.kept) for each in found.forgetting))
    return made


def _classes(found: Forgetting) -> Iterator[Table]:
    """Show what is kept by age, relation and length, each in a table of its own."""
    for heading, classes in (
        ("edits made since", found.by_age),
        ("relation", found.by_relation),
        ("target", found.by_target_words),
    ):
        made = table([f"\n{found.metric} kept, by {heading}", "\n% (95 %)", "\nfacts"])
        for each in classes[:_LISTED]:
            made.add_row(plain(each.name), interval(each.retained), str(each.retained.count))
        if len(classes) > _LISTED:
            made.caption = f"the {_LISTED} most frequent of {len(classes)}"
        yield made


def _disabling(found: Disabling) -> Table:
    made = table(
        ["\nas first edit", "\nsubject", "\n‖ΔW‖", "\ntimes median", "\ndivision factor", "\nF1",
         "\ndisabling", "\nfresh templates"], 2
    )  # fmt: skip
    for each in found.candidates:
        made.add_row(
            f"edit {each.edit}",
            plain(each.subject),
            number(each.norm),
            number(each.ratio),
            number(each.division_factor),
            percent(each.mean_f1),
            "yes" if each.disabling else "no",
            f"{round((each.fresh_disabling.value or 0) * each.fresh)} of {each.fresh}",
        )
    orders = found.orders_of_magnitude
    made.caption = (
        f"{found.controls} random first edits: median ‖ΔW‖ {interval(found.control_norm, number)}, "
        f"{found.controls_disabling} disabling; distance {interval(found.normal_distance, number)}"
        f", of disabling ones {interval(found.disabling_distance, number)}"
        + (f": {orders:.1f} orders of magnitude" if orders is not None else "")
    )
    made.caption_justify = "left"
    return made


def _overwriting(found: OverwritingSummary) -> Table:
    how = "by overlap of keys" if found.measure == "keys" else "a guess by words and relation"
    made = table(["\nlost fact", "\nlikeliest cause", "\nwhy", "\nscore"], 3)
    for each in found.lost[:_LISTED]:
        by = f"edit {each.by_edit}: {each.by}" if each.by_edit else "-"
        score = number(each.score)
        made.add_row(
            plain(f"edit {each.lost_edit}: {each.lost}"), plain(by), plain(each.reason), score
        )
    made.caption = (
        f"causes: {how}. {found.with_cause} of {found.num_lost} lost facts have a later edit like "
        f"them; edits of the fact's own relation: {interval(found.relation_share_lost)} % of those "
        f"made while it was lost, {interval(found.relation_share_kept)} % while one was kept"
    )
    made.caption_justify = "left"
    return made


def calibration_table(rates: Sequence[Rate]) -> Table:
    """Show how often what was found in synthetic runs."""
    made = table(["synthetic runs of 300 edits", "found", "wanted", "%", "95 %"], 3)
    stories = ["", *(rate.story for rate in rates)]
    for before, rate in zip(stories, rates, strict=False):
        made.add_row(
            rate.story if rate.story != before else "",
            rate.found,
            "always" if rate.wanted else "never",
            percent(rate.times / rate.runs),
            f"{percent(rate.low)}-{percent(rate.high)}",
        )
    return made
