"""What a visitor of the app does, in a real Chromium: open the page, upload, wait, read the result."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect, sync_playwright

from app.words import percent
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
# What stands in each row of the bars, the folded ones too: class, percentage, and the length of the bar in percent.
_ROWS = """
rows => rows.map(row => [
  row.querySelector(".ser-name").textContent,
  row.querySelector(".ser-percent").textContent,
  parseFloat(row.querySelector(".ser-track > span").style.width),
])
"""
_LENGTHS = "bars => bars.map(bar => bar.getBoundingClientRect().width).filter(width => width)"


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


def confidences(page: Page) -> list[tuple[str, str, float]]:
    """Wait for an answer and return its rows, best first: emotion, written percentage, length of the bar."""
    return [tuple(row) for row in _bars(page).locator("li").evaluate_all(_ROWS)]


def bar_lengths(page: Page) -> list[float]:
    """Wait for an answer and return the lengths of the bars that can be seen in pixels, from top to bottom."""
    return _bars(page).locator(".ser-track > span").evaluate_all(_LENGTHS)


def expected_confidences(prediction: Prediction) -> list[tuple[str, str, float]]:
    """What `confidences` should return for a prediction."""
    ranked = prediction.top(len(prediction.class_names))
    return [(name, percent(p), float(f"{100 * p:.2f}")) for name, p in ranked]


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


def _bars(page: Page) -> Locator:
    answer = page.locator(".ser-answer").first
    expect(answer.locator(".ser-bars").first).to_be_visible()
    return answer
