"""Evaluate a model: `python evaluate.py [checkpoint=<run folder, file or name>] [test_dir=<RAVDESS-named files>]`."""

import sys

from ser.__main__ import main

if __name__ == "__main__":
    sys.exit(main(module="ser.cli.evaluate"))
