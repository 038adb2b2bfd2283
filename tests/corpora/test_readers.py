"""The readers of corpora by name: their grammar, and the layouts that people have."""

import os
from collections import Counter
from pathlib import Path

import pytest

from ser.corpora.reading import (
    classes_of,
    corpus_names,
    find_reader,
    find_recordings,
    locate_corpus,
    read_corpus,
    reader_names,
)
from ser.corpora.selection import DataSettings
from ser.errors import CorpusError, SettingsError

EXAMPLES = {
    "aesdd": {
        "anger/a03 (4).wav": ("a03 (4)", "angry", "4", None),
        "fear/f01 (01).wav": ("f01 (1)", "fearful", "1", None),
        "sadness/s05(3)b.wav": ("s05 (3)b", "sad", "3", None),
    },
    "ased": {
        "01Neutral/n1-01-01-01-03.wav": ("n1-01-01-01-03", "neutral", "03", None),
        "05Angry/A2-05-02-01-65.wav": ("a2-05-02-01-65", "angry", "65", None),
    },
    "cremad": {
        "AudioWAV/1001_DFA_ANG_XX.wav": ("1001_DFA_ANG_XX", "angry", "1001", "male"),
        "AudioMP3/1091_IEO_FEA_HI.mp3": ("1091_IEO_FEA_HI", "fearful", "1091", "female"),
    },
    "emodb": {
        "wav/03a01Fa.wav": ("03a01Fa", "happy", "03", "male"),
        "16b10Lb.wav": ("16b10Lb", "boredom", "16", "female"),
    },
    "emovo": {
        "f1/dis-f1-b1.wav": ("dis-f1-b1", "disgust", "f1", "female"),
        "m3/gio-m3-n5.wav": ("gio-m3-n5", "happy", "m3", "male"),
    },
    "nemo": {"samples/SM0_anger_12.wav": ("SM0_anger_12", "angry", "SM0", "male")},
    "ravdess": {"Actor_11/03-01-06-02-01-02-11.wav": ("03-01-06-02-01-02-11", "fearful", "11", "male")},
    "savee": {
        "DC/a01.wav": ("DC_a01", "angry", "DC", "male"),
        "KL_su15.wav": ("KL_su15", "surprise", "KL", "male"),
        "JE/sa01.wav": ("JE_sa01", "sad", "JE", "male"),
    },
    "tess": {
        "OAF_Fear/OAF_back_fear.wav": ("OAF_back_fear", "fearful", "OAF", "female"),
        "YAF_pleasant_surprised/YAF_dog_ps.wav": ("YAF_dog_ps", "surprise", "YAF", "female"),
        "OAF_food_fear/OA_bite_neutral.wav": ("OAF_bite_neutral", "neutral", "OAF", "female"),
    },
    "turev": {
        "Angry/1157_kz_acik.wav": ("angry/1157_kz_acik", "angry", "1157", None),
        "Calm/1157_kz_acik.wav": ("calm/1157_kz_acik", "calm", "1157", None),
    },
    "urdu": {"Angry/SM1_F10_A010.wav": ("SM1_F10_A010", "angry", "SM1", "male")},
}  # fmt: skip
"""Corpus -> path -> id, emotion, speaker, gender."""
FOREIGN = ("my voice.wav", "1000_DFA_ANG_XX.wav", "SM0_joy_1.wav", "XY_a01.wav", "04a01Fa.wav")


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_every_reader_has_an_example():
    assert sorted(EXAMPLES) == sorted(reader_names())
    assert set(corpus_names()) == {*reader_names(), "synthetic", "manifest"}


@pytest.mark.parametrize("corpus", EXAMPLES)
def test_a_corpus_is_found_by_its_files(corpus, tmp_path):
    for file in (*EXAMPLES[corpus], *FOREIGN):
        touch(tmp_path / file)
    found = find_reader(corpus).find(tmp_path)
    facts = {one.path: (one.id, one.emotion, one.speaker, one.gender) for one in found.recordings}
    assert facts == {tmp_path / file: fact for file, fact in EXAMPLES[corpus].items()}
    assert len(found.foreign) == len(FOREIGN)
    assert {one.corpus for one in found.recordings} == {corpus}
    assert [one.id for one in found.recordings] == sorted(one.id for one in found.recordings)
    assert {one.emotion for one in found.recordings} <= set(classes_of(corpus))


@pytest.mark.parametrize("corpus", EXAMPLES)
def test_a_corpus_that_is_there_twice_is_read_once(corpus, tmp_path):
    for file in EXAMPLES[corpus]:
        touch(tmp_path / file)
        touch(tmp_path / "copy" / "of it" / file)
    found = find_reader(corpus).find(tmp_path)
    assert [one.path for one in found.recordings if "copy" in one.path.parts] == []
    assert len(found.recordings) == len(found.doubled) == len(EXAMPLES[corpus])


@pytest.mark.parametrize("corpus", EXAMPLES)
def test_what_a_reader_says_of_its_corpus(corpus):
    reader = find_reader(corpus)
    assert reader.source.startswith("http")
    assert "" not in (reader.title, reader.licence, reader.citation)
    assert reader.n_recordings >= 400
    example = next(iter(EXAMPLES[corpus]))
    assert reader.parse(Path("somewhere") / reader.example) is not None, example
    assert len(set(reader.classes)) == len(reader.classes) >= 4


def test_known_defects_are_left_out_with_their_reason(tmp_path, caplog):
    for name in ("1076_MTI_SAD_XX", "1006_TIE_HAP_XX", "1001_DFA_ANG_XX"):
        touch(tmp_path / f"{name}.wav")
    assert [one.id for one in find_recordings(tmp_path, "cremad")] == ["1001_DFA_ANG_XX"]
    assert "1076_MTI_SAD_XX.wav is left out: it is silent" in caplog.text


def test_a_folder_without_the_corpus_is_refused_with_the_name_of_a_file(tmp_path):
    touch(tmp_path / "voice.wav")
    with pytest.raises(CorpusError, match=r"holds no EMO-DB recording \(such as 03a01Fa.wav\); 1 sound"):
        find_recordings(tmp_path, "emodb")
    with pytest.raises(SettingsError, match="There is no corpus 'cremat'; did you mean 'cremad'"):
        find_reader("cremat")


def test_the_settings_find_a_corpus_by_name(tmp_path):
    touch(tmp_path / "urdu" / "Angry" / "SM1_F10_A010.wav")
    touch(tmp_path / "urdu" / "Sad" / "SF2_F10_S010.wav")
    settings = DataSettings(corpus="urdu", label_map={"angry": "anger"})
    assert settings.classes == ("neutral", "happy", "sad", "anger")
    root = locate_corpus(settings, data_dir=tmp_path)
    assert sorted(one.emotion for one in read_corpus(settings, root)) == ["anger", "sad"]
    with pytest.raises(
        CorpusError, match=r"data\.root or EMOVO_ROOT to the folder that holds EMOVO, which is to be had from http"
    ):
        locate_corpus(DataSettings(corpus="emovo"), data_dir=tmp_path)
    with pytest.raises(SettingsError, match=r"label_map has 'hapy'"):
        read_corpus(DataSettings(corpus="urdu", label_map={"hapy": "happy"}), root)


def test_a_manifest_that_is_not_there_is_named(tmp_path):
    settings = DataSettings(corpus="manifest", manifest=str(tmp_path / "labls.csv"))
    with pytest.raises(CorpusError, match=r"labls\.csv cannot be read \(No such file or directory\); give the path of"):
        read_corpus(settings, locate_corpus(settings, data_dir=tmp_path))


@pytest.mark.corpora
@pytest.mark.parametrize(
    ("corpus", "n_recordings", "n_speakers", "n_classes"), [("cremad", 4796, 91, 6), ("nemo", 1197, 9, 6)]
)
def test_corpora_that_are_there_are_read_as_their_manifest_says(corpus, n_recordings, n_speakers, n_classes):
    root = os.environ.get("CORPORA_ROOT")
    if not root:
        pytest.skip("CORPORA_ROOT is not set: a folder with cremad and nemo, each with a manifest.csv")
    by_name = find_recordings(Path(root) / corpus, corpus)
    by_table = find_recordings(Path(root) / corpus / "manifest.csv")
    facts = [
        sorted((r.path.name, r.emotion, r.speaker, r.gender, r.language) for r in one) for one in (by_name, by_table)
    ]
    assert facts[0] == facts[1]
    assert len(by_name) == n_recordings
    assert len({one.speaker for one in by_name}) == n_speakers
    assert len(Counter(one.emotion for one in by_name)) == n_classes
