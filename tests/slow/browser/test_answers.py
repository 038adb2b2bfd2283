"""What a person sees who uploads recordings: the answers are `Predictor`'s, and legible on any screen."""

import csv
import io
import re
import struct
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from app.examples import EXAMPLES
from app.words import headline, how_sure
from benchmarks.app_server import is_healthy, running_app
from benchmarks.app_visitor import (
    bar_lengths,
    confidences,
    expected_confidences,
    file_input,
    sentences,
    upload,
    visit,
    wait_until_idle,
)
from ser.corpora.ravdess import EMOTIONS, parse_stem

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def lying_wav():
    """A WAV file of 4 kB whose header claims 44 million samples."""
    claimed = 2 * 44_000_000
    form = struct.pack("<HHIIHH", 1, 1, 44100, 88200, 2, 16)
    head = b"RIFF" + struct.pack("<I", claimed + 36) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return (head + b"data" + struct.pack("<I", claimed)).ljust(4096, b"\1")


def many_channels_wav():
    """A tenth of a second in 1,000 channels."""
    frames = np.full((4800, 1000), 1000, dtype="<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 1000, 48000, 96_000_000, 2000, 16)
    head = b"RIFF" + struct.pack("<I", len(frames) + 36) + b"WAVEfmt " + struct.pack("<I", 16) + form
    return head + b"data" + struct.pack("<I", len(frames)) + frames


def test_the_answer_is_that_of_predictor_in_words_and_bars(server, context, predict, voice_wav, keep):
    content = voice_wav(3)
    page = visit(context(), server.url)
    upload(page, {"hello.wav": content})
    prediction = predict(content)
    assert confidences(page) == expected_confidences(prediction)
    expect(page.get_by_role("heading", name=headline(prediction))).to_be_visible()
    expect(page.get_by_text(how_sure(prediction))).to_be_visible()
    lengths = np.array(bar_lengths(page)[:3])  # the others are folded
    likeliest = np.array([p for _, p in prediction.top(3)])
    np.testing.assert_allclose(lengths / lengths.sum(), likeliest / likeliest.sum(), atol=0.02)
    page.locator(".ser-answer summary").click()
    page.locator(".ser-bars li").last.wait_for(state="visible")
    assert len(bar_lengths(page)) == len(EMOTIONS)
    keep(page, "answer")


def test_an_example_is_answered_after_one_click(server, context, keep):
    page = visit(context(), server.url)
    keep(page, "first-page")
    page.get_by_role("button", name=EXAMPLES[0].label).or_(page.get_by_role("radio", name=EXAMPLES[0].label)).click()
    assert len(confidences(page)) == len(EMOTIONS)
    expect(page.get_by_text(EXAMPLES[0].note)).to_be_visible()


def test_checkpoint_on_pytorch_is_answered_alike(checkpoint, context, predict, voice_wav, tmp_path):
    with running_app(tmp_path / "log.txt", variables={"SER_CHECKPOINT": str(checkpoint)}) as server:
        page = visit(context(), server.url)
        upload(page, {"hello.wav": voice_wav(4)})
        assert confidences(page) == expected_confidences(predict(voice_wav(4)))


@pytest.mark.ravdess
def test_originals_at_48_khz_are_answered_and_their_emotion_is_told(server, context, predict, ravdess_root, keep):
    folder = Path(f"{ravdess_root}-48k")
    if not folder.is_dir():
        pytest.skip(f"the publisher's WAV files are not in {folder}")
    files = {path.name: path.read_bytes() for path in sorted(folder.rglob("*.wav"))}
    page = visit(context(), server.url)
    name, content = next(iter(files.items()))
    upload(page, {name: content})
    assert confidences(page) == expected_confidences(predict(content))
    expect(page.get_by_text(f"its name says {parse_stem(Path(name).stem).emotion}")).to_be_visible()
    keep(page, "original-recording")
    page = visit(context(), server.url)
    upload(page, files)
    rows = {row["file"]: row for row in download_csv(page)}
    assert rows.keys() == files.keys()
    for name, row in rows.items():
        check_row(row, predict(files[name]))
        assert row["true"] == parse_stem(Path(name).stem).emotion


def test_several_recordings_get_a_csv_and_a_table_whose_rows_open(server, context, predict, voice_wav, keep):
    good = {"one.wav": voice_wav(5), "03-01-03-02-02-01-12.wav": voice_wav(7)}
    page = visit(context(), server.url)
    upload(page, {**good, "notes.wav": b"Only some words.\n" * 40})
    rows = {row["file"]: row for row in download_csv(page)}
    assert rows.keys() == good.keys()
    for name, content in good.items():
        check_row(rows[name], predict(content))
    assert [rows[name]["true"] for name in good] == ["", "happy"]
    for name in (*good, "notes.wav"):
        expect(page.get_by_role("row", name=name)).to_have_count(1)
    first, second = (page.get_by_role("button", name=name, exact=True) for name in good)
    expect(first).to_have_attribute("aria-expanded", "true")
    keep(page, "several")
    second.click()
    # The first one's bars stand until the second one's take their place.
    expect(page.get_by_text("its name says happy")).to_be_visible()
    wait_until_idle(page)
    assert confidences(page) == expected_confidences(predict(good["03-01-03-02-02-01-12.wav"]))
    expect(second).to_have_attribute("aria-expanded", "true")
    expect(second).to_be_focused()
    second.press("Enter")
    expect(page.locator(".ser-answer")).to_have_count(0)
    expect(second).to_have_attribute("aria-expanded", "false")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_technical_pictures_are_drawn_in_both_themes(server, context, voice_wav, keep, theme):
    page = visit(context(color_scheme=theme), server.url)
    upload(page, {"long.wav": voice_wav(5, seconds=12)})
    confidences(page)
    page.get_by_text("Technical pictures").click()
    expect(page.get_by_test_id("stVegaLiteChart").locator("canvas")).to_be_visible()
    wait_until_idle(page)
    brightness = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", brightness)[:3])) < 60) == (theme == "dark")
    keep(page, f"theme-{theme}")


def test_nothing_is_wider_than_a_phone(server, context, predict, voice_wav, keep):
    contents = {"one.wav": voice_wav(6), "03-01-05-02-01-01-12.wav": voice_wav(5, seconds=12)}
    page = visit(context(**PHONE), server.url)
    upload(page, contents)
    assert confidences(page) == expected_confidences(predict(contents["one.wav"]))
    wait_until_idle(page)
    main = page.get_by_test_id("stMain")
    assert main.evaluate("main => main.scrollWidth <= main.clientWidth && main.clientWidth === 390")
    shown = "svg:visible, p:visible, h1:visible, h2:visible, audio:visible, table:visible, li:visible, button:visible"
    right_edges = main.locator(shown).evaluate_all(
        "elements => elements.map(element => element.getBoundingClientRect().right)"
    )
    assert max(right_edges) <= 390
    keep(page, "phone")


def test_each_bad_file_gets_one_sentence_and_disturbs_nobody(server, context, predict, voice_wav, as_wav, keep):
    speech = np.frombuffer(voice_wav(9)[44:], dtype="<i2") / 2**15
    bad = {
        "empty.wav": (b"", "is empty"),
        "words.wav": (b"Only some words.\n" * 40, "cannot be read as sound"),
        "lying.wav": (lying_wav(), "cut short"),
        "holes.wav": (as_wav(np.where(speech > 0.5 * speech.max(), np.nan, speech), subtype="FLOAT"), "not numbers"),
        "silence.wav": (as_wav(np.zeros(48000)), "is silent"),
        "orchestra.wav": (many_channels_wav(), "1000 channels"),
    }
    page = visit(context(), server.url)
    other = visit(context(), server.url)
    upload(page, {name: content for name, (content, _) in bad.items()} | {"good.wav": voice_wav(9)})
    upload(other, {"good.wav": voice_wav(10)})
    assert confidences(page) == expected_confidences(predict(voice_wav(9)))
    assert confidences(other) == expected_confidences(predict(voice_wav(10)))
    told = sentences(page)
    for name, (_, reason) in bad.items():
        (sentence,) = [sentence for sentence in told if sentence.startswith(name)]
        assert reason in sentence
        assert "Traceback" not in sentence
    assert len(told) == len(bad)
    assert is_healthy(server.url)
    keep(page, "bad-files")


def test_text_renamed_to_wav_is_refused_in_one_sentence(server, context, keep):
    page = visit(context(), server.url)
    upload(page, {"words.wav": b"Only some words.\n" * 40})
    (sentence,) = sentences(page)
    assert sentence.startswith("words.wav cannot be read as sound")
    assert page.locator(".ser-answer").count() == 0
    keep(page, "refused")


def test_file_over_20_mb_never_reaches_the_server(server, context, tmp_path):
    huge = tmp_path / "huge.wav"
    huge.write_bytes(bytes(20 * 2**20 + 1))
    sent = []
    page = visit(context(), server.url)
    page.on("request", lambda request: sent.append(request.url) if request.method == "PUT" else None)
    file_input(page).set_input_files(huge)
    expect(page.get_by_test_id("stFileUploader")).to_contain_text(re.compile("20.*MB or smaller"))
    assert sent == []


def test_a_recording_of_the_microphone_is_answered(server, context, keep):
    page = visit(context(permissions=["microphone"]), server.url)
    page.get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(2500)  # of speech
    page.get_by_role("button", name="Stop recording").click()
    shown = confidences(page)
    assert {emotion for emotion, *_ in shown} == set(EMOTIONS)
    assert sum(length for *_, length in shown) == pytest.approx(100, abs=0.1)
    expect(page.get_by_text(re.compile(r"^[12]\.\d seconds, "))).to_be_visible()
    keep(page, "microphone")


def test_the_page_talks_to_its_own_server_alone(server, context, voice_wav):
    browser = context()
    hosts = set()
    browser.on("request", lambda request: hosts.add(urllib.parse.urlsplit(request.url).netloc))
    page = visit(browser, server.url)
    upload(page, {"hello.wav": voice_wav(11)})
    confidences(page)
    wait_until_idle(page)
    assert hosts - {""} == {urllib.parse.urlsplit(server.url).netloc}


def test_no_upload_touches_the_disk(server, context, voice_wav):
    def written():
        counts = Path(f"/proc/{server.process.pid}/io").read_text()
        return int(re.search(r"\nwrite_bytes: (\d+)", counts)[1])

    page = visit(context(), server.url)
    wait_until_idle(page)
    before = written()
    content = voice_wav(12, seconds=50)
    upload(page, {"minutes.wav": content})
    confidences(page)
    assert written() - before < len(content) / 4


def download_csv(page):
    """The rows of the file behind the download button."""
    button = page.get_by_test_id("stDownloadButton").get_by_role("button")
    expect(button).to_be_visible()
    wait_until_idle(page)
    with page.expect_download() as download:
        button.click()
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8-sig"))))


def check_row(row, prediction):
    """Compare a row of the CSV file with a prediction."""
    assert row["emotion"] == prediction.emotion
    told = [float(row[f"p_{name}"]) for name in prediction.class_names]
    np.testing.assert_allclose(told, prediction.probabilities, rtol=1e-5, atol=1e-7)
    assert float(row["duration"]) == pytest.approx(prediction.duration, abs=1e-3)
