"""What a visitor of the app does, in a real Chromium: open the page, upload, wait, read the result."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect, sync_playwright

from ser.inference.results import Prediction

CHROMIUM = "/usr/bin/chromium"
PATIENCE_MS = 120_000
"""Longest wait for an answer: enough on a busy machine, and what works never waits for it."""
_FLAGS = (
    "--no-sandbox",  # root, which continuous integration often runs as, cannot have it
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
_PERCENTAGE = re.compile(r"^\d+\.\d%$")
# Percentages from top to bottom and what stands beside each, by place on the screen and not by order in the page.
_ROWS_OF_CHART = """
chart => {
  const texts = [...chart.querySelectorAll("text")].map(text => {
    const box = text.getBoundingClientRect();
    return {words: text.textContent, middle: (box.top + box.bottom) / 2};
  });
  const isPercentage = text => /^\\d+\\.\\d%$/.test(text.words);
  return texts.filter(isPercentage).sort((one, other) => one.middle - other.middle).map(percentage => [
    texts.filter(text => text.words && !isPercentage(text) && Math.abs(text.middle - percentage.middle) < 6)
      .map(text => text.words).join(" "),
    percentage.words,
  ]);
}
"""
# The lengths of the bars that can be seen, from top to bottom.
_LENGTHS_OF_BARS = """
chart => [...chart.querySelectorAll(".mark-rect.role-mark path")]
  .filter(bar => bar.getAttribute("opacity") !== "0" && bar.getAttribute("fill-opacity") !== "0")
  .map(bar => bar.getBoundingClientRect())
  .sort((one, other) => one.top - other.top)
  .map(box => box.width)
"""


@contextmanager
def launch_chromium(*, microphone: Path | None = None) -> Iterator[Browser]:
    """Start Debian's Chromium without a screen; `microphone` is a WAV file that its microphone plays over and over."""
    expect.set_options(timeout=PATIENCE_MS)
    sound = [f"--use-file-for-fake-audio-capture={microphone}"] if microphone else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_FLAGS, *sound])
        yield browser
        browser.close()


def visit(context: BrowserContext, url: str) -> Page:
    """Open the app in a page of its own, and wait until it takes files."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    file_input(page).wait_for(state="attached")
    return page


def file_input(page: Page) -> Locator:
    """The element that takes files."""
    return page.get_by_test_id("stFileUploaderDropzoneInput")


def upload(page: Page, files: Mapping[str, bytes]) -> None:
    """Give the app files by name and content; the page answers some time later."""
    payloads = [{"name": name, "mimeType": "audio/wav", "buffer": content} for name, content in files.items()]
    file_input(page).set_input_files(payloads)


def upload_together(uploads: Sequence[tuple[Page, Mapping[str, bytes]]]) -> None:
    """Give files to the app in many pages, and hold what they send until all do, so that the server gets it at once."""
    held: list[Route] = []
    for page, files in uploads:
        page.route("**/_stcore/upload_file/**", lambda route: held.append(route))
        upload(page, files)
    while len(held) < sum(len(files) for _, files in uploads):
        uploads[0][0].wait_for_timeout(50)
    for sending in held:
        sending.continue_()


def confidences(page: Page) -> list[tuple[str, str]]:
    """Wait for the bar chart that can be seen and return its rows from top to bottom: emotion and percentage."""
    return [tuple(row) for row in _bar_chart(page).evaluate(_ROWS_OF_CHART)]


def bar_lengths(page: Page) -> list[float]:
    """Wait for the bar chart that can be seen and return the lengths of its bars in pixels, from top to bottom."""
    return _bar_chart(page).evaluate(_LENGTHS_OF_BARS)


def expected_confidences(prediction: Prediction) -> list[tuple[str, str]]:
    """What `confidences` should return for a prediction."""
    return [
        (name, f"{p:.1%}")
        for name, p in zip(prediction.class_names, prediction.probabilities.astype(float), strict=True)
    ]


def sentences(page: Page) -> list[str]:
    """Wait for an error or a warning and return all that can be seen."""
    alerts = page.get_by_test_id("stAlert").locator("visible=true")
    expect(alerts.first).to_be_visible()
    wait_until_idle(page)
    return alerts.get_by_test_id("stMarkdownContainer").all_inner_texts()


def wait_until_idle(page: Page) -> None:
    """Wait until the app is done with the last action."""
    idle = "notRunning"
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", idle)


def _bar_chart(page: Page) -> Locator:
    chart = page.locator('[data-testid="stVegaLiteChart"][aria-label^="Confidences"]:visible')
    expect(chart.locator("text").filter(has_text=_PERCENTAGE).first).to_be_visible()
    return chart
