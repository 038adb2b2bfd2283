"""The pages that a run and an analysis leave, opened from their files: contrast, sizes, hover, sound, paper."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.command_line import run_in_process
from tests.slow.browser.test_accessibility import RULES
from tests.slow.browser.test_answers import PHONE

DESKTOP = {"viewport": {"width": 1360, "height": 900}}
# Of every element with text of its own: the size in pixels of the screen, and the text.
SIZES = """
elements => elements
  .filter(one => one.getClientRects().length)
  .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
  .map(one => {
    const chart = one.closest("svg");
    const scale = chart ? chart.getBoundingClientRect().width / chart.viewBox.baseVal.width : 1;
    return [parseFloat(getComputedStyle(one).fontSize) * scale, one.textContent];
  })
"""
FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
LOAD = """
sound => new Promise((done, failed) => {
  sound.onloadedmetadata = () => done(sound.duration);
  sound.onerror = () => failed(sound.error);
  sound.load();
})
"""


@pytest.fixture(scope="module")
def analysis(tiny_corpus, tmp_path_factory) -> Path:
    """The report of `ser eda` on the tiny corpus."""
    folder = tmp_path_factory.mktemp("eda")
    fixed = (
        f"data.root={tiny_corpus}",
        "data.workers=1",
        f"paths.cache_dir={folder}/cache",
        f"output_dir={folder}/out",
    )
    done = run_in_process("-m", "ser", "eda", *fixed, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "out" / "report.html"


@pytest.fixture(params=["run", "analysis"])
def report(request) -> Path:
    """The page of a run, then that of an analysis."""
    if request.param == "run":
        return request.getfixturevalue("debug_run") / "report.html"
    return request.getfixturevalue("analysis")


@pytest.fixture
def opened(context, report):
    """A function that opens the page; whatever it is refused or fails at is a fault."""
    faults: list[str] = []

    def visit(**options):
        page = context(**options).new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(report.resolve().as_uri())
        return page

    yield visit
    assert faults == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_serious_fault_and_text_is_large_enough(opened, device, theme, screenshots, request):
    page = opened(color_scheme=theme, **device)
    for folded in page.locator("summary").all():
        folded.click()
    violations = Axe().run(page, options=RULES).response["violations"]
    assert [one["id"] for one in violations if one["impact"] in ("serious", "critical")] == []
    sizes = page.locator("body *:not(script)").evaluate_all(SIZES)
    assert len(sizes) > 100
    assert [text for size, text in sizes if size < 11.9] == []
    assert page.evaluate("document.documentElement.scrollWidth") == device["viewport"]["width"]
    page.screenshot(path=screenshots / f"report-{request.node.callspec.id}.png", full_page=True)


def test_the_theme_is_that_of_the_system_and_paper_is_white(opened):
    page = opened(color_scheme="dark")
    colours = "() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    dark = page.evaluate(colours)
    page.emulate_media(color_scheme="light")
    assert page.evaluate(colours) == dark[::-1] or page.evaluate(colours)[0] == "rgb(255, 255, 255)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(colours)[0] == "rgb(255, 255, 255)"
    expect(page.get_by_role("navigation")).to_be_hidden()


def test_a_mark_and_a_cell_tell_their_values_to_the_mouse_and_to_a_finger(opened):
    page = opened()
    tip = page.locator("#tip")
    expect(tip).to_be_hidden()
    cells = page.locator("image[data-cells]").first
    cells.scroll_into_view_if_needed()
    page.evaluate(FRAMES)
    place = cells.bounding_box()
    rows, columns = cells.evaluate("one => [one.dataset.cells].map(JSON.parse).map(c => [c.rows, c.columns])[0]")
    row, column = len(rows) // 2, len(columns) // 2
    # In the middle of a cell, where its number stands too.
    page.mouse.move(
        place["x"] + place["width"] * (column + 0.5) / len(columns),
        place["y"] + place["height"] * (row + 0.5) / len(rows),
    )
    expect(tip).to_be_visible()
    expected = cells.evaluate("(one, n) => (JSON.parse(one.dataset.cells).texts || [])[n]", row * len(columns) + column)
    told = tip.text_content()
    assert told == expected if expected else told.startswith(f"{rows[row]} at {columns[column]}: ")
    page.get_by_role("heading", level=1).hover()
    expect(tip).to_be_hidden()
    mark = page.locator("use.mark").first
    mark.scroll_into_view_if_needed()
    page.evaluate(FRAMES)  # the page hides the values when it scrolls, and learns of that with the next frame
    mark.hover(force=True)
    expect(tip).to_be_visible()
    assert len(tip.text_content()) > 5
    finger = opened(**PHONE)
    box = finger.locator("use.mark").first
    box.scroll_into_view_if_needed()
    finger.evaluate(FRAMES)
    place = box.bounding_box()
    finger.touchscreen.tap(place["x"] + place["width"] / 2 + 10, place["y"] + place["height"] / 2)  # beside it
    expect(finger.locator("#tip")).to_be_visible()


def test_the_recordings_can_be_played(opened):
    page = opened()
    sounds = page.locator("audio")
    assert sounds.count() > 0
    seconds = sounds.first.evaluate(LOAD)
    assert 0.5 < seconds <= 10.1


def test_the_contents_list_leads_to_its_heading(opened):
    page = opened()
    link = page.get_by_role("navigation").get_by_role("link").last
    link.click()
    heading = page.locator(link.get_attribute("href"))
    expect(heading).to_be_in_viewport()
