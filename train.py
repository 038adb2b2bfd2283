"""Train a recogniser: `python train.py`, with any setting of `conf/train.yaml` as `key=value`."""

import sys

from ser.__main__ import main

if __name__ == "__main__":
    sys.exit(main(module="ser.cli.train"))
