"""`ser eda` as people type it, on the tiny synthetic corpus."""

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from ser.corpora.ravdess import EMOTIONS
from ser.corpora.reading import find_recordings
from tests.command_line import ROOT, is_one_sentence, rows_of, run_in_process, typed, users_environment

GROUPS = ("mfcc", "delta", "delta2", "chroma", "mel", "zcr", "contrast")
FIGURES = {
    "emotion_bar_plot", "audio_duration", "audio_duration_by_emotion", "correlation_heatmap", "mean_features",
    "effect_sizes", "embedding_pca_emotion", "embedding_pca_speaker",
    *(f"distribution_{group}" for group in GROUPS),
    *(f"example_{number}_{emotion}" for number, emotion in enumerate(EMOTIONS, 1)),
}  # fmt: skip


def eda(*arguments, folder, corpus, status=0):
    fixed = (f"data.root={corpus}", "data.workers=1", f"paths.cache_dir={folder}/cache")
    done = run_in_process("-m", "ser", "eda", *arguments, *fixed, folder=folder)
    assert done.returncode == status, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("eda")


@pytest.fixture(scope="module")
def analysis(folder, tiny_corpus):
    eda("output_dir=analysis", "tsne=false", folder=folder, corpus=tiny_corpus)
    return folder / "analysis"


def test_the_analysis_leaves_all_that_it_promises(analysis):
    tables = ["eda_summary", "label_distribution", "effect_sizes", "group_correlations", "nearest_neighbours"]
    tables += ["neighbour_emotions", "outliers", *(f"mean_features_{group}" for group in GROUPS)]
    assert {path.name for path in analysis.iterdir()} == {f"{name}.csv" for name in tables} | {"report.html", "figures"}
    assert {path.stem for path in (analysis / "figures").iterdir()} == FIGURES
    for path in (analysis / "figures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_report_holds_every_figure_and_the_counts(analysis):
    report = (analysis / "report.html").read_text()
    assert report.count('<svg class="chart"') == len(FIGURES)
    assert "45 recordings (45 of speech) by 3 speakers" in report
    assert not re.search(r"https?:|mel_\d|contrast_\d", report)
    assert report.count("<script") == 1


def test_the_outliers_and_an_example_of_each_emotion_can_be_played(analysis):
    report = (analysis / "report.html").read_text()
    outliers, examples = report.count("<li><p><strong>"), len(EMOTIONS)
    assert 8 <= outliers <= 12
    assert report.count('<audio controls preload="none"') == outliers + examples
    assert len(report) < 3_000_000


def test_the_tables_count_the_tiny_corpus(analysis):
    labels = {row["emotion"]: row["all"] for row in rows_of(analysis / "label_distribution.csv")}
    assert labels == dict.fromkeys(EMOTIONS, "6") | {"neutral": "3"}
    assert len(pd.read_csv(analysis / "effect_sizes.csv")) == 2 * 187


def test_the_bar_plot_is_one_file_and_no_more(tmp_path, tiny_corpus):
    arguments = ("plot_emotions", "output_path=eda/emotion_bar_plot.png", f"data.root={tiny_corpus}")
    subprocess.run(typed("-m", "ser", "eda", *arguments), cwd=tmp_path, env=users_environment(), check=True)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert files == [Path("eda/emotion_bar_plot.png")]


def test_the_table_is_written_where_it_was_asked_for(folder, analysis, tiny_corpus):
    eda("table", "output_path=features.parquet", "features.max_length=10", folder=folder, corpus=tiny_corpus)
    table = pd.read_parquet(folder / "features.parquet", columns=["mfcc_0_0", "spectral_contrast_6_9", "label"])
    assert table["label"].value_counts()["neutral"] == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["plot_emotion"], "eda.task is 'plot_emotion'; did you mean 'plot_emotions'"),
        (["data.chanel=song"], "data.chanel"),
        (["data.channel=song"], "holds no recording of data.channel=song"),
        (["output_dir=taken/deeper"], "output_dir is no place to write taken/deeper/report.html"),
        (["table", "output_path=x.xyz"], "output_path is 'x.xyz', but should end in .parquet, which is written."),
        (["plot_emotions", "output_path=x"], "output_path is 'x', but should end in .png, which is written."),
        (["output_path=x.png"], "output_path is 'x.png', but a report is many files"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(arguments, told, tmp_path, tiny_corpus):
    (tmp_path / "taken").write_text("a file")
    done = eda(*arguments, folder=tmp_path, corpus=tiny_corpus, status=1)
    assert is_one_sentence(done.stderr, told), done.stderr


@pytest.mark.parametrize("corpus", ["nothing", "empty"])
def test_a_corpus_that_is_not_there_is_told(corpus, tmp_path):
    (tmp_path / "empty").mkdir()
    done = eda(folder=tmp_path, corpus=tmp_path / corpus, status=1)
    assert is_one_sentence(done.stderr, str(tmp_path / corpus)), done.stderr


def test_what_cannot_be_read_is_listed_and_the_rest_done(tmp_path, tiny_corpus, undrawn):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    first, *others = find_recordings(tiny_corpus)[::4]
    for recording in others:
        (corpus / recording.path.name).symlink_to(recording.path)
    (corpus / first.path.name).write_bytes(b"no sound")
    done = eda("output_dir=analysis", "tsne=false", "sounds=false", folder=tmp_path, corpus=corpus)
    assert f"Left out: {corpus / first.path.name}" in done.stdout
    assert [row["file"] for row in rows_of(tmp_path / "analysis" / "unreadable.csv")] == [first.path.name]
    report = (tmp_path / "analysis" / "report.html").read_text()
    assert f"{len(others)} recordings" in report
    assert "<audio" not in report
    assert "sounds=false" in report
    assert first.path.name in report


def test_without_a_bare_word_the_task_is_that_of_the_configuration(folder, tiny_corpus):
    assert "task: report" in eda("--cfg", "job", folder=folder, corpus=tiny_corpus).stdout


def test_the_package_needs_neither_torch_nor_lightning():
    modules = ", ".join(f"ser.eda.{path.stem}" for path in (ROOT / "ser" / "eda").glob("[a-z]*.py"))
    code = f"import {modules}, sys; assert not {{'torch', 'lightning', 'matplotlib.pyplot'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=100)
