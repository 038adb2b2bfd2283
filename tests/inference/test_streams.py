"""Pipes among the recordings: read once, here, whichever process extracts the features."""

import io
import os
import threading

import numpy as np
import pytest

from ser.audio import io as audio_io
from ser.inference.results import Failure


@pytest.mark.timeout(60)
@pytest.mark.parametrize("workers", [1, 2])
def test_streams_are_predicted_as_files_by_any_number_of_workers(predictor, voice_file, tmp_path, monkeypatch, workers):
    monkeypatch.setattr(audio_io, "MAX_STREAM_BYTES", 2**21)
    pipe, content = tmp_path / "pipe.wav", voice_file.read_bytes()
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    sources = [pipe, "/dev/zero", io.BytesIO(content), *[voice_file] * 8]  # more than are done without workers
    results = list(predictor.predict_many(sources, workers=workers))
    writer.join()
    assert isinstance(results.pop(1), Failure)
    expected = predictor.predict(voice_file).probabilities
    for result in results:
        np.testing.assert_allclose(result.probabilities, expected, rtol=1e-5)
