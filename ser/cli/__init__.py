"""The command line: one module per subcommand, and no logic of its own.

Each module has `main(arguments) -> exit status`. `python -m ser <command>` finds it by `COMMANDS`.
"""

COMMANDS = {
    "train": "train a recogniser",
    "evaluate": "score a model on labelled recordings",
    "cross-validate": "train and score every fold and seed of a recipe",
    "predict": "predict the emotion of your own recordings",
    "corpus": "list what is there and what is missing of RAVDESS; download it",
    "eda": "explore the corpus: figures, tables, report",
    "export": "write a model as ONNX",
    "publish": "write a model that is loaded by its name",
    "robustness": "measure the UAR lost by level, noise, telephone, room",
    "card": "write the model card",
}
"""Command -> what it is for; the module has the same name, with `_` for `-`."""
