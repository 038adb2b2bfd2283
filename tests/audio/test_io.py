import io
import struct
import tracemalloc
from pathlib import Path
from unittest.mock import Mock

import librosa
import numpy as np
import pytest
import soundfile

from ser.audio.bare import Seekable
from ser.audio.folder import find_sound_files
from ser.audio.io import MAX_SECONDS, read_sound, resample
from ser.errors import AudioError

RATE = 22050


def encoded(samples, rate=RATE, *, format="WAV", subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=format, subtype=subtype)
    return file.getvalue()


def sine(rate, *, seconds=1.0, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize(
    ("format", "subtype", "step"),
    [
        *(("WAV", subtype, 2.0**-bits) for subtype, bits in (("PCM_U8", 7), ("PCM_16", 15), ("PCM_24", 23))),
        *(("WAV", subtype, step) for subtype, step in (("PCM_32", 1e-7), ("FLOAT", 0), ("DOUBLE", 0))),
        *(("FLAC", subtype, 2.0**-bits) for subtype, bits in (("PCM_16", 15), ("PCM_24", 23))),
        ("OGG", "VORBIS", 0.02),
        ("MP3", "MPEG_LAYER_III", 0.02),
    ],
)
def test_every_format_gives_the_samples_that_were_written(tmp_path, format, subtype, step):
    written = sine(RATE)
    path = tmp_path / f"sine.{format.lower()}"
    soundfile.write(path, written, RATE, format=format, subtype=subtype)

    sound = read_sound(path, sample_rate=RATE)

    assert sound.waveform.dtype == np.float32
    assert sound.sample_rate == RATE
    assert sound.duration == pytest.approx(1.0)
    assert not sound.clipped
    # The lossy ones ring where the sine starts and stops suddenly.
    inner = slice(2000, -2000) if step == 0.02 else slice(None)
    np.testing.assert_allclose(sound.waveform[inner], written[inner], rtol=0, atol=step)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_channels_are_mixed_by_their_mean(channels):
    written = np.random.default_rng(1).uniform(-0.5, 0.5, (RATE, channels)).astype(np.float32)
    sound = read_sound(encoded(written, subtype="FLOAT"), sample_rate=RATE)
    np.testing.assert_allclose(sound.waveform, sum(written.T) / channels, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("rate", "samples"), [(48_000, 70_001), (16_000, 300_001), (4_000, 2_000), (192_000, 200_000)])
def test_equals_librosa_load_on_stereo_of_one_block_or_several(tmp_path, rate, samples):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.random.default_rng(2).uniform(-0.5, 0.5, (samples, 2)), rate)
    expected, _ = librosa.load(path, sr=RATE, mono=True)
    sound = read_sound(path, sample_rate=RATE)
    np.testing.assert_array_equal(sound.waveform, expected)
    assert sound.peak == np.abs(expected).max()
    assert sound.duration == pytest.approx(samples / rate)


@pytest.mark.parametrize(("source", "target"), [(48_000, 22_050), (22_050, 48_000), (44_100, 16_000), (8_000, 8_000)])
@pytest.mark.parametrize("samples", [1, 997, 20_011])
def test_resample_in_blocks_equals_librosa_at_once(source, target, samples):
    waveform = np.random.default_rng(3).normal(size=samples).astype(np.float32)
    expected = librosa.resample(waveform, orig_sr=source, target_sr=target, res_type="soxr_hq")
    blocks = np.split(waveform, [1, 500, 500])  # one of them is empty
    np.testing.assert_array_equal(resample(blocks, source, target), expected)


def test_bytes_and_path_give_the_same(voice_file):
    from_path, from_bytes = (read_sound(one, sample_rate=16_000) for one in (voice_file, voice_file.read_bytes()))
    np.testing.assert_array_equal(from_path.waveform, from_bytes.waveform)
    assert from_path.duration == from_bytes.duration


def test_clipping_is_noticed_from_one_sample_in_a_thousand():
    written = sine(RATE)
    written[:20] = 1.0
    assert not read_sound(encoded(written), sample_rate=RATE).clipped
    written[:40] = -1.0
    assert read_sound(encoded(written), sample_rate=RATE).clipped


def with_a_value(value):
    samples = sine(RATE)
    samples[5000] = value
    return encoded(samples, subtype="FLOAT")


def flac_claiming(total_samples):
    """FLAC of 4 kB whose header claims `total_samples` (a field of 36 bits that ends at byte 26)."""
    flac = bytearray(encoded(np.random.default_rng(4).normal(0, 0.1, RATE), format="FLAC"))
    flac[22:26] = total_samples.to_bytes(4, "big")
    return bytes(flac[:4096])


def wav_with(place, value):
    """WAV with some bytes of its header replaced."""
    wav = bytearray(encoded(sine(RATE)))
    wav[place : place + len(value)] = value
    return bytes(wav)


def wav_claiming(total_samples):
    """WAV of 4 kB whose header claims `total_samples` of 16 bits."""
    return wav_with(40, (2 * total_samples).to_bytes(4, "little"))[:4096]


NO_SOUND = "cannot be read as sound: it is no sound file"
REFUSED_BEFORE_DECODING = {
    "empty": (b"", "is empty"),
    "text": (b"These are words, not sound.\n" * 400, NO_SOUND),
    "header alone": (encoded(sine(RATE))[:44], "holds 0% of the sound"),
    "half a header": (encoded(sine(RATE))[:20], "no data chunk"),
    "truncated WAV": (encoded(sine(RATE))[:30_000], "is cut short: it holds [0-9]+%"),
    "no channels": (wav_with(22, b"\0\0"), "0 channels; 1 to 8"),
    "nine channels": (encoded(np.tile(sine(RATE)[:, None], 9)), "9 channels; 1 to 8"),
    "rate of 1 Hz": (encoded(sine(RATE), 1), "rate of 1 Hz"),
    "rate of 3,999 Hz": (encoded(sine(RATE), 3_999), "rate of 3999 Hz"),
    "rate of 192,001 Hz": (encoded(sine(RATE), 192_001), "rate of 192001 Hz"),
    "mu-law of 16 bits": (wav_with(20, b"\x07\0"), "format 0x0007"),
    "WAV that claims too much": (wav_claiming(44_000_000), "is cut short: it holds 0%"),
    "IRCAM": (encoded(sine(RATE), format="IRCAM"), NO_SOUND),
    "nine channels of AIFF": (encoded(np.tile(sine(RATE)[:, None], 9), format="AIFF"), "9 channels; 1 to 8"),
    "AIFF of 1 Hz": (encoded(sine(RATE), 1, format="AIFF"), "rate of 1 Hz"),
    "truncated AIFF": (encoded(sine(RATE), format="AIFF")[:30_000], "is cut short: it holds 6[0-9]%"),
    "truncated AU": (encoded(sine(RATE), format="AU")[:30_000], "is cut short: it holds 6[0-9]%"),
    "truncated CAF": (encoded(sine(RATE), format="CAF")[:30_000], "is cut short: it holds [56][0-9]%"),
    "truncated W64": (encoded(sine(RATE), format="W64")[:30_000], "is cut short: it holds 6[0-9]%"),
    "truncated RF64": (encoded(sine(RATE), format="RF64")[:30_000], "is cut short: it holds 6[0-9]%"),
}
REFUSED = REFUSED_BEFORE_DECODING | {
    "FLAC in name": (b"fLaC" + bytes(4000), "cannot be read"),
    "no frames": (encoded(sine(RATE)[:0]), "holds no sound"),
    "truncated FLAC": (encoded(sine(RATE), format="FLAC")[:-3000], "cannot be read"),
    "not a number": (with_a_value(np.nan), "not numbers"),
    "infinity": (with_a_value(-np.inf), "not numbers"),
    "overflow": (with_a_value(1e25), "times full scale"),
    "silence": (encoded(np.zeros(RATE)), "silent"),
    "opposite channels": (encoded(np.stack([sine(RATE), -sine(RATE)], axis=1), subtype="FLOAT"), "silent"),
    "a tenth of a second": (encoded(sine(RATE, seconds=0.1)), "lasts 0.10 s; at least 0.2 s"),
    "FLAC of 1 Hz": (encoded(sine(RATE), 1, format="FLAC"), "rate of 1 Hz"),
    "FLAC that claims too much": (flac_claiming(44_000_000), "cannot be read"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_recording_is_refused_by_name(tmp_path, monkeypatch, kind):
    content, complaint = REFUSED[kind]
    if kind in REFUSED_BEFORE_DECODING:
        monkeypatch.setattr("ser.audio.io.soundfile.SoundFile", lambda *_: pytest.fail("the decoder was called"))
    path = tmp_path / "voice-7.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=rf"{path} .*{complaint}"):
        read_sound(path, sample_rate=RATE)
    with pytest.raises(AudioError, match=f"the seventh .*{complaint}"):
        read_sound(content, sample_rate=RATE, name="the seventh")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("before", [True, False])
def test_lists_in_a_wav_do_not_reach_the_decoder(before):
    """libsndfile goes back by a length of -8 for ever."""
    plain = encoded(sine(RATE))
    within = b"INFO" + b"LIST" + struct.pack("<i", -8) + b"INFO"
    lists = b"LIST" + struct.pack("<I", len(within)) + within
    hostile = plain[:36] + lists + plain[36:] if before else plain + lists
    expected = read_sound(plain, sample_rate=RATE)
    np.testing.assert_array_equal(read_sound(hostile, sample_rate=RATE).waveform, expected.waveform)


@pytest.mark.parametrize(
    "error", [soundfile.LibsndfileError(1), *(kind("x") for kind in (RuntimeError, ValueError, TypeError, OSError))]
)
def test_every_error_of_the_decoder_is_of_one_type(monkeypatch, error):
    content = encoded(sine(RATE))
    monkeypatch.setattr("ser.audio.io.soundfile.SoundFile", Mock(side_effect=error))
    with pytest.raises(AudioError, match="the seventh cannot be read as sound"):
        read_sound(content, sample_rate=RATE, name="the seventh")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    for path, reason in ((tmp_path / "missing.wav", "there is no such file"), (tmp_path, "is a folder")):
        with pytest.raises(AudioError, match=reason) as refused:
            read_sound(path, sample_rate=RATE)
        assert str(path) in str(refused.value)


def test_the_shortest_and_the_longest_that_are_read():
    assert read_sound(encoded(sine(RATE, seconds=0.2)), sample_rate=RATE).duration == pytest.approx(0.2)
    longest = encoded(np.full(4000 * 600, 0.1), 4000, format="FLAC")
    assert read_sound(longest, sample_rate=4000).duration == MAX_SECONDS


def test_too_long_a_sound_is_refused_before_memory_is_taken_for_it():
    forty_minutes = np.full(4000 * 2400, 0.1, dtype=np.float32)  # 202 MiB at our rate
    for content, complaint, most_mib in (
        (flac_claiming(44_000_000), "cannot be read", 8),  # the claim: 168 MiB
        (wav_claiming(44_000_000), "is cut short", 8),
        (encoded(forty_minutes, 4000, format="FLAC"), "longer than 600 s", 64),  # ten minutes are 50 MiB
    ):
        tracemalloc.start()
        with pytest.raises(AudioError, match=complaint):
            read_sound(content, sample_rate=RATE)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < most_mib * 2**20


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG"])
def test_random_damage_raises_nothing_but_audio_errors(format):
    rng = np.random.default_rng(5)
    whole = encoded(sine(RATE, seconds=0.5), format=format)
    refused = 0
    for _ in range(60):
        damaged = np.frombuffer(whole, dtype=np.uint8).copy()
        damaged[rng.integers(0, min(len(whole), 200), size=4)] = rng.integers(0, 256, size=4)
        try:
            sound = read_sound(damaged.tobytes(), sample_rate=RATE)
        except AudioError:
            refused += 1
        else:
            assert np.isfinite(sound.waveform).all()
    assert refused > 0


def test_a_seek_to_before_the_beginning_leaves_the_place(voice_file):
    with voice_file.open("rb") as file:
        for raw in (file, io.BytesIO(bytes(100))):
            seekable = Seekable(raw)
            assert seekable.seek(60) == 60
            assert seekable.seek(-5) == seekable.tell() == 60
            assert seekable.seek(-10, io.SEEK_CUR) == 50


@pytest.mark.ravdess
def test_the_recordings_at_48_khz_equal_the_corpus_within_one_step(ravdess_root):
    originals = Path(f"{ravdess_root}-48k")
    wavs = find_sound_files(originals)
    if not wavs:
        pytest.skip(f"{originals} holds no recordings")
    kept = {path.stem: path for path in find_sound_files(ravdess_root)}
    step = 1 / 2**15
    for wav in wavs:
        # 16-bit samples end where full scale does; the filter's overshoot goes beyond.
        ours = read_sound(wav, sample_rate=RATE).waveform.clip(-1, 1 - step)
        theirs = read_sound(kept[wav.stem], sample_rate=RATE).waveform
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=step, err_msg=wav.name)
        assert len(ours) > 2.9 * RATE  # none is shorter than that
    assert len(wavs) >= 20
