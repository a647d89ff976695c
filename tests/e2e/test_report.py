"""The report in a real browser: no errors, tables sort, histograms open, pictures show, light, dark and printed."""

from __future__ import annotations

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

from slimai import load_config, run

BUILD = Path(__file__).parents[2] / "build" / "report"
WIDTH = 1200
NEAREST = ("quantization.weight_rounding=nearest",)


def make_run(name, folder, cache, *words):
    config = load_config(f"+model={name}", f"path.output_dir={folder}", f"path.tmp_dir={cache}", *NEAREST, *words)
    run(config)
    return folder


@pytest.fixture(scope="module")
def detection(tmp_path_factory, cache_dir):
    words = ("dataset.validation_count=16", "dataset.calibration_count=16", "quantization.accuracy_level=[1,3]")
    return make_run("yolo", tmp_path_factory.mktemp("detection"), cache_dir, *words)


@pytest.fixture(scope="module")
def segmentation(tmp_path_factory, cache_dir):
    words = ("dataset.validation_count=8", "dataset.calibration_count=8", "quantization.range=99")
    return make_run("unet_digits", tmp_path_factory.mktemp("segmentation"), cache_dir, *words)


@pytest.fixture(scope="module")
def browser():
    """Return a headless Chromium; skip where there is none."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium with chromedriver here (Debian: apt-get install chromium chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    made.set_window_size(WIDTH, 900)
    yield made
    made.quit()


def opened(browser, folder):
    browser.get((folder / "report.html").as_uri())
    return browser


def screenshot(browser, name):
    BUILD.mkdir(parents=True, exist_ok=True)
    size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 6000), "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    (BUILD / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


def column(browser, table, heading):
    """Return the texts of the cells below a heading (the first that has this text), top down."""
    return browser.execute_script(
        """const table = document.getElementById(arguments[0]);
        const at = [...table.tHead.rows[0].cells].findIndex((cell) => cell.innerText.trim().startsWith(arguments[1]));
        return [...table.tBodies[0].rows].map((row) => row.cells[at].innerText.trim());""",
        table,
        heading,
    )


def press(browser, table, heading):
    browser.execute_script(
        """const heads = [...document.getElementById(arguments[0]).tHead.rows[0].cells];
        heads.find((cell) => cell.innerText.trim().startsWith(arguments[1])).querySelector("button").click();""",
        table,
        heading,
    )


def test_no_errors_and_nothing_is_fetched(browser, detection):
    page = opened(browser, detection)
    assert page.title == "yolo: quantization report"
    assert page.get_log("browser") == []
    fetched = page.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert [name for name in fetched if not name.startswith("data:")] == []
    assert page.execute_script("return document.documentElement.scrollWidth") <= WIDTH
    screenshot(page, "detection-light")


@pytest.mark.parametrize(("table", "heading"), [("results-table", "score"), ("layers-table", "SQNR dB entire")])
def test_tables_sort_both_ways(browser, detection, table, heading):
    page = opened(browser, detection)
    before = [float(text) for text in column(page, table, heading)]
    assert len(before) > 3
    press(page, table, heading)
    assert [float(text) for text in column(page, table, heading)] == sorted(before)
    press(page, table, heading)
    assert [float(text) for text in column(page, table, heading)] == sorted(before, reverse=True)
    press(page, table, "profile" if table == "results-table" else "layer")
    names = column(page, table, "profile" if table == "results-table" else "layer")
    assert names == page.execute_script("return arguments[0].sort((a, b) => a.localeCompare(b))", names)


def test_cells_without_a_number_sort_last(browser, detection):
    page = opened(browser, detection)
    for _ in range(2):
        press(page, "layers-table", "weights dB")
        texts = column(page, "layers-table", "weights dB")
        empty = [text == "–" for text in texts]
        assert any(empty)
        assert empty == sorted(empty)


def test_a_click_on_a_layer_opens_its_histogram(browser, detection):
    from selenium.webdriver.common.by import By

    saved = json.loads((detection / ".slimai" / "report.json").read_text())
    layer = saved["layers"][2]
    page = opened(browser, detection)
    row = page.find_elements(By.CSS_SELECTOR, "#layers-table tr[data-tensor]")[2]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", row)
    row.click()
    plot = page.find_element(By.CSS_SELECTOR, "#layers-table tr.plot svg")
    assert plot.is_displayed()
    assert plot.get_attribute("aria-label") == f"histogram of {layer['tensor']}"
    bars = plot.find_element(By.TAG_NAME, "path").get_attribute("d")
    assert bars.count("H") == len(saved["histograms"][layer["tensor"]]["counts"])
    places = [float(line.get_attribute("x1")) for line in plot.find_elements(By.CSS_SELECTOR, "line.limit")]
    assert len(places) == 2
    assert 52 <= min(places) < max(places) <= 550
    assert f"{layer['high']:.5g}" in plot.text.replace("e+", "e")
    screenshot(page, "detection-histogram")
    row.click()
    assert page.find_elements(By.CSS_SELECTOR, "#layers-table tr.plot") == []
    assert page.get_log("browser") == []


@pytest.mark.parametrize("kind", ["detection", "segmentation"])
def test_pictures_of_both_networks_are_visible(browser, kind, request):
    page = opened(browser, request.getfixturevalue(kind))
    from selenium.webdriver.common.by import By

    images = page.find_elements(By.CSS_SELECTOR, ".pair img")
    assert len(images) == 12
    assert all(image.is_displayed() and int(image.get_property("naturalWidth")) >= 64 for image in images)
    assert page.get_log("browser") == []
    screenshot(page, f"{kind}-pictures")


def test_dark_and_printed(browser, detection):
    page = opened(browser, detection)
    read = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    light = page.execute_script(read)
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    dark = page.execute_script(read)
    assert brightness(light[0]) > 200 > brightness(light[1])
    assert brightness(dark[0]) < 60
    assert brightness(dark[1]) > 200
    drawn = page.execute_script("return getComputedStyle(document.querySelector('figure svg text')).fill")
    assert brightness(drawn) > 120  # figures follow the page
    screenshot(page, "detection-dark")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [], "media": "print"})
    assert page.execute_script("return getComputedStyle(document.querySelector('nav')).display") == "none"
    printed = base64.b64decode(page.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"])
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [], "media": ""})
    assert printed.startswith(b"%PDF-")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 4
    (BUILD / "detection.pdf").write_bytes(printed)


def test_a_narrow_screen_has_no_horizontal_scroll(browser, detection):
    page = opened(browser, detection)
    narrow = {"width": 400, "height": 900, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    assert page.execute_script("return document.documentElement.scrollWidth") == 400
    screenshot(page, "detection-400")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_box_of_the_network_leads_to_its_row(browser, detection):
    page = opened(browser, detection)
    page.execute_script(
        "document.querySelectorAll('.net a')[3].dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    found = page.execute_script("return [document.querySelectorAll('.net a')[3].href.baseVal, location.hash]")
    assert found[0] == found[1]
    assert page.execute_script("return document.querySelector('tr:target').dataset.tensor") is not None


def test_what_can_be_read_aloud_has_a_name(browser, detection):
    page = opened(browser, detection)
    bare = "img:not([alt]), table:not(:has(caption)), svg:not([aria-label]), th:not([scope])"
    script = f"return [...document.querySelectorAll('{bare}')].map((item) => item.outerHTML.slice(0, 80));"
    assert page.execute_script(script) == []


def brightness(color):
    numbers = [float(part) for part in color[color.index("(") + 1 :].rstrip(")").split(",")[:3]]
    return sum(numbers) / 3


def test_the_page_is_small(detection, segmentation):
    assert (detection / "report.html").stat().st_size < 500_000
    assert (segmentation / "report.html").stat().st_size < 500_000


def test_it_is_built_again_from_the_run_alone(detection, slimai, tmp_path):
    copy = tmp_path / "run"
    (copy / ".slimai").mkdir(parents=True)
    for name in ("run.json", ".slimai/report.json"):
        shutil.copy(detection / name, copy / name)
    done = slimai("report", copy)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"wrote {copy / 'report.html'}\n"
    assert (copy / "report.html").read_bytes() == (detection / "report.html").read_bytes()


def test_a_folder_that_is_no_run_is_refused(slimai, tmp_path):
    done = slimai("report", tmp_path)
    assert done.returncode == 2
    assert "run.json: is not the result of a run" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_multirun_has_a_page_over_its_jobs(slimai, browser, tmp_path, cache_dir):
    output = tmp_path / "sweep"
    done = slimai(
        "-m", "+model=mobilenet_digits", "quantization.weight_rounding=nearest", f"path.output_dir={output}",
        f"path.tmp_dir={cache_dir}",
        "dataset.validation_count=8", "dataset.calibration_count=16", "quantization.range=99",
        "quantization.accuracy_level=0,3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before = (output / "report.html").read_bytes()
    page = opened(browser, output)
    assert column(page, "jobs-table", "level") == ["0", "3"]
    assert page.get_log("browser") == []
    screenshot(page, "multirun")
    page.execute_script("document.querySelector('#jobs-table a').click()")
    assert page.title == "mobilenet_digits: quantization report"
    (output / "report.html").unlink()
    (output / "job0" / "report.html").unlink()
    again = slimai("report", output)
    assert again.returncode == 0, again.stderr
    assert (output / "report.html").read_bytes() == before
    assert (output / "job0" / "report.html").is_file()
