"""Pages as a real browser shows them, and that they ask nobody for anything."""

from __future__ import annotations

from typing import Any


def look(
    browser: Any, address: str, *, width: int = 1280, dark: bool = False, script: bool = True
) -> Any:
    """Open a page in a window so wide, with what somebody prefers."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    features = [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
        # Nothing is still moving when it is clicked on.
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not script})
    # Another hash alone would not load the page anew.
    browser.get("about:blank")
    browser.get(address)
    return browser


def assert_quiet(browser: Any) -> None:
    """The console is empty, and nothing has been asked for."""
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert browser.get_log("browser") == []
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def luminance(page: Any) -> float:
    """Return how bright the ground of a page is, from 0 to 255."""
    colour = page.execute_script("return getComputedStyle(document.body).backgroundColor")
    return sum(map(float, colour.strip("rgb()").split(",")[:3])) / 3
