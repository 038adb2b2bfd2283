"""What speaker context is worth: who is in whose context, what is predicted in it, and the scores."""

import csv
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.metrics import balanced_accuracy_score, log_loss

from ser.corpora.manifest import Recording
from ser.corpora.ravdess import EMOTIONS
from ser.errors import CorpusError, SettingsError
from ser.evaluation.context.draws import ALL, EMOTION, NONE, OTHER, SPEAKER, Context, Draws, contexts_of, draw_members
from ser.evaluation.context.predictions import (
    FILE,
    ContextPredictions,
    predict_features,
    read_context_predictions,
    write_context_predictions,
)
from ser.evaluation.context.scores import TABLE, context_scores, format_context, write_context_scores
from ser.evaluation.evaluate import EvaluationSettings, evaluate
from ser.evaluation.predictions import classes_by_corpus, prediction_table
from ser.inference.predictor import Predictor
from tests.contexts import OWN, context_predictor, write_context_model

CLASSES = {"one": EMOTIONS, "two": ("neutral", "happy", "sad", "angry")}


def recording(corpus, speaker, number):
    emotion = CLASSES[corpus][number % len(CLASSES[corpus])]
    name = f"{corpus}/{speaker}-{number}"
    gender = "male" if speaker in "bd" else "female"
    return Recording(path=Path(name), id=name, emotion=emotion, speaker=speaker, gender=gender, corpus=corpus)


@pytest.fixture(scope="module")
def recordings():
    """Of two corpora, each with a speaker "a": of three speakers and of two, and one of nobody that is known."""
    made = [recording("one", speaker, number) for speaker in "abc" for number in range(16)]
    made += [recording("two", speaker, number) for speaker in "ad" for number in range(8)]
    return [*made, replace(recording("two", "x", 0), speaker=None)]


@pytest.fixture(scope="module")
def model():
    return context_predictor()


@pytest.fixture(scope="module")
def inputs(recordings):
    """Features float32 [recordings, 16, 64] of voices that differ, and lengths."""
    rng = np.random.default_rng(0)
    voices = {
        key: rng.normal(scale=8, size=(16, 1)) for key in sorted({str((r.corpus, r.speaker)) for r in recordings})
    }
    features = [
        -40 + voices[str((one.corpus, one.speaker))] + rng.normal(scale=3, size=(16, 1)) + rng.normal(size=(16, 64))
        for one in recordings
    ]
    return np.array(features, dtype=np.float32), rng.integers(20, 65, size=len(recordings))


@pytest.fixture(scope="module")
def found(model, inputs, recordings):
    return predict_features(model, *inputs, recordings, contexts_of("curve"))


@pytest.fixture(scope="module")
def predictions(found, recordings):
    return prediction_table(recordings, found.probabilities[0], EMOTIONS)


def test_who_is_in_whose_context(recordings):
    for kind in (SPEAKER, OTHER, EMOTION, NONE):
        members = draw_members(recordings, kind)
        assert len(members) == len(recordings)
        for place, (one, others) in enumerate(zip(recordings, members, strict=True)):
            assert place not in others
            assert len(set(others)) == len(others)
            there = [recordings[other] for other in others]
            own = [other for other in recordings if (other.corpus, other.speaker) == (one.corpus, one.speaker)]
            if kind == NONE or one.speaker is None:
                assert there == []
            elif kind == SPEAKER:
                assert Counter(there) == Counter(own) - Counter([one])
            elif kind == OTHER:
                assert {other.corpus for other in there} == {one.corpus}
                assert len({other.speaker for other in there}) == 1
                assert {other.speaker for other in there} & {one.speaker, None} == set()
                assert len(there) == (16 if one.corpus == "one" else 8)
            else:
                (emotion,) = {other.emotion for other in there}
                assert Counter(there) == Counter(other for other in own if other.emotion == emotion) - Counter([one])


def test_draws_differ_between_recordings_and_stay_the_same(recordings):
    first = draw_members(recordings, SPEAKER)
    again = draw_members(recordings, SPEAKER)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    backwards = draw_members(recordings[::-1], SPEAKER)[::-1]  # the order of the recordings does not matter
    for one, other in zip(first, backwards, strict=True):
        np.testing.assert_array_equal(one, len(recordings) - 1 - other)
    assert len({tuple(members[:3]) for members in first[:16]}) > 10
    others = draw_members(recordings, OTHER)
    assert len({recordings[members[0]].speaker for members in others[:16]}) == 2
    emotions = draw_members(recordings, EMOTION)
    assert len({recordings[members[0]].emotion for members in emotions[:16]}) > 4


def test_without_another_speaker_there_is_no_wrong_context(recordings):
    assert all(len(members) == 0 for members in draw_members(recordings[:16], OTHER))
    assert all(len(members) == 0 for members in draw_members(recordings[:1], EMOTION))


def test_a_larger_context_holds_the_smaller_one(recordings):
    summaries = np.random.default_rng(1).normal(-40, 4, size=(len(recordings), 3)).astype(np.float32)
    draws, members = Draws(recordings, list(summaries)), draw_members(recordings, SPEAKER)
    for place in (0, 20, 60):
        for size in (1, 5, ALL):
            chosen = summaries[members[place] if size == ALL else members[place][:size]].astype(np.float64)
            row = draws.context_of(place, Context(SPEAKER, size)).row()
            by_hand = [len(chosen), *chosen.mean(axis=0), *chosen.var(axis=0)]
            np.testing.assert_allclose(row, by_hand, rtol=1e-5, atol=1e-6)
    assert not draws.context_of(64, Context(SPEAKER, ALL)).row().any()  # its speaker is not known
    of_utterances = Draws(recordings[:2], [np.ones((3, 2)), np.zeros((1, 2))])
    assert of_utterances.context_of(1, Context(SPEAKER, 1)).n_recordings == 3


def test_contexts_are_those_asked_for():
    assert contexts_of("curve") == (
        (NONE, 0),
        *((kind, size) for kind in (SPEAKER, OTHER, EMOTION) for size in (1, 5, 10, ALL)),
    )
    assert contexts_of(7) == ((NONE, 0), (SPEAKER, 7), (OTHER, 7), (EMOTION, 7))
    assert contexts_of(0) == ((NONE, 0),)


def test_recordings_are_predicted_in_each_context(found, model, inputs, recordings):
    """Against a context made of the summaries by hand."""
    features, lengths = inputs
    summaries = model.scorer(features, lengths).summary.astype(np.float64)
    for context, sizes, probabilities in zip(found.contexts, found.sizes, found.probabilities, strict=True):
        members = draw_members(recordings, context.kind)
        for place in (0, 17, 50, 64):
            chosen = members[place] if context.size == ALL else members[place][: context.size]
            rows = summaries[chosen] if len(chosen) else np.zeros((1, summaries.shape[1]))
            row = np.concatenate([[len(chosen)], rows.mean(axis=0), rows.var(axis=0)]).astype(np.float32)
            alone = model.scorer(features[[place]], lengths[[place]], row[None]).probabilities[0]
            np.testing.assert_allclose(probabilities[place], alone, atol=1e-4)
            assert sizes[place] == len(chosen)
    assert np.abs(found.probabilities[1:, :64] - found.probabilities[0, :64]).max(axis=(1, 2)).min() > 0.01


def test_contexts_cost_no_further_run_of_the_network(found, inputs, recordings):
    """Where the network can begin at the summaries; where it cannot, the answers are the same."""
    counting, calls = context_predictor(), []
    whole = counting.scorer.recogniser.network.forward
    counting.scorer.recogniser.network.forward = lambda *given: calls.append(1) or whole(*given)
    ours = predict_features(counting, *inputs, recordings, contexts_of("curve"))
    assert len(calls) == 2  # 65 recordings
    np.testing.assert_array_equal(ours.probabilities, found.probabilities)
    without = Predictor(counting.scorer.__call__, counting.metadata)
    theirs = predict_features(without, *inputs, recordings, contexts_of(5))
    assert len(calls) == 2 + 2 + 4 * 2
    for context, probabilities in zip(theirs.contexts, theirs.probabilities, strict=True):
        expected = found.probabilities[found.contexts.index(context)]
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)


@pytest.mark.parametrize("setting", [-1, "some", "10"])
def test_a_context_is_a_number_or_a_word(setting):
    with pytest.raises(SettingsError, match="but should be a number of recordings from 0 on, all or curve"):
        EvaluationSettings(output_dir="o", context=setting)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_scores_are_those_of_scikit_learn(found, predictions, recordings):
    tables = found.tables(predictions)
    classes = classes_by_corpus((r.corpus for r in recordings), (r.emotion for r in recordings), EMOTIONS)
    rows = context_scores([tables], classes, resamples=200)
    assert [(row["kind"], row["k"]) for row in rows[:13]] == list(contexts_of("curve"))
    assert [row["corpus"] for row in rows] == [*[""] * 13, *["one"] * 13, *["two"] * 13]
    without = {}
    for row in rows:
        place = found.contexts.index((row["kind"], row["k"]))
        chosen = np.array([bool(r.speaker) and row["corpus"] in ("", r.corpus) for r in recordings])
        kept = [one for one, is_chosen in zip(recordings, chosen, strict=True) if is_chosen]
        probabilities = found.probabilities[place][chosen].astype(np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        truth = [EMOTIONS.index(one.emotion) for one in kept]
        allowed = np.array([[name in CLASSES[one.corpus] for name in EMOTIONS] for one in kept])
        closed = np.where(allowed, probabilities, -1).argmax(axis=1)
        assert row["n_recordings"] == len(kept)
        assert row["n_speakers"] == {"": 5, "one": 3, "two": 2}[row["corpus"]]
        assert row["context_size"] == pytest.approx(found.sizes[place][chosen].mean())
        assert row["accuracy"] == pytest.approx(np.mean(probabilities.argmax(axis=1) == truth))
        uar = balanced_accuracy_score(truth, probabilities.argmax(axis=1))
        assert row["uar"] == pytest.approx(uar)
        assert row["uar_low"] <= uar + 0.2
        assert row["uar_low"] <= row["uar_high"]
        assert row["log_loss"] == pytest.approx(log_loss(truth, probabilities, labels=range(8)), rel=1e-5)
        surest = sorted(zip(-probabilities.max(axis=1), probabilities.argmax(axis=1) == truth, strict=True))
        half = [right for _, right in surest[: (len(kept) + 1) // 2]]
        assert row["accuracy_at_half_coverage"] == pytest.approx(np.mean(half))
        for gender in ("female", "male"):
            of_gender = [place for place, one in enumerate(kept) if one.gender == gender]
            expected = balanced_accuracy_score(
                [truth[place] for place in of_gender], probabilities[of_gender].argmax(axis=1)
            )
            assert row[f"uar_{gender}"] == pytest.approx(expected)
        before = without.setdefault(row["corpus"], uar)
        assert row["uar_lost"] == pytest.approx(before - uar)
        assert row["uar_lost_low"] <= row["uar_lost_high"]
        if row["corpus"] == "one":
            assert row["closed_set_uar"] is row["closed_set_ece"] is row["closed_set_accuracy_at_half_coverage"] is None
        else:
            among = np.where(allowed, probabilities, 0) / probabilities.sum(axis=1, where=allowed, keepdims=True)
            right = closed == truth
            surest = np.argsort(-among.max(axis=1), kind="stable")[: (len(kept) + 1) // 2]
            assert row["closed_set_accuracy_at_half_coverage"] == pytest.approx(right[surest].mean())
            bins = np.ceil(among.max(axis=1) * 15).astype(int)  # open below, closed above
            gaps = np.bincount(bins, weights=right - among.max(axis=1))
            assert row["closed_set_ece"] == pytest.approx(np.abs(gaps).sum() / len(kept))
            assert row["closed_set_uar"] == pytest.approx(balanced_accuracy_score(truth, closed))
            assert row["closed_set_uar"] >= row["uar"] - 1e-9
    assert (rows[0]["uar_lost_low"], rows[0]["uar_lost_high"]) == (0, 0)


def test_seeds_are_averaged(found, predictions):
    classes = {"one": EMOTIONS, "two": CLASSES["two"]}
    wrong = replace(found, probabilities=np.roll(found.probabilities, 1, axis=2))
    by_seed = [one.tables(predictions) for one in (found, wrong)]
    alone = [context_scores([one], classes, resamples=50) for one in by_seed]
    for both, first, second in zip(context_scores(by_seed, classes, resamples=50), *alone, strict=True):
        for name in ("accuracy", "uar", "ece", "log_loss", "uar_lost"):
            assert both[name] == pytest.approx((first[name] + second[name]) / 2)


def test_files_hold_all_and_are_read_back(found, predictions, recordings, tmp_path):
    shuffled = predictions.sample(frac=1, random_state=0)
    text = write_context_scores(tmp_path, found, shuffled, recordings)
    read = read_context_predictions(tmp_path / FILE)
    assert (read.files, read.contexts) == (found.files, found.contexts)
    np.testing.assert_array_equal(read.probabilities, found.probabilities)
    np.testing.assert_array_equal(read.sizes, found.sizes)
    for context, ours in read.tables(predictions).items():
        theirs = found.tables(shuffled)[context].sort_values("file").reset_index(drop=True)
        pd.testing.assert_frame_equal(ours.sort_values("file").reset_index(drop=True), theirs)
    rows = list(csv.DictReader((tmp_path / TABLE).open(encoding="utf-8")))
    assert len(rows) == 39
    assert rows[0]["corpus"] == ""
    assert rows[-1]["k"] == "all"
    assert {row["closed_set_uar"] for row in rows if row["corpus"] == "one"} == {""}
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["context", "k", "corpus"]
    assert "speaker" in text
    assert "Lost: points of UAR" in text
    assert format_context(context_scores([found.tables(predictions)], CLASSES, resamples=9), markdown=True)[0] == "|"


def test_without_speakers_there_is_no_table(found, predictions, recordings, tmp_path):
    text = write_context_scores(tmp_path, found, predictions.assign(speaker=""), recordings)
    assert text == "No speaker is known, so no recording has a context."
    assert not (tmp_path / TABLE).exists()


def test_a_file_of_other_recordings_is_refused(found, predictions, tmp_path):
    with pytest.raises(CorpusError, match="of other recordings or classes"):
        found.tables(predictions.iloc[1:])
    with pytest.raises(CorpusError, match="of other recordings or classes"):
        found.tables(predictions.assign(file="x" + predictions["file"]))
    path = tmp_path / FILE
    write_context_predictions(path, found)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CorpusError, match="damaged"):
        read_context_predictions(path)
    np.savez(path, recording=np.array(["a"]))
    with pytest.raises(CorpusError, match="damaged"):
        read_context_predictions(path)
    assert isinstance(found, ContextPredictions)


@pytest.fixture(scope="module")
def voices(tmp_path_factory, voice):
    """A manifest of eight recordings of two speakers, one of them a part of its file."""
    folder = tmp_path_factory.mktemp("voices")
    rows = ["file,emotion,speaker,start,end"]
    for number in range(8):
        soundfile.write(folder / f"{number}.wav", voice[: 22_000 - 500 * number], 22_050 - 1500 * (number % 4))
        span = "0.1,0.95" if number == 5 else ","
        rows.append(f"{number}.wav,{EMOTIONS[2 + number % 3]},{'ab'[number % 2]},{span}")
    (folder / "table.csv").write_text("\n".join(rows))
    return folder / "table.csv"


def test_a_model_is_evaluated_in_context(voices, tmp_path, undrawn):
    """As contexts made of the predictions one by one."""
    checkpoint = write_context_model(tmp_path / "model.ckpt")
    settings = EvaluationSettings(
        output_dir=str(tmp_path / "out"), checkpoint=str(checkpoint), test_dir=str(voices), workers=1, context="all",
        networks={"ContextNetwork": "tests.contexts.ContextNetwork"},
    )  # fmt: skip
    evaluation = evaluate(settings)
    rows = list(csv.DictReader((tmp_path / "out" / TABLE).open(encoding="utf-8")))
    assert [(row["kind"], row["k"], row["context_size"]) for row in rows[:3]] == [
        ("none", "0", "0"), ("speaker", "all", "3"), ("other", "all", "4"),
    ]  # fmt: skip
    found = read_context_predictions(tmp_path / "out" / FILE)
    before = evaluation.predictions.set_index("file").loc[list(found.files)]
    expected = np.stack([before[f"p_{name}"] for name in EMOTIONS], axis=1)
    np.testing.assert_allclose(found.probabilities[0], expected, atol=1e-6)
    known = Predictor.load(checkpoint, networks=OWN).with_context([voices.parent / f"{n}.wav" for n in (2, 4, 6)])
    place = found.files.index("0.wav")
    np.testing.assert_allclose(
        found.probabilities[1][place], known.predict(voices.parent / "0.wav").probabilities, atol=1e-5
    )
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["n_recordings"] == 8


def test_a_model_without_context_is_refused(voices, tmp_path, tiny_checkpoint):
    settings = EvaluationSettings(
        output_dir=str(tmp_path), checkpoint=str(tiny_checkpoint), test_dir=str(voices), context="curve"
    )
    with pytest.raises(SettingsError, match=r"evaluate\.context is 'curve', but: The model takes no speaker context"):
        evaluate(settings)
