from dataclasses import replace
from unittest.mock import Mock

import librosa
import numpy as np
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression

from ser.corpora import synthetic
from ser.corpora.ravdess import CHANNEL_FOLDERS, EMOTIONS, RecordingName, expected_names, parse_stem
from ser.corpora.synthetic import SAMPLE_RATE, SyntheticSettings, synthesize, write_synthetic_corpus
from ser.errors import CorpusError, SettingsError
from tests.corpora.test_archive import files_in

TINY = SyntheticSettings(n_actors=1, n_statements=1, n_repetitions=1)
NEUTRAL = RecordingName(channel="speech", emotion="neutral", intensity="normal", statement=1, repetition=1, actor=1)


def pitch(waveform):
    """Median fundamental frequency in Hz, of the louder frames."""
    loudness = librosa.feature.rms(y=waveform)[0]
    return np.median(librosa.yin(waveform, fmin=60, fmax=500, sr=SAMPLE_RATE)[loudness > 0.3 * loudness.max()])


def summarise(waveform):
    """Cepstral means and deviations, pitch, loudness and duration of a recording: float64 [27]."""
    cepstrum = librosa.feature.mfcc(y=waveform, sr=SAMPLE_RATE, n_mfcc=12)
    overall = [np.log(pitch(waveform)), len(waveform), np.log(np.std(waveform))]
    return np.concatenate([cepstrum.mean(axis=1), cepstrum.std(axis=1), overall])


def test_layout_and_format_are_those_of_ravdess(tmp_path):
    root = write_synthetic_corpus(tmp_path / "corpus", replace(TINY, channels=("speech", "song")))
    expected = {
        f"{CHANNEL_FOLDERS[name.channel]}/Actor_01/{name.stem}.wav"
        for name in (*expected_names("speech"), *expected_names("song"))
        if name.actor == name.statement == name.repetition == 1
    }
    assert len(expected) == 15 + 11
    assert {path.relative_to(root).as_posix() for path in root.rglob("*.wav")} == expected
    for path in root.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
        assert 1.0 < info.duration < 4.0


def test_default_names_are_six_actors_of_speech():
    assert SyntheticSettings().names() == [name for name in expected_names("speech") if name.actor <= 6]


def test_seed_and_name_fix_every_byte_of_a_recording_and_the_rest_of_the_corpus_none(tmp_path):
    variants = {"first": TINY, "again": TINY, "other": replace(TINY, seed=1), "large": replace(TINY, n_repetitions=2)}
    first, again, other, large = (files_in(write_synthetic_corpus(tmp_path / n, s)) for n, s in variants.items())
    assert first == again
    assert first.keys() == other.keys()
    assert not set(first.values()) & set(other.values())
    first.pop(synthetic.MARKER)
    assert first.items() <= large.items()
    assert len(set(large.values())) == len(large)


def test_sound_is_finite_within_full_scale_and_begins_in_silence():
    for emotion in EMOTIONS:
        waveform = synthesize(replace(NEUTRAL, emotion=emotion))
        assert waveform.dtype == np.float32
        assert np.isfinite(waveform).all()
        assert 0.02 < np.abs(waveform).max() <= 0.95 + 1e-6
        edges = np.concatenate([waveform[: SAMPLE_RATE // 10], waveform[-SAMPLE_RATE // 10 :]])
        assert 0 < np.std(edges) < 0.05 * np.std(waveform)


def test_resonators_peak_at_the_formants():
    frequencies, bandwidths = np.array([500.0, 1500.0]), np.array([80.0, 100.0])
    sections = synthetic._resonators(frequencies, bandwidths)
    for section, frequency, bandwidth in zip(sections, frequencies, bandwidths, strict=True):
        grid = np.arange(0, SAMPLE_RATE / 2, 1.0)
        z = np.exp(-2j * np.pi * grid / SAMPLE_RATE)
        gain = np.abs(section[0] / (1 + section[4] * z + section[5] * z**2))
        assert gain[0] == pytest.approx(1.0)
        assert grid[np.argmax(gain)] == pytest.approx(frequency, abs=5)
        above_half_power = np.sum(gain > gain.max() / np.sqrt(2))
        assert above_half_power == pytest.approx(bandwidth, rel=0.1)


def test_source_has_one_pulse_a_period():
    calm = synthetic._NEUTRAL._replace(breath=0.0)
    source = synthetic._source(np.full(SAMPLE_RATE, 173.3), calm, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(source - source.mean()))
    assert np.argmax(spectrum) == pytest.approx(173.3, abs=1)  # one second of sound: bins are 1 Hz apart
    assert spectrum[20:150].max() < 0.05 * spectrum.max()  # unequal or missing pulses would sound an octave below


def test_speakers_and_emotions_differ_as_they_should():
    def mean(measure, actors, **changes):
        return np.mean([measure(synthesize(replace(NEUTRAL, actor=actor, **changes))) for actor in actors])

    men, women = (1, 3, 5, 7), (2, 4, 6, 8)
    assert mean(pitch, women) > 1.4 * mean(pitch, men)
    strong = {"intensity": "strong"}
    assert mean(pitch, men, emotion="fearful", **strong) > 1.2 * mean(pitch, men, emotion="sad", **strong)
    assert mean(np.std, men, emotion="angry", **strong) > 3 * mean(np.std, men, emotion="sad", **strong)
    assert mean(len, men, emotion="sad", **strong) > 1.15 * mean(len, men, emotion="fearful", **strong)


def test_emotions_can_be_learnt_but_not_perfectly(tmp_path):
    """Logistic regression on the first repetition, scored on the second."""
    root = write_synthetic_corpus(tmp_path / "corpus", SyntheticSettings(n_actors=4))
    paths = sorted(root.rglob("*.wav"))
    rows = np.array([summarise(soundfile.read(path, dtype="float32")[0]) for path in paths])
    names = [parse_stem(path.stem) for path in paths]
    first = np.array([name.repetition == 1 for name in names])
    emotions = np.array([name.emotion for name in names])
    rows = (rows - rows[first].mean(axis=0)) / rows[first].std(axis=0)

    classifier = LogisticRegression(max_iter=2000).fit(rows[first], emotions[first])
    assert 0.5 < classifier.score(rows[~first], emotions[~first]) < 0.97


def test_a_corpus_of_the_same_settings_is_reused_and_any_other_folder_refused(tmp_path, monkeypatch):
    root = write_synthetic_corpus(tmp_path / "corpus", TINY)
    before = files_in(root)
    monkeypatch.setattr(synthetic, "synthesize", lambda *_args, **_kwargs: pytest.fail("written twice"))
    assert write_synthetic_corpus(root, TINY) == root
    with pytest.raises(CorpusError, match="other settings"):
        write_synthetic_corpus(root, replace(TINY, seed=1))
    monkeypatch.setattr(synthetic, "_VERSION", synthetic._VERSION + 1)
    with pytest.raises(CorpusError, match="other settings"):
        write_synthetic_corpus(root, TINY)
    assert files_in(root) == before

    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("years of work")
    with pytest.raises(CorpusError, match="foreign"):
        write_synthetic_corpus(tmp_path / "foreign", TINY)
    assert files_in(tmp_path / "foreign") == {"thesis.txt": b"years of work"}


def test_two_processes_may_write_one_corpus_at_once(tmp_path, monkeypatch):
    def slower(name, *, seed):
        monkeypatch.undo()  # before the first recording is made, another process writes all of them
        write_synthetic_corpus(tmp_path / "corpus", TINY)
        return synthesize(name, seed=seed)

    monkeypatch.setattr(synthetic, "synthesize", slower)
    root = write_synthetic_corpus(tmp_path / "corpus", TINY)
    assert list(tmp_path.iterdir()) == [root]
    assert files_in(root) == files_in(write_synthetic_corpus(tmp_path / "other", TINY))


def test_a_failure_half_way_leaves_nothing(tmp_path, monkeypatch):
    sounds = [np.zeros(9, np.float32)] * 3
    monkeypatch.setattr(synthetic, "synthesize", Mock(side_effect=[*sounds, OSError("the disk is full")]))
    with pytest.raises(OSError, match="full"):
        write_synthetic_corpus(tmp_path / "corpus", TINY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "bad", [{"n_actors": 0}, {"n_actors": 25}, {"channels": ()}, {"channels": ("shout",)}, {"n_statements": 3},
            {"n_repetitions": 0}, {"seed": -1}]
)  # fmt: skip
def test_settings_out_of_range_are_named(bad):
    (key,) = bad
    with pytest.raises(SettingsError, match=rf"^SyntheticSettings\.{key}(\[0\])? is .*(but should|known are)"):
        SyntheticSettings(**bad)
