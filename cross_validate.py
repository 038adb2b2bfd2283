"""Cross-validate a recipe: `python cross_validate.py folds=subject_wise seeds=[42,43,44]`; train.py's keys too."""

import sys

from ser.__main__ import main

if __name__ == "__main__":
    sys.exit(main(module="ser.cli.cross_validate"))
