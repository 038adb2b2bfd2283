"""The page of a run: whole in one file, with the scores of metrics.json, and text where somebody wrote markup."""

import base64
import csv
import hashlib
import io
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.corpora.manifest import Recording
from ser.corpora.ravdess import parse_stem
from ser.corpora.splits import Split
from ser.evaluation.clips import CLIP_RATE, read_clip
from ser.evaluation.html_report import write_html_report
from ser.evaluation.report import score_predictions
from ser.evaluation.tables import percent

CLASSES = ("neutral", "calm", "happy")
HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(2)>&amp;"
CONTENT_POLICY = ("iframe", "object", "embed", "link", "base", "form")


class Page(HTMLParser):
    """The tags of a page, its text, and its tables as rows of cells."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags, self.tables, self.text, self._in = [], [], "", ""
        self.hidden = dict.fromkeys(("style", "script", "title"), "")
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._in = tag if tag in ("style", "script", "title", "td", "th") else self._in
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        if tag in ("td", "th", "style", "script", "title"):
            self._in = ""

    def handle_data(self, data):
        if self._in in ("style", "script", "title"):
            self.hidden[self._in] += data
            return
        self.text += data
        if self._in in ("td", "th"):
            self.tables[-1][-1][-1] += data.strip()

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    def table(self, *head):
        """Return the rows below the head that begins so."""
        (found,) = (rows for rows in self.tables if tuple(rows[0][: len(head)]) == head)
        return found[1:]


def content_of(uri: str, kind: str) -> bytes:
    start, _, encoded = uri.partition(",")
    assert start == f"data:{kind};base64"
    return base64.b64decode(encoded, validate=True)


@pytest.fixture(scope="module")
def of_run(debug_run):
    return Page(debug_run / "report.html")


def test_the_page_of_a_run_needs_nothing_beside_it(of_run):
    names = {tag for tag, _ in of_run.tags}
    assert not names & set(CONTENT_POLICY)
    for _, attributes in of_run.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in {"src", "href", "srcset", "data", "poster"} & set(attributes):
            assert attributes[name].startswith(("data:", "#")), attributes[name][:80]
    for tag in ("a", "use"):
        places = [attributes["id"] for _, attributes in of_run.tags if "id" in attributes]
        assert len(places) == len(set(places))
        assert {one["href"][1:] for one in of_run.all(tag)} <= set(places)


def test_no_script_but_that_of_the_page_may_run(of_run):
    (script,) = of_run.all("script")
    assert script == {}
    digest = base64.b64encode(hashlib.sha256(of_run.hidden["script"].encode()).digest()).decode()
    (policy,) = (one["content"] for one in of_run.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'; " in policy
    assert f"script-src 'sha256-{digest}';" in policy


def test_the_contents_list_names_every_heading(of_run):
    headings = {attributes["id"] for tag, attributes in of_run.tags if tag in ("h2", "h3") and "id" in attributes}
    assert {one["href"][1:] for one in of_run.all("a")} == headings
    assert {"val", "val-classes", "val-speakers", "val-errors", "data", "curves", "settings", "repeat"} == headings


def test_every_figure_is_there(of_run):
    figures = [attributes for attributes in of_run.all("svg") if attributes["role"] == "img"]
    assert [one["aria-label"] for one in figures] == [
        "Validation: confusion matrix, in percent of the true class.",
        "Validation: accuracy over confidence, and the number of predictions.",
        "Loss by epoch.",
        "Accuracy and UAR by epoch.",
        "Learning rate by epoch.",
    ]


def test_the_charts_tell_their_numbers(of_run, debug_run):
    metrics = json.loads((debug_run / "metrics.json").read_text(encoding="utf-8"))
    (cells,) = (json.loads(one["data-cells"]) for one in of_run.all("image") if "data-cells" in one)
    name, row = metrics["class_names"][1], metrics["confusion_matrix"][1]
    assert cells["texts"][len(row) + 1] == f"{name}, predicted {name}: {row[1]} of {sum(row)} ({row[1] / sum(row):.1%})"
    rows = list(csv.DictReader((debug_run / "csv" / "version_0" / "metrics.csv").open()))
    losses = [float(one["val/loss"]) for one in rows if one["val/loss"]]
    assert f"epoch 0, validation: {losses[0]:.3g}" in of_run.hidden["title"]


def test_the_numbers_are_those_of_metrics_json(of_run, debug_run):
    metrics = json.loads((debug_run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["protocol"] in of_run.text
    for label, value in (
        ("recordings", "12"),
        ("accuracy", percent(metrics["overall"]["accuracy"])),
        ("UAR", percent(metrics["overall"]["uar"])),
        ("weighted F1", percent(metrics["overall"]["weighted_f1"])),
        ("macro F1", percent(metrics["overall"]["macro_f1"])),
        ("calibration error", percent(metrics["expected_calibration_error"])),
    ):
        assert f"{label}{value}" in of_run.text
    for name, *row in of_run.table("class", "recall"):
        one = metrics["per_class"][name]
        assert row == [*(percent(one[key]) for key in ("recall", "precision", "f1")), str(one["support"])]
    speakers = of_run.table("speaker", "accuracy")
    assert sum(int(row[-1]) for row in speakers) == 12
    hits = sum(float(row[1].rstrip("%")) / 100 * int(row[-1]) for row in speakers)
    assert hits / 12 == pytest.approx(metrics["overall"]["accuracy"], abs=1e-3)


def test_settings_and_command_are_those_of_the_run(of_run, debug_run):
    assert ["data.corpus", "synthetic", "ravdess"] in of_run.table("setting", "value", "default")
    differing = {row[0] for row in of_run.table("setting", "value", "default")}
    assert {"trainer.max_epochs", "reference_files"} & differing == {"trainer.max_epochs"}  # true by default too
    assert not [key for key in differing if key.startswith("paths.") or key.endswith("dirpath")]
    (every,) = (rows for rows in of_run.tables if rows[0] == ["setting", "value"])
    assert ["seed", "42"] in every
    assert "ser train experiment=debug reference_files=true paths.output_dir=" in of_run.text
    assert (debug_run / "overrides.txt").read_text().startswith("experiment=debug\n")
    assert "lightning 2." in of_run.text


def test_the_worst_errors_have_players(of_run):
    sounds = of_run.all("audio")
    assert 0 < len(sounds) <= 10
    for one in sounds:
        sound = content_of(one["src"], "audio/mpeg")
        assert len(sound) < 40_000
        waveform, rate = soundfile.read(io.BytesIO(sound))
        assert rate == CLIP_RATE
        assert 0.5 < len(waveform) / rate < 5
    confidences = [float(line.split("(")[1].rstrip("%)")) for line in of_run.text.splitlines() if ", predicted" in line]
    assert confidences == sorted(confidences, reverse=True)
    assert len(confidences) == len(sounds)


@pytest.fixture
def page(tiny_metadata, tmp_path):
    """A function that writes the page of recordings, their predicted class and its confidence, and reads it."""

    def write(rows, *, sounds=None, metadata=tiny_metadata, **settings):
        names = [parse_stem(stem).recording(Path(stem)) for stem, _, _ in rows]
        probabilities = np.array([[(1 - sure) / 2] * 3 for _, _, sure in rows])
        for row, (_, predicted, sure) in zip(probabilities, rows, strict=True):
            row[CLASSES.index(predicted)] = sure
        evaluation = score_predictions(names, probabilities, CLASSES, protocol=settings.pop("protocol", "made up"))
        options = {"title": "Title", "command": "ser train"} | settings
        write_html_report(tmp_path / "report.html", {"test": evaluation}, metadata, sounds=sounds or {}, **options)
        return Page(tmp_path / "report.html")

    return write


WRONG = [(f"03-01-02-0{intensity}-0{one}-0{two}-{actor:02d}", "happy", 0.5 + actor / 100)
         for actor in (3, 1, 2) for intensity in (1, 2) for one in (1, 2) for two in (1, 2)]  # fmt: skip


def test_only_the_ten_most_confident_errors_are_shown(page):
    shown = page([*WRONG, ("03-01-03-01-01-01-24", "happy", 0.99)])
    assert "10 of 24 wrong predictions" in shown.text
    assert shown.text.count("calm, predicted happy (53.00%)") == 8
    assert shown.text.count("calm, predicted happy (52.00%)") == 2
    assert "99.00%" not in shown.text
    assert shown.text.count("could not be read") == 10
    assert shown.all("audio") == []
    assert shown.all("nav")
    assert "Learning curves" not in shown.text


def test_of_many_speakers_those_with_the_most_recordings_have_a_row(page, monkeypatch):
    rows = [*WRONG, ("03-01-03-01-01-01-24", "happy", 0.9)]
    shown = page(rows)
    assert [row[0] for row in shown.table("speaker", "accuracy")] == ["01", "02", "03", "24"]
    assert "those with the most recordings" not in shown.text
    monkeypatch.setattr("ser.evaluation.html_report._N_SPEAKERS", 3)
    shown = page(rows)
    assert [row[0] for row in shown.table("speaker", "accuracy")] == ["01", "02", "03"]
    assert "3 of 4 speakers, those with the most recordings." in shown.text


def test_a_page_without_errors_and_settings_says_so(page):
    shown = page([("03-01-03-01-01-01-24", "happy", 0.9)], defaults={"seed": 1})
    assert "There are none." in shown.text
    assert "The model has no record of its settings." in shown.text


def test_the_data_of_the_run_are_counted_by_corpus_and_part(page):
    def of(corpus, speaker, emotion, n):
        one = Recording(path=Path(), id="", emotion=emotion, speaker=speaker, corpus=corpus)
        return [replace(one, id=f"{corpus}/{speaker}/{emotion}/{k}") for k in range(n)]

    split = Split(
        train=(*of("ravdess", "01", "sad", 3), *of("ravdess", "02", "calm", 2), *of("", None, "sad", 4)),
        validation=(*of("ravdess", "03", "sad", 2),),
        test=(*of("nemo", "a", "sad", 1), *of("nemo", "b", "sad", 1)),
    )
    shown = page([("03-01-03-01-01-01-24", "happy", 0.9)], split=split)
    assert shown.table("corpus", "part") == [
        ["without a name", "train", "4", "0", "1"],
        ["nemo", "test", "2", "2", "1"],
        ["ravdess", "train", "5", "2", "2"],
        ["ravdess", "validation", "2", "1", "1"],
        ["all", "train", "9", "2", "2"],
        ["all", "validation", "2", "1", "1"],
        ["all", "test", "2", "2", "1"],
    ]
    of_one = Split(train=split.train[:5], validation=split.validation)
    shown = page([("03-01-03-01-01-01-24", "happy", 0.9)], split=of_one)
    assert [row[:2] for row in shown.table("corpus", "part")] == [["ravdess", "train"], ["ravdess", "validation"]]


def test_scores_by_corpus_and_closed_set_scores_are_on_the_page(tiny_metadata, tmp_path):
    rows = [("a", "happy", (0.3, 0.5, 0.2)), ("a", "neutral", (0.8, 0.1, 0.1)), ("b", "calm", (0.2, 0.7, 0.1))]
    recordings = [
        Recording(path=Path(), id=f"{corpus}/{emotion}", emotion=emotion, corpus=corpus) for corpus, emotion, _ in rows
    ]
    evaluation = score_predictions(recordings, [row for *_, row in rows], CLASSES, protocol="made up")
    write_html_report(
        tmp_path / "report.html", {"test": evaluation}, tiny_metadata, title="Title", command="", sounds={}
    )
    shown = Page(tmp_path / "report.html")
    assert [row[0] for row in shown.table("corpus", "recordings")] == ["a", "b"]
    assert f"closed-set UAR{percent(evaluation.results['closed_set']['uar'])}" in shown.text
    assert "Closed-set: among those that the recording's corpus has." in shown.text


def test_what_somebody_wrote_as_markup_is_text(page, tiny_metadata, tmp_path):
    (tmp_path / "broken.wav").write_text(HOSTILE)
    metadata = replace(
        tiny_metadata,
        configuration={HOSTILE: {HOSTILE: HOSTILE}, "list": [HOSTILE], "none": None},
        versions={HOSTILE: HOSTILE},
        corpus_root=HOSTILE,
    )
    texts = {"title": HOSTILE, "command": HOSTILE, "protocol": HOSTILE, "defaults": {"seed": HOSTILE}}
    shown = page(WRONG[:2], metadata=metadata, sounds={WRONG[0][0]: tmp_path / "broken.wav"}, **texts)
    plain = page(WRONG[:2])
    assert {tag for tag, _ in shown.tags} - {tag for tag, _ in plain.tags} <= {"code"}
    assert len(shown.all("script")) == len(plain.all("script")) == 1
    assert not shown.all("img")
    assert shown.text.count(HOSTILE) >= 9
    assert [f"{HOSTILE}.{HOSTILE}", HOSTILE, "-"] in shown.table("setting", "value", "default")
    assert ["seed", "-", HOSTILE] in shown.table("setting", "value", "default")


def test_clips_have_one_level_and_never_clip(tmp_path):
    noise = np.random.default_rng(0).normal(size=12 * CLIP_RATE).astype(np.float32)
    peaks = np.where(np.arange(len(noise)) % 20000 == 0, 1.0, 1e-3).astype(np.float32)
    for name, waveform in (("quiet", 1e-3 * noise), ("loud", 0.2 * noise), ("peaks", peaks)):
        soundfile.write(tmp_path / f"{name}.wav", waveform, CLIP_RATE, subtype="FLOAT")
    quiet, loud, peaks = (read_clip(tmp_path / f"{name}.wav") for name in ("quiet", "loud", "peaks"))
    for clip in (quiet, loud):
        assert clip.dtype == np.float32
        assert len(clip) == 10 * CLIP_RATE
        assert np.sqrt(np.mean(np.square(clip))) == pytest.approx(0.1, rel=0.01)
    assert np.abs(peaks).max() == pytest.approx(0.99, rel=1e-3)
