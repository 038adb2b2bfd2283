"""`ser card --model <name or file> --cross-validation <folder>`: write a model card, <name>.md."""

import logging
from pathlib import Path
from typing import Annotated

import typer

TITLES = {
    "random_split": "Random split",
    "random_split_whole": "Random split, trained on the whole of its training part",
    "seven_classes": "Random split, seven classes: without neutral",
    "seven_classes_whole": "Seven classes, trained on the whole of the training part",
    "emobox": "The six folds of EmoBox",
    "song": "Song, which has six of the classes: neither disgust nor surprise is sung",
}
"""The further cross-validations, in the card's order, and their titles there."""
Folder = Annotated[Path | None, typer.Option(help="a cross-validation under another protocol", metavar="FOLDER")]


def card(
    model: Annotated[str, typer.Option(help="the name or file of a pretrained model")],
    cross_validation: Annotated[
        Path, typer.Option(help="the cross-validation of the model's recipe", metavar="FOLDER")
    ],
    random_split: Folder = None,
    random_split_whole: Folder = None,
    seven_classes: Folder = None,
    seven_classes_whole: Folder = None,
    emobox: Folder = None,
    song: Folder = None,
    output: Annotated[
        Path | None, typer.Option(help="the card, without it <name>.md; its pictures lie in <name>_files beside it")
    ] = None,
) -> int:
    """Write the model card.

    Every score comes from the results.json and robustness.json of finished cross-validations. A section without a
    folder is left out. The `-whole` ones are without an inner validation part (data.val_size=0).
    """
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    folders = (random_split, random_split_whole, seven_classes, seven_classes_whole, emobox, song)
    others = {key: folder for key, folder in zip(TITLES, folders, strict=True) if folder is not None}

    from ser.evaluation.model_card.card import write_card  # torch, only once it is needed

    given = " ".join(f"--{key.replace('_', '-')} <folder>" for key in ("cross_validation", *others))
    paths = write_card(
        model,
        cross_validation=cross_validation,
        others={TITLES[key]: folder for key, folder in others.items()},
        command=f"ser card --model {Path(model).stem} {given}",  # without the places of this machine
        output=output,
    )
    print(*paths, sep="\n")
    return 0
