import shutil

import numpy as np
import pytest
import soundfile

from ser.cli.main import main
from ser.corpora.check import check_corpus, check_manifest


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A folder with 1.wav to 6.wav, each of another sound of one second; 7.wav is a copy of 1.wav, 8.wav is none."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    for name in range(1, 7):
        soundfile.write(folder / f"{name}.wav", rng.normal(scale=0.1, size=16000), 16000)
    shutil.copy(folder / "1.wav", folder / "7.wav")
    (folder / "8.wav").write_text("words")
    return folder


@pytest.fixture
def check(sounds):
    def run(*rows, head="file,emotion,speaker"):
        path = sounds / "labels.csv"
        path.write_text("\n".join([head, *rows]) + "\n")
        return check_manifest(path)

    return run


def test_what_is_in_a_manifest_is_counted(check):
    rows = ["1.wav,sad,anna,de", "2.wav,angry,anna,de", "3.wav,bored,ben,", "4.wav,sad,ben,pl"]
    text, right = check(*rows, head="file,emotion,speaker,language")
    assert right
    lines = text.splitlines()
    assert "emotion: sad 2, angry 1, bored 1" in lines
    assert "speakers: 2" in lines
    assert "language: de 2, not named 1, pl 1" in lines
    assert "seconds: 1.00 to 1.00, median 1.00; 0.00 hours in all" in lines
    assert lines[-1] == "Nothing is wrong."
    assert "- 'angry' is of one speaker only (anna): it cannot be tested on another." in lines
    assert "- 'bored' has 1 recordings; give it more, or leave it out by data.label_map." in lines


def test_without_speakers_it_says_what_a_random_split_is_worth(check):
    text, right = check("1.wav,sad", "2.wav,angry", head="file,emotion")
    assert right
    assert "speakers: not named" in text
    assert "only a random split can be made, whose scores say nothing of unseen speakers" in text
    text, _ = check("1.wav,sad,anna", "2.wav,angry,")
    assert "1 recordings have no speaker" in text


def test_a_class_for_each_speaker_is_pointed_out(check):
    text, _ = check("1.wav,sad,anna", "2.wav,angry,ben", "3.wav,sad,anna")
    assert "Each speaker has one class only" in text
    text, _ = check("1.wav,sad,anna", "2.wav,sad,ben")
    assert "There is one class; a model needs two or more." in text


@pytest.mark.parametrize(
    ("rows", "head", "sentence"),
    [
        (["1.wav,sad,a", "7.wav,angry,a"], "", "One recording has two labels: 1.wav = 7.wav; keep one of them."),
        (["1.wav,sad,train", "7.wav,sad,test"], "file,emotion,split", "in two parts of the split: 1.wav = 7.wav; keep"),
        (["1.wav,sad,a", "8.wav,sad,a"], "", "8.wav cannot be read as sound"),
        (["1.wav,sad,0.5,2"], "file,emotion,start,end", "1.wav[0.5-2] ends behind the end of its file (1.00 s); c"),
        (["1.wav,sad,a", "9.wav,sad,a"], "", "row 3, column file: '9.wav' is not there"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_listed(check, rows, head, sentence):
    text, right = check(*rows, **({"head": head} if head else {}))
    assert not right
    wrong = text.partition("Wrong:")[2].partition("To know:")[0]
    assert sentence in wrong
    assert text.endswith("Mend what is wrong, then check again.\n")


def test_of_many_names_of_one_content_a_few_are_named(check, sounds):
    for k in range(20, 30):
        shutil.copy(sounds / "1.wav", sounds / f"{k}.wav")
    text, _ = check("1.wav,sad,a", *(f"{k}.wav,sad,a" for k in range(20, 30)))
    assert "such as 1.wav = 20.wav = 21.wav: a random split" in text


def test_what_is_no_error_is_said_all_the_same(check):
    text, right = check("1.wav,sad,a,x", "7.wav,sad,b,y", head="file,emotion,speaker,note")
    assert right
    assert "1 recordings are there more than once, byte by byte, such as 1.wav = 7.wav" in text
    assert "Columns that are not used: note." in text
    text, right = check("1.wav,sad,0,0.6", "1.wav,sad,0.5,0.9", head="file,emotion,start,end")
    assert right
    assert "1 parts overlap the next one of their file, such as 1.wav[0-0.6] and 1.wav[0.5-0.9]." in text


def test_a_corpus_by_name_is_checked_against_what_it_should_be(sounds, tmp_path):
    for number, name in enumerate(("OAF_back_sad", "YAF_back_sad", "YAF_dog_ps"), start=1):
        shutil.copy(sounds / f"{number}.wav", tmp_path / f"{name}.wav")
    (tmp_path / "twice").mkdir()
    shutil.copy(sounds / "1.wav", tmp_path / "twice" / "OAF_back_sad.wav")
    shutil.copy(sounds / "4.wav", tmp_path / "mine.wav")
    text, right = check_corpus(tmp_path, "tess")
    assert not right
    assert text.startswith(f"{tmp_path}: 3 of 2,800 recordings of TESS\n")
    assert "2,797 recordings are missing; TESS is to be had from http" in text
    assert "licence: CC BY-NC-ND 4.0; 2 speakers" in text
    assert "Doubled by name, left out: 1 (" in text
    assert "Without a name of TESS, left out: 1 (" in text


def test_the_command_prints_it_and_its_status_tells(sounds, capsys):
    (sounds / "labels.csv").write_text("file,emotion\n1.wav,sad\n2.wav,happy\n")
    assert main(["corpus", "check", str(sounds / "labels.csv")]) == 0
    assert "Nothing is wrong." in capsys.readouterr().out
    assert main(["corpus", "check", str(sounds), "--corpus", "tess"]) == 1
    assert "0 of 2,800 recordings of TESS" in capsys.readouterr().out
    for words, sentence in (
        (["check"], "needs a manifest, such as labels.csv"),
        (["chek", "labels.csv"], "'chek' is no task of ser corpus; write `ser corpus check labels.csv`"),
        (["check", str(sounds), "--corpus", "tes"], "There is no corpus 'tes'; did you mean 'tess'"),
    ):
        assert main(["corpus", *words]) == 1
        assert sentence in capsys.readouterr().err
