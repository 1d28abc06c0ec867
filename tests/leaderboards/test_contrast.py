"""Text of the pages can be read: WCAG 2's 4.5 to 1, in both themes, however they come about."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

import seqedit_bench.leaderboards as leaderboards

FOLDER = Path(leaderboards.__file__).parent
CSS = {
    path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*/templates/*.css"))
}
THEMES = {
    "light": ":root",
    "asked": ':root:not([data-theme="light"])',
    "dark": ':root[data-theme="dark"]',
}
GROUNDS = ("paper", "card", "even")
"""What text stands on."""
LEAST = 4.5
Colour = tuple[float, float, float]


def colours(selector: str) -> dict[str, Colour]:
    """The variables that are colours, as a theme sets them."""
    found: dict[str, Colour] = {}
    for text in CSS.values():
        for name, body in re.findall(r"([^{}]+)\{([^{}]*)\}", text):
            if name.strip() == selector:
                for variable, value in re.findall(r"--([\w]+): #([\da-f]{6})", body):
                    red, green, blue = (int(value[at : at + 2], 16) / 255 for at in (0, 2, 4))
                    found[variable] = red, green, blue
    return found


def of_text() -> set[str]:
    """What text is coloured with: `color`, and `fill` where letters are drawn."""
    found: set[str] = set()
    for text in CSS.values():
        for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", text):
            drawn = "|fill" if re.search(r"\btext\b[^ ]*$", selector.strip()) else ""
            found.update(re.findall(rf"(?:^|[; ])(?:color{drawn}): ([^;]+)", body))
    return found


def seen(value: str, theme: dict[str, Colour]) -> dict[str, Colour]:
    """What a value of `color` looks like; of one that depends on the run, each run's."""
    if value in ("inherit", "var(--paper)"):  # this on a ground of its own
        return {}
    runs = [name for name in theme if re.fullmatch(r"r\d", name)] if "var(--c" in value else [""]
    made = {}
    for run in runs:
        plain = re.sub(r"var\(--c(?:, var\(--ink\))?\)", f"var(--{run})", value)
        mixed = re.fullmatch(r"color-mix\(in srgb, var\(--(\w+)\) (\d+)%, var\(--(\w+)\)\)", plain)
        if mixed:
            share, one, other = int(mixed[2]) / 100, theme[mixed[1]], theme[mixed[3]]
            red, green, blue = (
                share * a + (1 - share) * b for a, b in zip(one, other, strict=True)
            )
            made[plain] = red, green, blue
        else:
            made[plain] = theme[plain.removeprefix("var(--").removesuffix(")")]
    return made


def luminance(colour: Colour) -> float:
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: Colour, other: Colour) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert contrast((0x77 / 255, 0x77 / 255, 0x77 / 255), (1, 1, 1)) == pytest.approx(
        4.48, abs=0.005
    )


@pytest.mark.parametrize("name", THEMES)
def test_text_can_be_read(name: str) -> None:
    theme = colours(":root") | colours(THEMES[name])
    assert {*GROUNDS, "ink", "soft"} <= theme.keys()
    values = of_text()
    assert {"var(--ink)", "var(--soft)"} <= values
    pale = {
        (text, ground): round(contrast(colour, theme[ground]), 2)
        for value, ground in product(values, GROUNDS)
        for text, colour in seen(value, theme).items()
        if contrast(colour, theme[ground]) < LEAST
    }
    assert pale == {}


def test_both_ways_to_the_dark_are_one_theme() -> None:
    assert colours(THEMES["asked"]) == colours(THEMES["dark"]) != {}
