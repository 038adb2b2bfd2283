from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from ser.augment.waveform import AugmentSettings
from ser.corpora.selection import DataSettings
from ser.corpora.splits import FOLDS
from ser.errors import SettingsError
from ser.features.settings import FeatureSettings
from ser.features.validation import as_plain, read_settings
from ser.training.config import CallbackSettings, LoggerSettings, MonitorSettings, PathSettings, RunSettings
from ser.training.cross_validation.settings import CrossValidationSettings, describe_protocol
from ser.training.module import ModelSettings

CONF = Path(__file__).parents[3] / "conf" / "cross_validate.yaml"
BOTH = ("validation", "test")


def test_the_configuration_says_what_the_code_does_by_default():
    values = yaml.safe_load(CONF.read_text())
    own = {field.name: values[field.name] for field in fields(CrossValidationSettings)}
    assert own == as_plain(CrossValidationSettings())


@pytest.mark.parametrize(
    ("folds", "names"),
    [
        ("subject_wise", tuple(f"subject_wise_{number}" for number in range(5))),
        ("emobox", tuple(f"emobox_{number}" for number in range(6))),
        ("random", ("random",)),
        ("audeering", ("audeering",)),
        (3, ("subject_wise_3",)),
        ((1, "subject_wise_0"), ("subject_wise_1", "subject_wise_0")),
        ((0, "audeering"), ("subject_wise_0", "audeering")),
    ],
)
def test_folds_are_a_set_a_name_or_a_list(folds, names):
    assert CrossValidationSettings(folds=folds).fold_names == names


@pytest.mark.parametrize("folds", ["subject_wise", "emobox"])
def test_a_set_of_folds_tests_every_actor_once(folds):
    tested = [actor for name in CrossValidationSettings(folds=folds).fold_names for actor in FOLDS[name].test]
    assert sorted(tested) == list(range(1, 25))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"folds": "subjectwise"}, "did you mean 'subject_wise'"),
        ({"folds": [7]}, "folds has 'subject_wise_7'"),
        ({"folds": []}, "name at least one"),
        ({"folds": [1, "subject_wise_1"]}, "each once"),
        ({"folds": [0, "emobox_4"]}, "test actors [2, 15, 16] twice"),
        ({"seeds": []}, "seeds is [], but should be a list of at least 1"),
        ({"seeds": [1, 1]}, "seeds names one twice"),
        ({"seeds": [-1]}, "seeds[0] is -1, but should be at least 0"),
        ({"jobs": -1}, "jobs is -1"),
        ({"bootstrap_resamples": 100}, "bootstrap_resamples is 100"),
        ({"bootstrap_seed": -1}, "bootstrap_seed is -1"),
        ({"target_selective_accuracy": 0.0}, "target_selective_accuracy is 0.0"),
        ({"fold": 3}, "did you mean 'folds'"),
    ],
)
def test_wrong_settings_are_refused_by_name(values, sentence):
    with pytest.raises(SettingsError) as caught:
        read_settings(CrossValidationSettings, values, where="cv")
    assert sentence in str(caught.value)


def run_on(data, *, monitor="val/loss"):
    return RunSettings(
        data=data,
        features=FeatureSettings(),
        augment=AugmentSettings(),
        model=ModelSettings(),
        trainer={"max_epochs": 1},
        callbacks=CallbackSettings(checkpoint=MonitorSettings(monitor=monitor)),
        logger=LoggerSettings(),
        paths=PathSettings(output_dir="", run_dir="", cache_dir="", data_dir=""),
        seed=0,
        run_name="run",
    )


def test_the_protocol_states_unseen_speakers_and_what_was_chosen_on_whom():
    data = DataSettings(split="speaker", fold=0, channel="both", score_channel="speech")
    said = describe_protocol(CrossValidationSettings(), run_on(data), scored=BOTH)
    assert said.startswith(
        "Speaker-independent, speech, the 5 subject-wise folds: test and validation speakers are unseen"
    )
    assert said.endswith("8 classes, trained on speech and song, seeds 42, 43, 44.")
    assert "validation actors of our own" in describe_protocol(
        CrossValidationSettings(folds="emobox"), run_on(data), scored=BOTH
    )
    listed = describe_protocol(CrossValidationSettings(folds=(0, 4), seeds=(7,)), run_on(data), scored=BOTH)
    assert "the folds subject_wise_0, subject_wise_4:" in listed
    assert listed.endswith("seed 7.")


def test_the_protocol_says_when_the_last_epoch_was_kept():
    speaker = DataSettings(split="speaker", fold=0)
    said = describe_protocol(CrossValidationSettings(), run_on(speaker, monitor=None), scored=BOTH)
    assert "the last epoch was kept; the temperature and the rejection threshold of each run were chosen on" in said
    random = run_on(DataSettings(split="random"), monitor=None)
    said = describe_protocol(CrossValidationSettings(folds="random"), random, scored=("validation",))
    assert "all other recordings were trained on" in said
    assert "the last epoch was kept." in said
    assert "chosen" not in said
    inner = run_on(DataSettings(split="random", val_size=0.1), monitor=None)
    said = describe_protocol(CrossValidationSettings(folds="random"), inner, scored=BOTH)
    assert "the last epoch was kept, validated on 10% of the training part" in said
    assert "all other recordings" not in said


def test_the_protocol_says_when_the_test_part_was_left_alone():
    data = DataSettings(split="speaker", fold=0)
    said = describe_protocol(CrossValidationSettings(), run_on(data), scored=("validation",))
    assert said.endswith("The test part was not scored.")


@pytest.mark.parametrize(
    ("fraction", "words"),
    [(0.0, "as in the reference implementation"), (0.1, "chosen on 10% of the training part")],
)
def test_the_protocol_of_a_random_split_says_what_chose_the_checkpoint(fraction, words):
    settings = CrossValidationSettings(folds="random")
    data = DataSettings(split="random", val_size=fraction)
    said = describe_protocol(settings, run_on(data), scored=BOTH if fraction else ("validation",))
    assert said.startswith("Speaker-dependent")
    assert words in said
    assert "not scored" not in said
