"""Prepare a corpus as training does, for the soaks that kill it or start it twice.

    python soak/prepare_corpus.py CORPUS CACHE OUTPUT WORKERS READY GO

OUTPUT becomes the matrix of features. READY is made when all is imported; then it waits for GO.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from ser.augment.waveform import AugmentSettings
from ser.corpora.manifest import find_recordings
from ser.data.cache import Recipe, Sample, prepare
from ser.data.files import replace_when_complete
from ser.features.extract import FeatureSettings


def main() -> None:
    """Read the corpus, fill the cache, write the matrix."""
    corpus, cache, output, workers, ready, go = sys.argv[1:]
    Path(ready).touch()
    while not Path(go).exists():
        time.sleep(0.001)
    recipe = Recipe(features=FeatureSettings(), augment=AugmentSettings(), augment_seed=0)
    samples = [Sample(recording=one, copy=copy) for one in find_recordings(Path(corpus)) for copy in (0, 1)]
    prepared = prepare(samples, recipe, cache_dir=Path(cache), workers=int(workers))
    if prepared.failures:
        sys.exit(f"not all could be read: {dict(prepared.failures)}")
    with replace_when_complete(Path(output)) as partial, partial.open("wb") as file:
        np.save(file, prepared.features)


if __name__ == "__main__":
    main()
