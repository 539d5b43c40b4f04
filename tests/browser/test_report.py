"""report.html in Chromium: the console stays empty, nothing is fetched, nothing is cut off, and axe finds no violation."""

import base64
import json
import os
import subprocess
from pathlib import Path

import axe_core_python
import pytest
from selenium import webdriver

ROOT = Path(__file__).resolve().parents[2]
LOBSET = os.environ.get("LOBSET", ROOT / "target/release/lobset")
PICTURES = ROOT / "target/browser"
AXE = next(Path(axe_core_python.__file__).parent.rglob("axe*.js")).read_text()
SMALL = "--lookback-rows 20 --lookforward-input 20 --lookforward-offset 2 --nbins 5 --min-symbol-samples 100".split()
# How each page is made: the market, and the settings of the run.
PAGES = {
    "targets": (["--days", "4"], [*SMALL, "--target", "h10=return(10),classes=share", "--samples", "1000"]),
    "symbols": (["--days", "2", "--options", "200"], SMALL),
}


@pytest.fixture(scope="module", params=PAGES)
def page(request, tmp_path_factory):
    """(name, file) of a report."""
    market, settings = PAGES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    simulate = [LOBSET, "simulate", folder / "market", "-q", "--rows", "60000", *market]
    for command in (simulate, [LOBSET, "process", folder / "market", "-o", folder / "out", "-q", *settings]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return request.param, folder / "out/report.html"


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    yield driver
    driver.quit()


def view(browser, width, height=1000, **media):
    """Shows pages in this size from now on, and with these features: `prefers_color_scheme`, or the medium."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    medium = media.pop("medium", "")
    features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": features})


def outside(browser):
    """What is wider than the page, but for what scrolls within it."""
    return browser.execute_script("""
        const wide = [...document.body.querySelectorAll("*")].filter(e =>
            e.checkVisibility() && e.getBoundingClientRect().right > innerWidth + 1
            && (matchMedia("print").matches || !e.closest(".scroll")));
        return wide.map(e => e.outerHTML.slice(0, 120));
    """)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_a_report_looks_as_it_should(page, browser, width, scheme):
    name, file = page
    view(browser, width, prefers_color_scheme=scheme)
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(file.as_uri())
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = {e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"}
    assert file.as_uri() in asked and all(url == file.as_uri() or url.startswith("data:") for url in asked)
    assert outside(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_script(AXE)
    run = "axe.run(document, {resultTypes: ['violations']}).then(arguments[arguments.length - 1])"
    found = browser.execute_async_script(run)
    assert found["passes"] and found["violations"] == []
    height = browser.execute_script("return document.documentElement.scrollHeight")
    # Who reads it sees the verdict without scrolling, and a page that has an end, however many symbols there are.
    facts = browser.execute_script("return document.querySelector('.facts').getBoundingClientRect().bottom")
    assert facts < 1000 and height < 30_000
    PICTURES.mkdir(parents=True, exist_ok=True)
    view(browser, width, min(height, 12_000), prefers_color_scheme=scheme)
    browser.save_screenshot(PICTURES / f"{name}-{width}-{scheme}.png")


def test_a_report_can_be_printed(page, browser):
    name, file = page
    browser.get(file.as_uri())
    # A4 at 96 dots per inch, less a centimetre at each side.
    view(browser, 718, medium="print", prefers_color_scheme="light")
    assert outside(browser) == []
    view(browser, 1000)
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    PICTURES.mkdir(parents=True, exist_ok=True)
    data = base64.b64decode(printed["data"])
    (PICTURES / f"{name}.pdf").write_bytes(data)
    assert data.startswith(b"%PDF") and 1 <= data.count(b"/Type /Page\n") <= 40
