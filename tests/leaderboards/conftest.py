"""A hand-made result, small enough to be changed field by field; and a browser to look at pages."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from records import changed, example
from seqedit_bench.leaderboards import Result


@pytest.fixture
def raw_result() -> dict[str, Any]:
    """The decoded example, to be changed at will."""
    return example()


@pytest.fixture
def make_result(raw_result: dict[str, Any]) -> Callable[..., Result]:
    """Build a result with some fields changed: `make_result(suite__version=3)`."""

    def make(**changes: Any) -> Result:
        data = changed(copy.deepcopy(raw_result), changes)
        if not any(path.startswith("ending") for path in changes):
            data["ending"]["edits_done"] = data["protocol"]["num_edits"]
        return Result.model_validate(data)

    return make


_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real browser without a window; skips where chromium and its driver are not installed."""
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    options = Options()
    options.binary_location = binary
    profile = tmp_path_factory.mktemp("profile")
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(driver))
    yield opened
    opened.quit()
