"""The page for those who use a keyboard or a screen reader: axe-core's rules of WCAG 2 A and AA, and a walk by keys."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from app.examples import EXAMPLES
from app.words import headline
from benchmarks.app_visitor import confidences, upload, visit, wait_until_idle
from tests.slow.browser.test_answers import PHONE

RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
DESKTOP = {"viewport": {"width": 1280, "height": 900}}


def faults(page):
    """The faults of the app, once it is done."""
    wait_until_idle(page)
    page.wait_for_timeout(1000)  # what comes in gradually has no contrast before
    return serious_faults(page)


def serious_faults(page):
    """The serious and critical faults that axe-core finds, each with the elements that have it."""
    violations = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['html'][:200]}"
        for one in violations
        for node in one["nodes"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("device", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_no_serious_fault(server, context, voice_wav, keep, device, theme, request):
    page = visit(context(color_scheme=theme, **device), server.url)
    assert faults(page) == []
    upload(
        page, {"one.wav": voice_wav(5, seconds=12), "two.wav": voice_wav(6), "words.wav": b"Only some words.\n" * 40}
    )
    confidences(page)
    page.locator(".ser-answer summary").click()
    page.get_by_text("Technical pictures").click()
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas")).to_be_visible()
    assert faults(page) == []
    if device is PHONE:
        page.get_by_test_id("stExpandSidebarButton").click()
        expect(page.get_by_role("heading", name="The model")).to_be_visible()
        assert faults(page) == []
    keep(page, f"axe-{request.node.callspec.id}")


def test_axe_would_find_a_fault(server, context):
    page = visit(context(), server.url)
    page.evaluate("document.querySelector('h1').style.color = '#eee'")
    assert any(fault.startswith("color-contrast: ") for fault in faults(page))


def test_an_example_is_chosen_answered_and_played_by_keys_alone(server, context):
    page = visit(context(), server.url)
    page.get_by_role("radio", name=EXAMPLES[-1].label).focus()
    page.keyboard.press("Space")
    confidences(page)
    wait_until_idle(page)
    said = page.locator(".player .announcement")
    expect(said).to_contain_text(EXAMPLES[-1].label)  # what a screen reader says when the answer is there
    part = page.locator(".parts button").first
    part.focus()
    assert part.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(part).to_have_attribute("aria-current", "true")


def test_the_answer_is_a_heading_and_comes_into_view(server, context, predict, voice_wav):
    content = voice_wav(3)
    page = visit(context(viewport={"width": 390, "height": 600}), server.url)
    upload(page, {"hello.wav": content})
    heading = page.get_by_role("heading", name=headline(predict(content)), level=2)
    expect(heading).to_be_in_viewport()
