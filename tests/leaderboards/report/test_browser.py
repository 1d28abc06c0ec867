"""The report in a real browser: read, switched, narrow, dark, and without its script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browsed import assert_quiet, look, luminance
from reported import FAST
from seqedit_bench.leaderboards.analysis.journal import RunJournal
from seqedit_bench.leaderboards.report.page import report

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def files(
    runs: list[RunJournal], hostile: RunJournal, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    for name, shown in (("runs", runs), ("hostile", [hostile])):
        (folder / f"{name}.html").write_text(report(shown, FAST), encoding="utf-8")
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Open]:
    """Open a report; afterwards the console must be empty, and nothing have been asked for."""

    def call(name: str = "runs", **asked: Any) -> Any:
        return look(browser, files[name].as_uri(), **asked)

    yield call
    assert_quiet(browser)


def chart(page: Any, name: str) -> Any:
    return page.find_element(By.CSS_SELECTOR, f'[data-chart="{name}"]')


def readout(figure: Any) -> str:
    return figure.find_element(By.CSS_SELECTOR, ".readout").text


def test_arrow_keys_read_values(opened: Open) -> None:
    figure = chart(opened(), "retention")
    figure.send_keys(Keys.HOME)
    assert readout(figure).startswith("10 edits")
    figure.send_keys(Keys.ARROW_RIGHT)
    assert readout(figure).startswith("20 edits")
    figure.send_keys(Keys.END)
    # Memit's run is shorter: at the end there is nothing of it to read.
    assert (
        readout(figure).replace("\n", " ") == "160 edits rome 0 ft_c " + readout(figure).split()[-1]
    )
    figure.send_keys(Keys.ESCAPE)
    assert readout(figure) == ""


def test_pointing_reads_values(opened: Open) -> None:
    page = opened()
    figure = chart(page, "es")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
    ActionChains(page).move_to_element(figure.find_element(By.CSS_SELECTOR, "svg")).perform()
    text = readout(figure)
    assert "edits" in text and "rome" in text and "memit" in text
    assert len(figure.find_elements(By.CSS_SELECTOR, "circle.hit")) == 3


def test_switching_a_run_off_and_on(opened: Open) -> None:
    page = opened()
    button = page.find_element(By.CSS_SELECTOR, '.legend [data-run="0"]')
    line = chart(page, "es").find_element(By.CSS_SELECTOR, '[data-run="0"] .line')
    assert line.is_displayed()
    button.send_keys(Keys.SPACE)
    assert button.get_attribute("aria-pressed") == "false"
    assert not line.is_displayed()
    figure = chart(page, "es")
    figure.send_keys(Keys.HOME)
    assert "rome" not in readout(figure)
    button.click()
    assert line.is_displayed()


def test_the_triangle_reads_shares(opened: Open) -> None:
    page = opened()
    figure = page.find_element(By.CSS_SELECTOR, ".triangle")
    figure.send_keys(Keys.ARROW_LEFT)
    assert readout(figure).replace("\n", " ") == "facts 1 to 4 after 150 edits: 0 % there"


def test_everything_can_be_reached_by_keyboard(opened: Open) -> None:
    page = opened()
    seen = set()
    for _ in range(60):
        ActionChains(page).send_keys(Keys.TAB).perform()
        active = page.switch_to.active_element
        seen.add(
            active.get_attribute("data-chart") or active.get_attribute("class") or active.tag_name
        )
    assert {"es", "distance", "summary", "a"} <= seen


def test_narrow_fits_the_screen(opened: Open) -> None:
    page = opened(width=360)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    svg = chart(page, "es").find_element(By.CSS_SELECTOR, ".plot svg")
    assert 300 <= svg.size["width"] <= 360


def test_dark_and_light(opened: Open) -> None:
    page = opened(dark=True)
    assert luminance(page) < 60
    page.find_element(By.ID, "theme").click()
    assert luminance(page) > 200
    assert luminance(opened()) > 200


def test_without_the_script_all_is_there(opened: Open) -> None:
    page = opened(script=False)
    figure = chart(page, "es")
    assert figure.find_element(By.CSS_SELECTOR, ".line").is_displayed()
    assert page.find_element(By.CSS_SELECTOR, "#tables table").is_displayed()
    assert not page.find_element(By.ID, "theme").is_displayed()
    assert "breaks the model with edit 80" in page.find_element(By.TAG_NAME, "body").text


@pytest.mark.parametrize("width", [360, 1280])
def test_no_markup_of_strangers_comes_alive(opened: Open, width: int) -> None:
    page = opened("hostile", width=width)
    assert page.execute_script("return window.hacked") is None
    assert page.find_elements(By.TAG_NAME, "img") == []
    figure = chart(page, "es")
    figure.send_keys(Keys.END)
    assert "<img src=x" in readout(figure)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
