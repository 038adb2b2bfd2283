import csv
import io
import json
import re

import numpy as np
import pytest
import soundfile
import torch

from ser.audio.io import read_sound
from ser.errors import AudioError, CorpusError, SettingsError
from ser.features.pipeline import load_features
from ser.inference.context import SpeakerContext
from ser.inference.formats import as_csv, as_json, as_table
from ser.inference.results import Failure
from ser.inference.speakers import predict_by_speaker, read_speakers
from ser.models.context import context_of
from tests.contexts import METADATA, N_SUMMARY, context_predictor, other_model

RATE = 22_050


@pytest.fixture(scope="module")
def model():
    return context_predictor()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, voice):
    """Five recordings of one person, of other pitches, so that their summaries differ."""
    folder = tmp_path_factory.mktemp("person")
    for number in range(5):
        soundfile.write(folder / f"{number}.wav", voice[: 22_000 - 1000 * number], RATE - 1500 * number)
    return folder


@pytest.fixture(scope="module")
def paths(folder):
    return sorted(folder.glob("*.wav"))


@pytest.fixture(scope="module")
def summaries(model, paths):
    """float32 [5, n_summary]."""
    return np.stack([model.predict(path).segments[0].summary for path in paths])


def row_by_hand(summaries):
    """The definition, in numpy."""
    if not len(summaries):
        return np.zeros(1 + 2 * N_SUMMARY)
    rows = np.asarray(summaries, dtype=np.float64)
    return np.concatenate([[len(rows)], rows.mean(axis=0), rows.var(axis=0)])


def predicted_by_hand(model, path, others):
    """float32 [classes]: what the network says of a recording with other summaries as context."""
    (one,) = load_features(path, settings=METADATA.features).utterances
    context = row_by_hand(others).astype(np.float32)
    features = np.zeros((1, one.features.shape[0], 64), dtype=np.float32)
    features[0, :, : one.length] = one.features
    return model.scorer(features, np.array([one.length]), context[None]).probabilities[0]


def test_a_row_is_what_the_definition_and_the_models_say():
    rng = np.random.default_rng(0)
    summaries = (-40 + 3 * rng.normal(size=(9, 6))).astype(np.float32)
    for n in (0, 1, 2, 9):
        members = torch.arange(9) < n
        of_models = context_of(torch.from_numpy(summaries), members[None])[0].numpy()
        row = (SpeakerContext.none(6) + SpeakerContext.of(summaries[:n])).row() if n else SpeakerContext.none(6).row()
        assert (row.dtype, row.shape) == (np.float32, (13,))
        by_hand = np.zeros(13)
        if n:
            rows = summaries[:n].astype(np.float64)
            by_hand = np.concatenate([[n], rows.mean(axis=0), rows.var(axis=0)])
        np.testing.assert_allclose(row, by_hand, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(row, of_models, rtol=1e-5, atol=2e-3)  # single precision there, of squares of 40
        if n < 2:
            assert not row[7:].any()


def test_recordings_come_and_go_in_any_order():
    rng = np.random.default_rng(1)
    summaries = (-40 + 3 * rng.normal(size=(300, 6))).astype(np.float32)
    grown = SpeakerContext.none(6)
    for one in summaries[::-1]:
        grown = grown.with_recordings(one)
    np.testing.assert_allclose(grown.row(), SpeakerContext.of(summaries).row(), rtol=1e-6)
    for place in (0, 17, 299):
        rest = np.delete(summaries, place, axis=0)
        np.testing.assert_allclose(grown.without(summaries[place]).row(), SpeakerContext.of(rest).row(), rtol=1e-6)
    assert not grown.without(summaries).row().any()
    one_left = grown.without(summaries[1:])
    np.testing.assert_allclose(one_left.row(), [1, *summaries[0], *np.zeros(6)], rtol=1e-6)
    with pytest.raises(ValueError, match="2 recordings cannot be taken out of 1"):
        one_left.without(summaries[:2])


def test_context_changes_the_answer_as_by_hand(model, paths, summaries, voice_file):
    assert model.context.n_recordings == 0
    assert model.predict(voice_file).context_size == 0
    known = model.with_context(paths)
    np.testing.assert_allclose(known.context.row(), row_by_hand(summaries), rtol=1e-4, atol=1e-4)
    prediction = known.predict(voice_file)
    assert prediction.context_size == 5
    np.testing.assert_allclose(
        prediction.probabilities, predicted_by_hand(model, voice_file, summaries), rtol=0, atol=1e-5
    )
    without = model.predict(voice_file)
    assert np.abs(prediction.probabilities - without.probabilities).max() > 0.01
    np.testing.assert_allclose(without.probabilities, predicted_by_hand(model, voice_file, []), rtol=0, atol=1e-6)
    again = known.with_context([])
    assert again.context.n_recordings == 0
    np.testing.assert_array_equal(again.predict(voice_file).probabilities, without.probabilities)


def test_a_recording_is_not_its_own_context(model, paths, summaries, tmp_path):
    known = model.with_context(paths)
    copy, lossless = tmp_path / "copy.wav", tmp_path / "other.flac"
    copy.write_bytes(paths[2].read_bytes())
    samples, rate = soundfile.read(paths[2], dtype="int16")
    soundfile.write(lossless, samples, rate)
    expected = predicted_by_hand(model, paths[2], np.delete(summaries, 2, axis=0))
    for source in (paths[2], copy, lossless, copy.read_bytes(), (samples, rate)):
        prediction = known.predict(source)
        assert prediction.context_size == 4
        np.testing.assert_allclose(prediction.probabilities, expected, rtol=0, atol=1e-5)
    assert [one.context_size for one in known.predict_many([*paths, (samples[:-1500], rate)])] == [4] * 5 + [5]
    assert model.with_context([*paths, copy]).predict(copy).context_size == 4  # neither of two copies is


def test_context_grows_from_predictions(model, paths, summaries, voice_file):
    grown = SpeakerContext.of_predictions(model.predict(path) for path in paths)
    known = model.with_speaker_context(grown)
    np.testing.assert_allclose(known.context.row(), row_by_hand(summaries), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        known.predict(voice_file).probabilities, model.with_context(paths).predict(voice_file).probabilities, atol=1e-5
    )
    noise = (np.random.default_rng(0).normal(scale=0.1, size=RATE).astype(np.float32), RATE)
    silent = model.predict(noise)
    assert silent.context_size == 0
    assert SpeakerContext.of_predictions([silent]).n_recordings == 0
    assert model.with_speaker_context(SpeakerContext.of_predictions([silent])).context.row().shape == (9,)
    assert model.with_context([*paths, noise]).context.n_recordings == 5
    assert (grown + SpeakerContext.of_predictions([silent])).n_recordings == 5
    assert "summary" not in repr(model.predict(voice_file))


def long_recording(voice):
    words = [voice[:22_000], voice[2000:20_000], voice[:22_000] * np.float32(0.5)]
    pause = np.zeros(3 * RATE, dtype=np.float32)
    return np.concatenate([part for word in words for part in (pause, word)]), RATE


def test_of_a_single_speaker_what_was_said_so_far_is_context(model, paths, voice):
    """Against the definition: each utterance with the earlier ones, and none with itself or a later one."""
    known = model.with_context(paths)
    plain, followed = (known.predict(long_recording(voice), single_speaker=single) for single in (False, True))
    recording = load_features(long_recording(voice), settings=METADATA.features)
    assert len(followed.segments) == 3
    assert plain.context_size == followed.context_size == 5
    np.testing.assert_array_equal(plain.segments[0].probabilities, followed.segments[0].probabilities)
    context = known.context
    for utterance, segment in zip(recording.utterances, followed.segments, strict=True):
        features = np.zeros((1, 16, 64), dtype=np.float32)
        features[0, :, : utterance.length] = utterance.features
        scored = model.scorer(features, np.array([utterance.length]), context.row()[None])
        np.testing.assert_allclose(segment.probabilities, scored.probabilities[0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(segment.summary, scored.summary[0], rtol=1e-5)
        context = context.with_recordings(segment.summary)
    assert np.abs(plain.probabilities - followed.probabilities).max() > 1e-4
    sound = read_sound(long_recording(voice), sample_rate=RATE)
    np.testing.assert_array_equal(
        known.predict_sound(sound, name="x", single_speaker=True).probabilities, followed.probabilities
    )
    # A long recording in the context counts as its utterances, and none of them is its own context.
    assert model.with_context([long_recording(voice), *paths]).context.n_recordings == 8
    assert model.with_context([long_recording(voice), *paths]).predict(long_recording(voice)).context_size == 5


def test_what_cannot_be_context_is_named(model, predictor, paths, tmp_path, voice_file):
    bad = tmp_path / "bad.wav"
    bad.write_text("words")
    with pytest.raises(AudioError, match=r"bad\.wav"):
        model.with_context([paths[0], bad])
    with pytest.raises(SettingsError, match="recordings is one recording, but should be a list"):
        model.with_context(voice_file)
    for attempt in (
        lambda: predictor.with_context([voice_file]),
        lambda: predictor.with_speaker_context(SpeakerContext.none(0)),
        lambda: list(predict_by_speaker(predictor, [(voice_file, "a")])),
    ):
        with pytest.raises(SettingsError, match=r"The model takes no speaker context; load one that does.*ser-voices"):
            attempt()
    with pytest.raises(SettingsError, match="context has summaries of 4 values, but those of this model have 5"):
        other_model().with_speaker_context(SpeakerContext.of(np.ones((2, N_SUMMARY))))


def test_a_model_without_context_says_nothing_of_it(predictor, voice_file):
    prediction = predictor.predict(voice_file, name="v", single_speaker=True)
    assert predictor.context is None
    assert prediction.context_size is None
    assert "context_size" not in prediction.to_dict()
    assert "context" not in as_csv([prediction], predictor.class_names)
    assert "context" not in as_table([prediction])


def test_results_say_how_many_recordings_were_context(model, paths, voice_file):
    predictions = [model.with_context(paths).predict(voice_file), model.predict(voice_file)]
    assert [row["context_size"] for row in csv.DictReader(io.StringIO(as_csv(predictions, model.class_names)))] == [
        *("5", "0")
    ]
    assert [row["context_size"] for row in json.loads(as_json(predictions))] == [5, 0]
    head, first, second = as_table(predictions).splitlines()
    place = head.split().index("context")
    assert (first.split()[place], second.split()[place]) == ("5", "0")
    assert "summary" not in as_json(predictions)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_results_file_is_of_one_context(model, paths, voice_file, tmp_path, suffix):
    output, known = tmp_path / f"results{suffix}", model.with_context(paths)
    assert len({model.fingerprint, known.fingerprint, model.with_context(paths[:4]).fingerprint}) == 3
    assert re.fullmatch("sha256:[0-9a-f]{16}", known.fingerprint)
    assert known.fingerprint == model.with_context(paths).fingerprint
    assert model.with_context([]).fingerprint == known.with_context([]).fingerprint == model.fingerprint
    assert len(list(known.predict_many([voice_file, tmp_path / "missing.wav"], output=output))) == 2
    assert len(list(known.predict_many([voice_file, *paths[:1]], output=output, resume=True))) == 1
    with pytest.raises(SettingsError, match="another model"):
        list(model.predict_many([voice_file], output=output, resume=True))


def test_recordings_of_a_speaker_are_context_of_one_another(model, paths, summaries, tmp_path, monkeypatch):
    bad = tmp_path / "bad.wav"
    bad.write_text("words")
    given = [*zip(paths, ["a", "b", "a", "", "a"], strict=True), (bad, "a")]
    expected = {
        paths[0]: summaries[[2, 4]], paths[2]: summaries[[0, 4]], paths[4]: summaries[[0, 2]], paths[1]: [],
        paths[3]: [],
    }  # fmt: skip
    for limit in (2**28, 0):  # kept in memory, and computed again
        monkeypatch.setattr("ser.inference.speakers._KEPT_BYTES", limit)
        results = {result.source: result for result in predict_by_speaker(model, given)}
        assert list(results) == list(map(str, [paths[0], paths[2], paths[4], bad, paths[1], paths[3]]))
        assert isinstance(results.pop(str(bad)), Failure)
        for path, others in expected.items():
            prediction = results[str(path)]
            assert prediction.context_size == len(others)
            by_hand = predicted_by_hand(model, path, others)
            np.testing.assert_allclose(prediction.probabilities, by_hand, rtol=0, atol=1e-5)


def test_a_stopped_run_by_speaker_goes_on_with_the_same_contexts(model, paths, tmp_path):
    output, given = tmp_path / "results.jsonl", list(zip(paths, "abaab", strict=True))
    whole = list(predict_by_speaker(model, given, output=output))
    lines = output.read_text().splitlines()
    output.write_text("\n".join([*lines[:2], lines[2][:40]]))  # killed while it wrote the third
    rest = list(predict_by_speaker(model, given, output=output, resume=True))
    assert [one.source for one in rest] == [one.source for one in whole[2:]]
    for ours, theirs in zip(rest, whole[2:], strict=True):
        assert ours.context_size == theirs.context_size
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-6)
    assert list(predict_by_speaker(model, given, output=output, resume=True)) == []
    with pytest.raises(SettingsError, match="another model"):
        list(predict_by_speaker(model, list(zip(paths, "bbaab", strict=True)), output=output, resume=True))


def test_a_table_names_the_speakers(tmp_path):
    table = tmp_path / "calls.csv"
    table.write_text("Caller;file;note\n7;a.wav;x\n;b.wav;y\n 8 ;sub/c.wav;\n", encoding="utf-8")
    expected = [(tmp_path / "a.wav", "7"), (tmp_path / "b.wav", ""), (tmp_path / "sub" / "c.wav", "8")]
    assert read_speakers(table, "caller") == read_speakers(table, "Caller") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,speaker\n", "names columns but has no rows"),
        ("file,who\na.wav,1\n", "has no column 'speaker'"),
        ("speaker,emotion\n1,sad\n", "has no column 'file'"),
        ("file,speaker\n,1\n", "row 2, column file: it is empty"),
        ("file,speaker\na.wav,1\na.wav,2\n", "row 3, column file: 'a.wav' is in row 2 already"),
        ("file,speaker\na.wav,1,2\n", "row 2: it has 3 cells"),
    ],
)
def test_a_table_that_is_none_of_speakers_is_refused(tmp_path, text, message):
    table = tmp_path / "calls.csv"
    table.write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_speakers(table, "speaker")
