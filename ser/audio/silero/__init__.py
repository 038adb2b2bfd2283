"""Silero's detector of speech: the probability that somebody speaks, for each 32 ms of sound at 16 kHz.

The network is that of the package silero-vad 6.2.3 (github.com/snakers4/silero-vad, MIT, see `LICENSE` here), with its
weights. `benchmarks/rewrite_silero.py` made its convolutions into products of matrices, which take a third of the time.
The package itself needs torch, and the file does not.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Before ONNX Runtime is imported, see ser.inference.onnx_backend.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

MODEL = Path(__file__).with_name("silero_vad_16k_products.onnx")
SAMPLE_RATE = 16_000
FRAME = 512
"""Samples that a probability is of."""
_CONTEXT = 64
"""Samples before the frame that the network sees with it."""
_LEAD_FRAMES = 8
"""The first quarter of a second goes before the sound, mirrored: from its first state the network misses a voice that
begins at once, and takes a hum for one."""
_FRAMES_PER_CALL = 1024
"""Half a minute: one call over ten minutes would take 400 MB."""


def speech_probabilities(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of speech of each frame, float32 [ceil(samples / `FRAME`)].

    Parameters
    ----------
    waveform : float32 [samples] at `SAMPLE_RATE`, of a voice at -60 to 0 dB of full scale; the last frame is filled
        with zeros.
    """
    count = _LEAD_FRAMES + -(-len(waveform) // FRAME)
    padded = np.zeros(_CONTEXT + count * FRAME, dtype=np.float32)
    start = _CONTEXT + _LEAD_FRAMES * FRAME
    padded[start : start + len(waveform)] = waveform
    lead = waveform[1 : start + 1][::-1]
    padded[start - len(lead) : start] = lead
    frames = np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT + FRAME)[::FRAME]
    hidden = cell = np.zeros((1, 1, 128), dtype=np.float32)
    probabilities = np.empty(count, dtype=np.float32)
    for first in range(0, count, _FRAMES_PER_CALL):
        part = slice(first, min(first + _FRAMES_PER_CALL, count))
        inputs = {"input": np.ascontiguousarray(frames[part]), "h": hidden, "c": cell}
        probabilities[part], hidden, cell = _session().run(["speech_probs", "hn", "cn"], inputs)
    return probabilities[_LEAD_FRAMES:]


@cache
def _session() -> Any:
    import onnxruntime  # a tenth of a second, and only once sound is searched

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(MODEL), options, providers=["CPUExecutionProvider"])
