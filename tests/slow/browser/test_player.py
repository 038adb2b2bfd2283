"""The line of a long recording: its parts are those of the prediction, and it is one with the player."""

import re

import numpy as np
from playwright.sync_api import expect

from app.parts import parts_of
from app.words import clock, percent
from benchmarks.app_visitor import confidences, expected_confidences, upload, visit, wait_until_idle

STATE = "audio => [audio.currentTime, audio.paused]"


def long_wav(voice_wav, as_wav, *seeds):
    """Voices one after the other, ten seconds of silence between every two, as a WAV file at 48 kHz."""
    waves = [np.frombuffer(voice_wav(seed)[44:], dtype="<i2") / 2**15 for seed in seeds]
    pause = np.zeros(10 * 48_000)
    return as_wav(np.concatenate([piece for wave in waves for piece in (wave, pause)][:-1]))


def parts_shown(page):
    """What each button of the line does, in words."""
    buttons = page.locator(".parts button")
    expect(buttons.first).to_be_visible()
    return buttons.evaluate_all("buttons => buttons.map(button => button.getAttribute('aria-label'))")


def expected_parts(prediction):
    return [
        f"Play {clock(part.start)} to {clock(part.end)}: {part.emotion}, {percent(part.confidence)}"
        for part in parts_of(prediction)
    ]


def test_the_parts_are_those_of_the_prediction(server, context, predict, voice_wav, as_wav, keep):
    content = long_wav(voice_wav, as_wav, 5, 7, 8)
    prediction = predict(content)
    assert len({part.emotion for part in parts_of(prediction)}) > 1
    page = visit(context(), server.url)
    upload(page, {"long.wav": content})
    assert confidences(page) == expected_confidences(prediction)
    assert parts_shown(page) == expected_parts(prediction)
    colours = page.locator(".player svg rect.speech").evaluate_all("bars => bars.map(bar => bar.getAttribute('fill'))")
    assert len(set(colours)) == len({part.emotion for part in parts_of(prediction)})
    keep(page, "long")


def test_a_part_that_is_clicked_is_played_and_highlighted(server, context, predict, voice_wav, as_wav):
    content = long_wav(voice_wav, as_wav, 5, 7, 8)
    parts = parts_of(predict(content))
    page = visit(context(), server.url)
    upload(page, {"long.wav": content})
    parts_shown(page)
    wait_until_idle(page)
    buttons, audio = page.locator(".parts button"), page.get_by_test_id("stAudio")
    buttons.nth(1).click()
    expect(buttons.nth(1)).to_have_attribute("aria-current", "true")
    second, is_paused = audio.evaluate(STATE)
    assert not is_paused
    assert parts[1].start <= second <= parts[1].end
    expect(page.locator(".player svg")).to_have_class(re.compile("started"))
    # It stops where the part ends, and nothing is highlighted any more.
    expect(buttons.nth(1)).not_to_have_attribute("aria-current", "true")
    second, is_paused = audio.evaluate(STATE)
    assert is_paused
    assert second >= parts[1].end
    assert len(parts) < 3 or second < parts[2].start
    # Where somebody plays the recording by its own controls, the line follows.
    audio.evaluate("(audio, second) => { audio.currentTime = second; audio.play(); }", parts[0].start + 0.1)
    expect(buttons.nth(0)).to_have_attribute("aria-current", "true")


def test_the_details_of_recordings_of_one_length_are_not_mixed_up(server, context, predict, voice_wav, as_wav):
    good = {"first.wav": long_wav(voice_wav, as_wav, 5, 8), "second.wav": long_wav(voice_wav, as_wav, 8, 5)}
    expected = {name: expected_parts(predict(content)) for name, content in good.items()}
    assert expected["first.wav"] != expected["second.wav"]
    page = visit(context(), server.url)
    upload(page, good)
    assert parts_shown(page) == expected["first.wav"]
    page.get_by_role("button", name="second.wav", exact=True).click()
    # The first one's parts stand until the second one's take their place.
    expect(page.locator(".parts button").first).to_have_attribute("aria-label", expected["second.wav"][0])
    assert parts_shown(page) == expected["second.wav"]


def test_a_format_that_the_browser_cannot_play_is_said(server, context, voice_wav):
    page = visit(context(), server.url)
    upload(page, {"hello.wav": voice_wav(3)})
    confidences(page)
    trouble = page.locator(".player .trouble")
    expect(trouble).to_have_text("")
    page.get_by_test_id("stAudio").evaluate("audio => audio.dispatchEvent(new Event('error'))")
    expect(trouble).to_contain_text("cannot play")
