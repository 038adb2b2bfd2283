import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from ser.corpora.splits import FOLDS
from ser.errors import SettingsError
from ser.features.validation import as_plain, read_settings
from ser.training.config import RunSettings
from ser.training.cross_validation.settings import CrossValidationSettings, describe_protocol

CONF = Path(__file__).parents[3] / "conf" / "cross_validate.yaml"


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
        ("speakers", tuple(f"speakers_{number}" for number in range(5))),
        (("speakers_4", "speakers_1"), ("speakers_4", "speakers_1")),
        (("corpus_nemo", "corpus_mine"), ("corpus_nemo", "corpus_mine")),
    ],
)
def test_folds_are_a_set_a_name_or_a_list(folds, names):
    assert CrossValidationSettings(folds=folds).fold_names == names
    if folds in ("subject_wise", "emobox"):
        assert sorted(int(actor) for name in names for actor in FOLDS[name].test) == list(range(1, 25))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"folds": "subjectwise"}, "did you mean 'subject_wise'"),
        ({"folds": [7]}, "folds has 'subject_wise_7'"),
        ({"folds": []}, "name at least one"),
        ({"folds": ["speakers_5"]}, "folds has 'speakers_5'"),
        ({"folds": ["corpus_nemo", "speakers_0"]}, "folds has 'corpus_nemo'"),
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


UNSEEN, RANDOM = {"split": "speaker", "fold": 0}, {"folds": "random"}
BEST, LAST = (
    {"checkpoint": {"dirpath": "checkpoints", "filename": "best", "monitor": monitor}} for monitor in ("val/loss", None)
)


@pytest.mark.parametrize(
    ("settings", "data", "callbacks", "scored", "said", "unsaid"),
    [
        (
            {}, UNSEEN | {"channel": "both", "score_channel": "speech"}, BEST, "both",
            ["^Speaker-independent, speech, the 5 subject-wise folds: test and validation speakers are unseen",
             "the checkpoint, the temperature and the rejection threshold of each run were chosen on its validation",
             "8 classes, trained on speech and song, seeds 42, 43, 44.$"], "not scored",
        ),
        ({"folds": "emobox"}, UNSEEN, BEST, "both", ["validation actors of our own"], "not scored"),
        ({"folds": (0, 4), "seeds": (7,)}, UNSEEN, BEST, "both",
         ["the folds subject_wise_0, subject_wise_4:", "seed 7.$"], "not scored"),
        ({}, UNSEEN, BEST, "validation", ["The test part was not scored.$"], "last epoch"),
        ({}, UNSEEN, LAST, "both",
         ["the last epoch was kept; the temperature and the rejection threshold of each run were chosen on"],
         "checkpoint"),
        (RANDOM, {"split": "random"}, BEST, "validation",
         ["^Speaker-dependent", "as in the reference implementation"], "not scored"),
        (RANDOM, {"split": "random", "val_size": 0.1}, BEST, "both",
         ["^Speaker-dependent", "chosen on 10% of the training part"], "not scored"),
        (RANDOM, {"split": "random"}, LAST, "validation",
         ["all other recordings were trained on", "the last epoch was kept."], "chosen"),
        (RANDOM, {"split": "random", "val_size": 0.1}, LAST, "both",
         ["the last epoch was kept, validated on 10% of the training part"], "all other recordings"),
    ],
)  # fmt: skip
def test_the_protocol_states_who_was_trained_on_tested_and_chosen_by(settings, data, callbacks, scored, said, unsaid):
    values = {group: {} for group in ("features", "augment", "logger")}
    values |= {
        "model": {"network": {}, "loss": {}, "optimiser": {}},
        "data": data,
        "callbacks": callbacks,
        "trainer": {"max_epochs": 1},
        "seed": 0,
        "run_name": "run",
    }
    values["paths"] = dict.fromkeys(("output_dir", "run_dir", "cache_dir", "data_dir"), "")
    run = read_settings(RunSettings, values, where="")
    parts = ("validation", "test") if scored == "both" else ("validation",)
    protocol = describe_protocol(
        CrossValidationSettings(**settings), run, scored=parts, n_classes=len(run.data.classes)
    )
    assert [words for words in said if not re.search(words, protocol)] == []
    assert unsaid not in protocol
