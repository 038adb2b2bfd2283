import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ser.audio.io import read_sound
from ser.corpora.ravdess import EMOTIONS
from ser.errors import AudioError, CheckpointError, SettingsError
from ser.evaluation.publish import publish
from ser.features.extract import extract, fit_length
from ser.features.pipeline import load_features, network_input
from ser.features.settings import FeatureSettings
from ser.inference.checkpoint import load_recogniser
from ser.inference.onnx_backend import OnnxScorer
from ser.inference.predictor import Predictor
from ser.inference.results import NO_SPEECH, SPEECH, Failure, Prediction
from ser.inference.torch_backend import TorchScorer
from tests.checkpoints import random_recogniser


@pytest.fixture
def voices(tmp_path, voice):
    """Five recordings of other speeds, so that their predictions differ."""
    paths = [tmp_path / f"{number}.wav" for number in range(5)]
    for number, path in enumerate(paths):
        soundfile.write(path, voice[: 44100 - 4000 * number], 16000 + 4000 * number)
    return paths


def test_a_prediction_is_a_distribution_over_the_classes_and_repeatable(predictor, voice_file):
    prediction, again = predictor.predict(voice_file), predictor.predict(voice_file.read_bytes(), name="upload")
    assert prediction.class_names == predictor.class_names == EMOTIONS
    assert prediction.probabilities.shape == (8,)
    assert prediction.probabilities.dtype == np.float32
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    (segment,) = prediction.segments
    assert segment.attention.shape == (32,)
    assert segment.attention.sum() == pytest.approx(1, abs=1e-6)
    assert (segment.start, segment.end, segment.offset) == (0, prediction.duration, 0)
    assert prediction.duration == pytest.approx(30_000 / 22050)
    assert prediction.status == SPEECH
    assert prediction.source == str(voice_file)
    assert prediction.confidence == prediction.probabilities.max() > 1 / 8
    assert prediction.emotion == EMOTIONS[list(prediction.probabilities).index(prediction.confidence)]
    np.testing.assert_array_equal(again.probabilities, prediction.probabilities)
    assert again.source == "upload"
    assert not predictor.scorer.recogniser.training


def test_the_way_from_sound_to_probabilities_by_hand(predictor, tiny_checkpoint, voice_file):
    recogniser, metadata = load_recogniser(tiny_checkpoint)
    waveform = read_sound(voice_file, sample_rate=22050).waveform
    features = fit_length(extract(waveform, metadata.features), 64)
    normalised = (torch.from_numpy(features) - recogniser.normalisation.mean) / recogniser.normalisation.scale
    with torch.no_grad():
        logits = recogniser.network(normalised[None], torch.tensor([59]))[0][0].double().numpy()
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(predictor.predict(voice_file).probabilities, expected, rtol=1e-5)


@pytest.mark.parametrize("class_names", [("sad", "happy"), ("surprise", "calm", "angry")])  # two are enough
def test_probabilities_follow_the_order_of_the_classes(tiny_metadata, voice_file, class_names):
    metadata = replace(tiny_metadata, class_names=class_names)  # no alphabet, no RAVDESS order
    for strongest, name in enumerate(class_names):
        recogniser = random_recogniser(metadata)
        with torch.no_grad():
            recogniser.network.classify.weight.zero_()
            recogniser.network.classify.bias.copy_(torch.eye(len(class_names))[strongest] * 2)
        prediction = Predictor(TorchScorer(recogniser), metadata).predict(voice_file)
        assert prediction.emotion == name
        assert prediction.confidence == pytest.approx(np.exp(2) / (np.exp(2) + len(class_names) - 1))


def test_many_files_are_predicted_as_each_alone_by_any_number_of_workers(predictor, voices):
    paths = [*voices] * 14  # more than a batch
    together, failures = predictor.predict_files(paths, workers=1)
    assert failures == {}
    assert [prediction.source for prediction in together] == [str(path) for path in paths]
    alone = [predictor.predict(path) for path in voices]
    for ours, theirs in zip(together, alone * 14, strict=True):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=1e-4, atol=1e-6)
        assert [one.start for one in ours.segments] == [one.start for one in theirs.segments]
        assert ours.duration == theirs.duration
    assert len({tuple(prediction.probabilities) for prediction in alone}) == 5
    by_two, _ = predictor.predict_files(paths, workers=2)
    for ours, theirs in zip(together, by_two, strict=True):
        np.testing.assert_array_equal(ours.probabilities, theirs.probabilities)


def test_a_bad_file_among_good_ones_is_named(predictor, voices, tmp_path):
    bad, missing = tmp_path / "bad.wav", tmp_path / "missing.wav"
    bad.write_text("words")
    predictions, failures = predictor.predict_files([voices[0], bad, voices[1], missing], workers=1)
    assert [prediction.source for prediction in predictions] == [str(voices[0]), str(voices[1])]
    assert list(failures) == [bad, missing]
    assert str(bad) in failures[bad]
    with pytest.raises(AudioError, match=r"bad\.wav"):
        predictor.predict(bad)
    assert predictor.predict_files([bad], workers=1)[0] == []
    assert predictor.predict_files([], workers=1) == ([], {})


def test_a_prediction_has_plain_values_and_its_most_probable_classes(predictor, voice_file):
    prediction = predictor.predict(voice_file)
    values = prediction.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert list(values) == [
        *("file", "status", "emotion", "confidence", "uncertain", "probabilities", "speech", "duration", "warnings"),
        "utterances",
    ]
    assert (values["file"], values["status"]) == (str(voice_file), "speech")
    assert values["utterances"] == [
        {"start": 0.0, "end": values["duration"], **{name: values[name] for name in ("emotion", "confidence")}}
        | {"probabilities": values["probabilities"]}
    ]
    assert values["probabilities"] == dict(zip(EMOTIONS, prediction.probabilities.tolist(), strict=True))
    assert values["warnings"] == []
    ranked = sorted(values["probabilities"].items(), key=lambda item: -item[1])
    assert prediction.top(3) == ranked[:3]
    assert prediction.top(99) == ranked
    assert prediction.top(1) == [(prediction.emotion, prediction.confidence)]
    assert not prediction.is_uncertain
    assert not values["uncertain"]
    doubtful = replace(prediction, rejection_threshold=prediction.confidence + 0.01)
    assert doubtful.is_uncertain
    assert doubtful.to_dict()["uncertain"]


def test_every_kind_of_source_is_predicted_equally(predictor, voice_file):
    expected = predictor.predict(voice_file)
    samples, rate = soundfile.read(voice_file, dtype="int16")
    with voice_file.open("rb") as file:
        for source in (str(voice_file), voice_file.read_bytes(), file, (samples, rate)):
            np.testing.assert_array_equal(predictor.predict(source).probabilities, expected.probabilities)
    assert predictor.predict((samples, rate)).source == "the sound"
    assert predictor.predict(str(voice_file)).source == str(voice_file)
    with voice_file.open("rb") as file:
        one, other, gone = predictor.predict_many([file, (samples, rate), (rate, samples)])
    for result in (one, other):
        np.testing.assert_allclose(result.probabilities, expected.probabilities, rtol=0, atol=1e-6)
    assert one.source == str(voice_file)
    assert gone == Failure(
        source="the sound", reason="the sound is a tuple (int, ndarray); give (samples, rate), an array and a whole "
        "number of Hz."
    )  # fmt: skip


def test_results_come_while_sources_are_taken(predictor, voice_file):
    taken = []
    results = predictor.predict_many(taken.append(path) or path for path in [voice_file] * 200)
    assert isinstance(next(results), Prediction)
    assert len(taken) < 150
    assert len(list(results)) == 199


def test_a_stopped_run_goes_on_from_its_output(predictor, voices, tmp_path):
    bad, output = tmp_path / "bad.wav", tmp_path / "results.jsonl"
    bad.write_text("words")
    first = list(predictor.predict_many([voices[0], bad, voices[1], voices[1]], output=output))
    assert len(first) == 3  # each once
    lines = output.read_text().splitlines()
    identity = [{"path": str(path), "model": predictor.fingerprint} for path in (voices[0], bad, voices[1])]
    assert [json.loads(line) for line in lines] == [
        result.to_dict() | known for result, known in zip(first, identity, strict=True)
    ]

    output.write_text("\n".join([*lines[:2], lines[2][: len(lines[2]) // 2]]))  # killed while it wrote the third
    soundfile.write(bad, np.ones(22050) * 0.1, 22050)
    rest = list(predictor.predict_many(map(str, [voices[0], bad, *voices[1:]]), output=str(output), resume=True))
    assert [result.source for result in rest] == list(map(str, [bad, *voices[1:]]))
    assert all(isinstance(result, Prediction) for result in rest)
    written = [json.loads(line)["file"] for line in output.read_text().splitlines()]
    assert written == list(map(str, [voices[0], bad, *voices[1:]]))
    assert list(predictor.predict_many([*voices, bad], output=output, resume=True)) == []
    with pytest.raises(SettingsError, match=r"results\.jsonl exists; go on with it by `--resume` \(`resume=True`\)"):
        next(predictor.predict_many(voices, output=output))


def test_rows_are_there_when_their_result_is(predictor, voices, tmp_path):
    output = tmp_path / "results.csv"
    results = predictor.predict_many(voices * 20, output=output)
    next(results)
    assert output.read_text().count("\n") == 1 + len(voices)
    results.close()


def test_one_model_is_told_from_others(predictor, tiny_checkpoint, tiny_metadata, voices, tmp_path):
    output = tmp_path / "results.csv"
    list(predictor.predict_many(voices[:1], output=output))
    other = Predictor(predictor.scorer, replace(tiny_metadata, temperature=2.0))
    content = output.read_bytes()
    with pytest.raises(SettingsError, match=r"another model \(sha256:[0-9a-f]{16}, not sha256:[0-9a-f]{16}\)"):
        next(other.predict_many(voices, output=output, resume=True))
    assert output.read_bytes() == content
    assert Predictor.load(tiny_checkpoint).fingerprint == predictor.fingerprint
    assert Predictor(predictor.scorer, tiny_metadata).fingerprint != other.fingerprint


def test_only_paths_are_found_again_in_an_output(predictor, voice_file, tmp_path):
    with pytest.raises(SettingsError, match=r"A source is given as bytes, but with `output` all should be paths"):
        list(predictor.predict_many([voice_file, voice_file.read_bytes()], output=tmp_path / "results.jsonl"))


def test_all_features_are_scored_a_batch_at_a_time(predictor):
    features = np.random.default_rng(0).normal(size=(70, 187, 64)).astype(np.float32)
    lengths = np.full(70, 64)
    probabilities = predictor.score(features, lengths)
    assert probabilities.shape == (70, 8)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(probabilities[65:], predictor.score(features[65:], lengths[65:]), rtol=1e-4, atol=1e-6)


CLIPPED = "The recording is clipped; record it at a lower level."
QUIET = "The recording is very quiet (peak -66 dBFS); record it closer."


@pytest.mark.parametrize(
    ("gain", "warnings"),
    [(1, ()), (20, (CLIPPED,)), (0.01, ()), (0.001, (QUIET,))],
)
def test_doubts_about_a_recording_are_in_its_warnings(predictor, tmp_path, voice, gain, warnings):
    path = tmp_path / "voice.wav"
    # The voice peaks at -6 dBFS.
    soundfile.write(path, np.clip(gain * voice, -1, 1), 22050, subtype="FLOAT" if gain < 1 else None)
    assert predictor.predict(path).warnings == warnings


def test_a_syllable_is_predicted(predictor, voice):
    syllable = voice[5000:12_000]  # 0.32 s
    assert predictor.predict((syllable, 22050)).probabilities.sum() == pytest.approx(1, abs=1e-6)
    # Frames so long that the recording holds fewer than a delta needs.
    (utterance,) = load_features((syllable, 22050), settings=FeatureSettings(hop_length=2048)).utterances
    assert np.isfinite(utterance.features).all()


def test_without_speech_there_is_no_emotion(predictor, voice):
    noise = np.random.default_rng(0).normal(scale=0.1, size=3 * 22050).astype(np.float32)
    for seconds in (1, 3):
        prediction = predictor.predict((noise[: seconds * 22050], 22050))
        assert (prediction.status, prediction.segments, prediction.speech) == (NO_SPEECH, (), 0)
        assert prediction.emotion is prediction.confidence is prediction.probabilities is None
        assert not prediction.is_uncertain
        assert prediction.top() == []
        values = prediction.to_dict()
        assert json.loads(json.dumps(values)) == values
        assert (values["status"], values["emotion"], values["probabilities"]) == ("no speech found", None, {})
        assert values["utterances"] == []


def test_a_long_recording_is_predicted_by_its_utterances(predictor, voice):
    """Each as a recording of its own: the pauses, the offset and what lies before and after change nothing."""
    words = [voice[:22_000], voice[2000:20_000], voice[:22_000] * np.float32(0.5)]
    pause = np.zeros(3 * 22050, dtype=np.float32)
    joined = np.concatenate([part for word in words for part in (pause, word)]) + np.float32(0.02)
    prediction = predictor.predict((joined, 22050))
    assert len(prediction.segments) == len(words)
    centred = joined - np.float32(joined.mean(dtype=np.float64))
    for segment in prediction.segments:
        first, last = round(segment.offset * 22050), round(segment.end * 22050)
        features, length = network_input(centred[first:last], predictor.metadata.features)
        expected = predictor.scorer(features[None], np.array([length])).probabilities
        np.testing.assert_allclose(segment.probabilities, expected[0], rtol=0, atol=1e-6)
    by_hand = sum(one.speech * one.probabilities for one in prediction.segments)
    by_hand /= sum(one.speech for one in prediction.segments)
    np.testing.assert_allclose(prediction.probabilities, by_hand, atol=1e-6)
    assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert prediction.emotion == EMOTIONS[by_hand.argmax()]
    assert [one["start"] for one in prediction.to_dict()["utterances"]] == [one.start for one in prediction.segments]


def test_a_decoded_sound_gets_the_prediction_of_its_file(predictor, voice_file):
    sound = read_sound(voice_file, sample_rate=22050)
    ours, theirs = predictor.predict_sound(sound, name="sound"), predictor.predict(voice_file, name="sound")
    assert ours.to_dict() == theirs.to_dict()


def test_many_utterances_are_predicted_in_bounded_batches(predictor, voice):
    sizes = []

    def scorer(features, lengths):
        sizes.append(len(features))
        return predictor.scorer(features, lengths)

    long = np.tile(np.pad(voice[:22_000], (0, 15_000)), 70)
    counting = Predictor(scorer, predictor.metadata)
    (prediction,) = counting.predict_many([(long, 22050)])
    assert len(prediction.segments) >= 70
    assert max(sizes) <= 64


@pytest.fixture
def box(tiny_checkpoint, tmp_path, monkeypatch):
    """A folder in place of the package's, that holds the tiny model as "small"."""
    folder = tmp_path / "models"
    publish(tiny_checkpoint, folder / "small.safetensors")
    monkeypatch.setattr("ser.inference.pretrained.MODELS", folder)
    return folder


@pytest.mark.parametrize("source", ["small", Path("small"), "models/small.safetensors"])
def test_a_pretrained_model_is_loaded_by_name_or_path(predictor, box, voice_file, monkeypatch, source):
    monkeypatch.chdir(box.parent)
    theirs, ours = predictor.predict(voice_file), Predictor.load(source).predict(voice_file)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-6)
    assert ours.class_names == theirs.class_names


def test_without_pytorch_onnx_is_used_or_the_remedy_named(predictor, box, voice_file, tiny_checkpoint, monkeypatch):
    pytest.importorskip("onnx", reason="onnx, which makes the model, is not installed: pip install 'ser[export]'")
    monkeypatch.delitem(sys.modules, "ser.inference.torch_backend")
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    light = Predictor.load("small")
    assert isinstance(light.scorer, OnnxScorer)
    theirs, ours = predictor.predict(voice_file), light.predict(voice_file)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=0, atol=1e-5)
    with pytest.raises(CheckpointError, match=r'tiny\.ckpt needs torch, .*pip install "ser\[train\]"; or,.*ser export'):
        Predictor.load(tiny_checkpoint)
    with pytest.raises(CheckpointError, match=r"small\.safetensors needs torch, .*ser publish <run>"):
        Predictor.load(box / "small.safetensors")
