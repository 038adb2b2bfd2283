"""`python -m ser card model=<name or file> cross_validation=<folder>`: write MODEL_CARD.md.

Every score comes from the results.json and robustness.json of finished cross-validations: that of the model's recipe,
and, where they are given, those under other protocols: `random_split`, `seven_classes`, both again with `_whole`,
without an inner validation part (`data.val_size=0`), `emobox`, `song`. A section without a folder is left
out. `output=<file>` names the card; its pictures lie in docs/model_card/ beside it.
"""

from functools import partial
from pathlib import Path

from ser.cli.command import key_value_command
from ser.features.validation import settings_dataclass

OTHERS = {
    "random_split": "Random split",
    "random_split_whole": "Random split, trained on the whole of its training part",
    "seven_classes": "Random split, seven classes: without neutral",
    "seven_classes_whole": "Seven classes, trained on the whole of the training part",
    "emobox": "The six folds of EmoBox",
    "song": "Song, which has six of the classes: neither disgust nor surprise is sung",
}
"""The keys of further cross-validations, in the card's order, and their titles there."""


@settings_dataclass
class ModelCardSettings:
    """The settings of the command; an empty folder of a cross-validation leaves out its section."""

    model: str
    cross_validation: str
    random_split: str = ""
    random_split_whole: str = ""
    seven_classes: str = ""
    seven_classes_whole: str = ""
    emobox: str = ""
    song: str = ""
    output: str = "MODEL_CARD.md"


def _write(settings: ModelCardSettings) -> str:
    """Return the paths of the card and its pictures."""
    from ser.evaluation.model_card.card import write_card  # torch, only once it is needed

    others = {key: Path(getattr(settings, key)) for key in OTHERS if getattr(settings, key)}
    given = " ".join(f"{key}=<folder>" for key in ("cross_validation", *others))
    paths = write_card(
        settings.model,
        cross_validation=Path(settings.cross_validation),
        others={OTHERS[key]: folder for key, folder in others.items()},
        command=f"python -m ser card model={Path(settings.model).stem} {given}",  # without the places of this machine
        output=Path(settings.output),
    )
    return "\n".join(map(str, paths))


main = partial(key_value_command, _write, ModelCardSettings, name="card", description=__doc__)
