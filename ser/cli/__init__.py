"""The command line: a screen a subcommand, nothing else.

Each module has `main(arguments) -> exit status`. `python -m ser <command>` finds it by `COMMANDS`.
"""

COMMANDS = {
    "train": "train a recogniser",
    "evaluate": "score a model on recordings whose emotion is known",
    "cross-validate": "train and score every fold and seed of a recipe",
    "predict": "the emotion of your own recordings",
    "corpus": "what is there of RAVDESS, what is missing; download it",
    "eda": "explore the corpus: figures, tables, report",
    "export": "write a model as ONNX",
    "publish": "write a model that is loaded by its name",
    "robustness": "how much UAR is lost to level, noise, telephone, room",
    "card": "write the model card",
}
"""Command -> what it is for; the module has the same name, with `_` for `-`."""
