"""What the tests of the feature cache prepare."""

from collections.abc import Sequence
from pathlib import Path

from ser.augment.waveform import AugmentSettings
from ser.corpora.manifest import content_digest
from ser.data.cache import Prepared, _entry_keys, prepare
from ser.data.recipe import Recipe, Sample
from ser.features.settings import FeatureSettings

# Cheap rows: what the features are is tested with the features.
RECIPE = Recipe(
    features=FeatureSettings(groups=("zcr", "rms", "mfcc"), max_length=60), augment=AugmentSettings(), augment_seed=7
)


def entry_keys(samples: Sequence[Sample], recipe: Recipe = RECIPE) -> list[str]:
    digests = {sample.recording.path: content_digest(sample.recording.path) for sample in samples}
    return list(_entry_keys(samples, recipe, digests))


def prepare_here(samples: Sequence[Sample], cache_dir: Path, recipe: Recipe = RECIPE) -> Prepared:
    return prepare(samples, recipe, cache_dir=cache_dir, workers=1)
