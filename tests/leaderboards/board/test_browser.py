"""The board in a real browser: sorted, filtered, linked to, compared, narrow, dark, unscripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from browsed import assert_quiet, look, luminance
from seqedit_bench.leaderboards.board.filed import read_entries
from seqedit_bench.leaderboards.board.site import write_site
from seqedit_bench.leaderboards.board.standings import standings

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def sites(
    entries: Path, hostile_entries: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sites")
    for name, source in (("board", entries), ("hostile", hostile_entries)):
        write_site(standings(read_entries(source)), folder / name)
    return {path.name: path for path in folder.iterdir()}


@pytest.fixture
def opened(browser: Any, sites: dict[str, Path]) -> Iterator[Open]:
    """Open a page; afterwards the console must be empty, and nothing have been asked for."""

    def call(page: str = "index.html", hash: str = "", *, site: str = "board", **asked: Any) -> Any:
        return look(browser, next(sites[site].glob(page)).as_uri() + hash, **asked)

    yield call
    assert_quiet(browser)
    browser.execute_script("localStorage.clear()")


def table(page: Any) -> Any:
    """The larger of the two tables."""
    return page.find_elements(By.CSS_SELECTOR, "table.board")[1]


def editors(page: Any) -> list[str]:
    """What the rows of that table show, from top to bottom."""
    links = table(page).find_elements(By.CSS_SELECTOR, "tbody .who a")
    return [link.text for link in links if link.is_displayed()]


def heading(page: Any, key: str) -> Any:
    return table(page).find_element(By.CSS_SELECTOR, f'th[data-sort="{key}"]')


def press(page: Any, key: str) -> Any:
    found = heading(page, key)
    found.find_element(By.TAG_NAME, "button").click()
    return found


def count(page: Any) -> str:
    return page.find_element(By.ID, "count").text


def where(page: Any) -> str:
    return page.execute_script("return location.hash")


def row_id(page: Any, editor: str) -> str:
    rows = table(page).find_elements(By.CSS_SELECTOR, "tbody tr")
    found = next(r for r in rows if r.find_element(By.CSS_SELECTOR, ".who a").text == editor)
    return found.get_attribute("id").removeprefix("r-")


def test_sorting_by_click(opened: Open) -> None:
    page = opened()
    best_first = editors(page)
    assert best_first[0] == "memit"
    assert heading(page, "s").get_attribute("aria-sort") == "descending"
    cost = press(page, "seconds")
    assert editors(page)[-2:] == ["ft", "memit"]
    assert cost.get_attribute("aria-sort") == "ascending"
    assert heading(page, "s").get_attribute("aria-sort") is None
    press(page, "seconds")
    assert editors(page)[0] == "memit"
    press(page, "editor")
    assert editors(page) == ["ft", "grace", "memit", "rome"]
    press(page, "s")
    assert editors(page) == best_first


def test_sorting_by_keyboard(opened: Open) -> None:
    page = opened()
    button = heading(page, "collapse").find_element(By.TAG_NAME, "button")
    button.send_keys(Keys.SPACE)
    assert editors(page)[-1] == "rome"
    button.send_keys(Keys.ENTER)
    assert editors(page)[0] == "rome"
    assert page.switch_to.active_element == button
    outline = page.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_ticking_by_keyboard_keeps_the_place(opened: Open) -> None:
    page = opened()
    for place in (1, 2):
        box = table(page).find_elements(By.CSS_SELECTOR, "[data-pair]")[place]
        box.send_keys(Keys.SPACE)
        assert box.is_selected()
        assert page.switch_to.active_element == box


def test_filtering(opened: Open) -> None:
    page = opened()
    assert count(page) == "6 of 6 rows shown"
    page.find_element(By.CSS_SELECTOR, '[data-filter="without"][value="covariance"]').click()
    assert editors(page) == ["ft", "grace"]
    assert count(page) == "3 of 6 rows shown"
    Select(page.find_element(By.CSS_SELECTOR, '[data-filter="kind"]')).select_by_value("hooks")
    assert editors(page) == ["grace"]
    # A table without rows is not shown at all.
    first = page.find_elements(By.CSS_SELECTOR, "#boards section")[0]
    assert not first.is_displayed()
    page.find_element(By.ID, "reset").click()
    assert count(page) == "6 of 6 rows shown" and first.is_displayed()


def test_searching(opened: Open) -> None:
    page = opened()
    search = page.find_element(By.CSS_SELECTOR, '[data-filter="q"]')
    search.send_keys("else GRACE")
    assert editors(page) == ["grace"]
    search.send_keys(" nothing like it")
    assert count(page) == "0 of 6 rows shown"
    assert page.find_element(By.ID, "empty").is_displayed()


def test_a_link_brings_all_of_it_back(opened: Open) -> None:
    page = opened()
    press(page, "ns")
    press(page, "ns")
    Select(page.find_element(By.CSS_SELECTOR, '[data-filter="suite"]')).select_by_value("quick@2")
    page.find_element(By.CSS_SELECTOR, '[data-filter="without"][value="training"]').click()
    pair = [row_id(page, name) for name in ("memit", "rome")]
    for each in pair:
        page.find_element(By.CSS_SELECTOR, f'[data-pair="{each}"]').click()
    link, shown = where(page), editors(page)
    assert link == f"#sort=-ns&suite=quick%402&without=training&pair={'.'.join(pair)}"
    page = opened(hash=link)
    assert editors(page) == shown
    assert where(page) == link
    assert heading(page, "ns").get_attribute("aria-sort") == "ascending"
    assert page.find_element(By.ID, "chosen").text == "memit and rome"
    # Going elsewhere within the page keeps what is shown; going back to the plain one does not.
    page.execute_script("location.hash = '#join'")
    assert editors(page) == shown
    page.execute_script("location.hash = ''")
    page.execute_script("dispatchEvent(new HashChangeEvent('hashchange'))")
    assert count(page) == "6 of 6 rows shown"


@pytest.mark.parametrize(
    "hash", ["#sort=nothing&kind=x&pair=1.2.3&q=", "#sort=%22%5D&model=%00", "#===&&", "#%E0%A4%A"]
)
def test_links_that_mean_nothing_show_everything(hash: str, opened: Open) -> None:
    page = opened(hash=hash)
    assert count(page) == "6 of 6 rows shown"
    assert heading(page, "s").get_attribute("aria-sort") == "descending"


def test_comparing_two(opened: Open) -> None:
    page = opened()
    ids = {name: row_id(page, name) for name in ("memit", "rome")}
    for each in ids.values():
        page.find_element(By.CSS_SELECTOR, f'[data-pair="{each}"]').click()
    page.find_element(By.ID, "to-compare").click()
    assert page.title == "memit and rome"
    assert where(page) == f"#a={ids['memit']}&b={ids['rome']}"
    rows = page.find_elements(By.CSS_SELECTOR, "#differences tbody tr")
    told = {row.find_element(By.TAG_NAME, "th").text: row.text for row in rows}
    assert "memit is better" in told["S"] and "memit is better" in told["kept exact"]
    assert "rome is better" in told["s/edit"]
    assert told["edits before collapse"].split()[-2:] == [">60", "39"]
    lines = page.find_elements(By.CSS_SELECTOR, '[data-chart$="-es"] g.side-a, g.side-b .line')
    assert sum(line.is_displayed() for line in lines) >= 2
    before = cells(page, "S")
    page.find_element(By.ID, "swap").click()
    assert page.title == "rome and memit"
    assert where(page) == f"#a={ids['rome']}&b={ids['memit']}"
    after = cells(page, "S")
    assert (after[0], after[1]) == (before[1], before[0])
    # "+7.5 +4.1 to +11.0" is turned round to "-7.5 -11.0 to -4.1".
    value, low, _, high = before[2].translate(str.maketrans("+-", "-+")).split()
    assert after[2] == f"{value} {high} to {low}"


def cells(page: Any, measure: str) -> list[str]:
    """What the table of differences says of a measure: the first, the second, the difference."""
    rows = page.find_elements(By.CSS_SELECTOR, "#differences tbody tr")
    row = next(r for r in rows if r.find_element(By.TAG_NAME, "th").text == measure)
    found = [cell.text for cell in row.find_elements(By.TAG_NAME, "td")]
    return [text.replace("\N{MINUS SIGN}", "-") for text in found]


def test_reading_values_of_two(opened: Open) -> None:
    page = opened("compare.html")
    Select(page.find_element(By.ID, "a")).select_by_visible_text("memit")
    figures = page.find_elements(By.CSS_SELECTOR, '[data-chart$="-kept"]')
    figure = next(each for each in figures if each.is_displayed())
    figure.send_keys(Keys.END)
    readout = figure.find_element(By.CSS_SELECTOR, ".readout").text.replace("\n", " ")
    assert readout.startswith("60 edits")
    assert len(figure.find_elements(By.CSS_SELECTOR, "circle.hit")) == 2


def test_one_row_is_compared_with_the_best_of_its_table(opened: Open) -> None:
    page = opened("rows/rome-*.html")
    page.find_element(By.LINK_TEXT, "Compare with another").click()
    assert page.title == "rome and memit"
    assert opened("compare.html", "#b=nobody&x").title == "memit and mend"


def test_unlike_rows_are_not_compared(opened: Open) -> None:
    page = opened("compare.html")
    selects = [Select(page.find_element(By.ID, side)) for side in "ab"]
    values = [str(option.get_attribute("value")) for option in selects[0].options]
    selects[0].select_by_value(values[0])
    selects[1].select_by_value(values[-1])
    said = page.find_element(By.ID, "said").text
    assert "cannot be compared" in said and "suite: clean@2" in said and "model: gpt-j-6b" in said
    assert not page.find_element(By.ID, "differences").is_displayed()
    selects[1].select_by_value(values[0])
    assert "the same row" in page.find_element(By.ID, "said").text


def test_a_row_tells_its_course(opened: Open) -> None:
    page = opened("rows/rome-*.html")
    assert "the model breaks after 39 edits" in page.find_element(By.TAG_NAME, "body").text
    figure = page.find_element(By.CSS_SELECTOR, '[data-chart="es"]')
    figure.send_keys(Keys.HOME)
    readout = figure.find_element(By.CSS_SELECTOR, ".readout").text
    assert "mean" in readout and "sample 2, last 5" in readout
    assert len(figure.find_elements(By.CSS_SELECTOR, "path.collapse")) == 2


def test_dark_and_light_are_remembered(opened: Open) -> None:
    page = opened(dark=True)
    assert luminance(page) < 60
    page.find_element(By.ID, "theme").click()
    assert luminance(page) > 200
    assert luminance(opened("compare.html", dark=True)) > 200
    page.execute_script("localStorage.clear()")
    assert luminance(opened("compare.html", dark=True)) < 60


@pytest.mark.parametrize("page", ["index.html", "compare.html", "rows/rome-*.html"])
@pytest.mark.parametrize("site", ["board", "hostile"])
def test_narrow_fits_the_screen(page: str, site: str, opened: Open) -> None:
    shown = opened(page if site == "board" else page.replace("rome-", ""), site=site, width=375)
    assert shown.execute_script("return document.documentElement.scrollWidth") <= 375
    assert shown.execute_script("return window.hacked") is None
    assert shown.find_elements(By.TAG_NAME, "img") == []


def test_hostile_rows_work_like_others(opened: Open) -> None:
    page = opened(site="hostile")
    assert page.find_element(By.ID, "count").text == "2 of 2 rows shown"
    needs = Select(page.find_element(By.CSS_SELECTOR, '[data-filter="needs"]'))
    needs.select_by_value('"quoted"')
    assert page.find_element(By.ID, "count").text == "1 of 2 rows shown"
    link = where(page)
    page = opened(site="hostile", hash=link)
    assert page.find_element(By.ID, "count").text == "1 of 2 rows shown"
    page = opened("compare.html", site="hostile")
    assert "cannot be compared" in page.find_element(By.ID, "said").text
    assert page.execute_script("return window.hacked") is None


def test_everything_can_be_reached_by_keyboard(opened: Open) -> None:
    page = opened()
    seen = set()
    for _ in range(40):
        ActionChains(page).send_keys(Keys.TAB).perform()
        active = page.switch_to.active_element
        seen.add(active.get_attribute("id") or active.get_attribute("class") or active.tag_name)
    assert {"skip", "theme", "a", "select", "input", "button", "scroll"} <= seen


@pytest.mark.parametrize("width", [375, 1280])
def test_without_the_script_all_rows_are_there(width: int, opened: Open) -> None:
    page = opened(script=False, width=width)
    rows = page.find_elements(By.CSS_SELECTOR, "table.board tbody tr")
    assert len(rows) == 6 and all(row.is_displayed() for row in rows)
    assert not page.find_element(By.ID, "filters").is_displayed()
    assert not any(e.is_displayed() for e in page.find_elements(By.CSS_SELECTOR, ".pick"))
    page.find_element(By.CSS_SELECTOR, ".board .who a").click()
    assert page.find_element(By.CSS_SELECTOR, "#files a").is_displayed()
    page = opened("compare.html", script=False, width=width)
    assert page.find_element(By.CSS_SELECTOR, ".pairs").is_displayed()
    assert "takes the script" in page.find_element(By.TAG_NAME, "body").text
