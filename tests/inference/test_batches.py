"""From many recordings to features."""

from ser.features.settings import FeatureSettings
from ser.inference import batches


def test_compiled_loops_are_loaded_once_there_were_many_recordings(voice_file, monkeypatch):
    loaded = []
    monkeypatch.setattr(batches, "load_compiled", lambda: loaded.append(True))
    monkeypatch.setattr(batches, "MANY_RECORDINGS", 2)
    outcomes = batches.load_all([voice_file] * 4, FeatureSettings(groups=("zcr",)), workers=1)
    assert [next(outcomes) and len(loaded) for _ in range(4)] == [0, 0, 1, 2]
