"""`python -m ser card model=<name or file> cross_validation=<folder>`: write MODEL_CARD.md.

Every score comes from the results.json and robustness.json of finished cross-validations: that of the model's recipe,
and, where they are given, those under other protocols: `random_split`, `seven_classes`, both again with `_whole`,
without an inner validation part (`data.val_size=0`), `emobox`, `song`. A section without a folder is left
out. `output=<file>` names the card; its pictures lie in docs/model_card/ beside it.
"""

from collections.abc import Sequence
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

    @property
    def others(self) -> dict[str, Path]:
        """Title -> folder of those that were given."""
        return {title: Path(getattr(self, key)) for key, title in OTHERS.items() if getattr(self, key)}

    @property
    def command(self) -> str:
        """The command that writes the card, without the places of this machine."""
        name = Path(self.model).stem
        given = [key for key in ("cross_validation", *OTHERS) if getattr(self, key)]
        return " ".join([f"python -m ser card model={name}", *(f"{key}=<folder>" for key in given)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the card, print the paths of its files; return the exit status."""
    keys = f"model=<name or file>, cross_validation=<folder>, {'=, '.join(OTHERS)}=, output="
    return key_value_command(_write, ModelCardSettings, arguments, name="card", description=__doc__, keys=keys)


def _write(settings: ModelCardSettings) -> str:
    from ser.evaluation.model_card.card import write_card  # torch, only once it is needed

    paths = write_card(
        settings.model,
        cross_validation=Path(settings.cross_validation),
        others=settings.others,
        command=settings.command,
        output=Path(settings.output),
    )
    return "\n".join(map(str, paths))
