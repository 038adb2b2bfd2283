"""`python -m ser.model_card model=<name or file> cross_validation=<folder>`: write MODEL_CARD.md.

Every figure comes from the results.json and robustness.json of finished cross-validations: that of the model's recipe,
and, where they are given, those under other protocols: `random_split`, `seven_classes`, `emobox`, `song`. A section
without a folder is left out. `output=<file>` names the card; its pictures lie in docs/model_card/ beside it.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser.errors import SerError
from ser.settings import key_values, read_settings

OTHERS = {
    "random_split": "Random split, as the original",
    "seven_classes": "Seven classes, without neutral",
    "emobox": "The six folds of EmoBox",
    "song": "Song",
}
"""The keys of further cross-validations, in the card's order, and their titles there."""


@dataclass(frozen=True, kw_only=True)
class ModelCardSettings:
    """What the command is told; folders of cross-validations, those that are empty are left out."""

    model: str
    cross_validation: str
    random_split: str = ""
    seven_classes: str = ""
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
        return " ".join([f"python -m ser.model_card model={name}", *(f"{key}=<folder>" for key in given)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the card, print the paths of its files; return 0, or 1 where it could not be done."""
    parser = argparse.ArgumentParser(
        prog="python -m ser.model_card", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "settings", nargs="+", help=f"model=<name or file>, cross_validation=<folder>, {'=, '.join(OTHERS)}=, output="
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        settings = read_settings(ModelCardSettings, key_values(options.settings), where="model_card")

        from ser.model_card.card import read_model_file, write_card  # torch, only once it is needed

        paths = write_card(
            read_model_file(settings.model),
            cross_validation=Path(settings.cross_validation),
            others=settings.others,
            command=settings.command,
            output=Path(settings.output),
        )
    except (SerError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(*paths, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
