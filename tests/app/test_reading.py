import logging
from contextlib import ExitStack
from unittest.mock import Mock

import pytest

from app import reading
from app.capacity import BusyError, Capacity
from app.reading import Reading, Upload, read, read_all
from ser.errors import AudioError


def test_a_reading_holds_the_prediction(predictor, readings, long_wav):
    result, name = readings[1], "03-01-06-02-01-01-17.wav"
    expected = predictor.predict(long_wav, name=name)
    assert result.prediction.to_dict() == expected.to_dict()
    assert len(result.prediction.segments) > 2
    assert result.picture.seconds[-1] == pytest.approx(8)


@pytest.mark.parametrize(
    ("name", "truth"),
    [("03-01-06-02-01-01-17.wav", "fearful"), ("03-02-01-01-01-01-02.FLAC", "neutral"), ("03-01-06.wav", None)],
)
def test_the_name_of_a_ravdess_recording_holds_the_truth(predictor, short_wav, name, truth):
    result = read(upload(name, short_wav), predictor)
    assert result.truth == truth
    assert result.is_right == (result.prediction.emotion == truth)


def test_too_many_bytes_are_refused_before_they_are_decoded(predictor, short_wav, monkeypatch):
    monkeypatch.setattr(reading, "MAX_BYTES", len(short_wav))
    assert isinstance(read(upload("just.wav", short_wav), predictor), Reading)
    monkeypatch.setattr(reading, "read_sound", None)
    with pytest.raises(AudioError, match=r"more\.wav has .* MB"):
        read(upload("more.wav", short_wav + b"0"), predictor)


def test_only_what_is_new_is_read_and_what_is_gone_is_forgotten(predictor, short_wav, monkeypatch):
    calls = []
    monkeypatch.setattr(reading, "read", lambda upload, predictor: calls.append(upload.name) or f"read {upload.name}")
    first, second, third = (upload(name, short_wav) for name in ("1.wav", "2.wav", "3.wav"))
    known, reported = {}, []
    options = {"known": known, "capacity": Capacity(), "report": lambda done, total: reported.append((done, total))}
    read_all([first, second], predictor, **options)
    read_all([second, first], predictor, **options)
    assert calls == ["1.wav", "2.wav"]
    assert reported == [(0, 2), (1, 2)]
    read_all([second, third], predictor, **options)
    assert calls == ["1.wav", "2.wav", "3.wav"]
    assert known == {second.key: "read 2.wav", third.key: "read 3.wav"}


def test_a_fault_of_ours_is_one_sentence_and_the_log_has_the_rest(predictor, short_wav, monkeypatch, caplog):
    monkeypatch.setattr(reading, "draw", Mock(side_effect=RuntimeError("secret detail")))
    known, one = {}, upload("my diary.wav", short_wav)
    with caplog.at_level(logging.ERROR):
        read_all([one], predictor, known=known, capacity=Capacity(), report=lambda done, total: None)
    assert "something went wrong on the server" in known[one.key]
    assert "secret" not in known[one.key]
    assert "secret detail" in caplog.text
    assert "diary" not in caplog.text


def test_a_busy_server_keeps_what_was_read(predictor, short_wav):
    capacity = Capacity(at_once=1, max_waiting=0)
    uploads = [upload("1.wav", short_wav), upload("2.wav", short_wav)]
    known, somebody = {}, ExitStack()

    def let_somebody_in_after_the_first(done, total):
        if done == 1:
            somebody.enter_context(capacity.turn())

    with somebody, pytest.raises(BusyError):
        read_all(uploads, predictor, known=known, capacity=capacity, report=let_somebody_in_after_the_first)
    assert list(known) == [uploads[0].key]


def upload(name, content):
    return Upload(key=f"key of {name}", name=name, content=content)
