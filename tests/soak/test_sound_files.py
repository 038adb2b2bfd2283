"""A short form of `soak/sound_files.py`, and that it finds what it looks for."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).parents[2]
SOAK = PROJECT / "soak"


def run(tmp_path, *arguments, program=None):
    """Run the script, or a program that changes something beforehand; return it and what it wrote."""
    output = tmp_path / "figures.json"
    path = tmp_path / "program.py"
    path.write_text(f"import sys; sys.path.insert(0, {str(PROJECT)!r})\n" + (program or ""))
    script = [str(path)] if program else [str(SOAK / "sound_files.py")]
    done = subprocess.run(
        [sys.executable, *script, "--workers", "1", "--json", str(output), *arguments],
        env={"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
    )  # fmt: skip
    return done, json.loads(output.read_text(encoding="utf-8"))


def test_hundreds_of_files_go_through_the_door(tmp_path):
    done, told = run(tmp_path, "--count", "300", "--seed", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    (figure,) = told["figures"]
    assert figure["held"]
    assert figure["command"] == "python soak/sound_files.py --count 300 --seed 6"
    assert sum(told["details"]["counts"].values()) == 300
    assert len(told["details"]["counts"]) >= 8
    assert told["details"]["failures"] == []


BREAKS = {
    "an error of another type": ("raise KeyError('x')", "KeyError"),
    "a crash": ("import os; os.abort()", "the process died (exit status -6)"),
    "too slow": ("import time; time.sleep(60)", "took more than 3 s"),
    "too much memory": ("import numpy; numpy.ones(300 * 2**20, dtype='uint8')", "MemoryError"),
    "a message without the name": ("from ser.errors import AudioError; raise AudioError('no')", "does not serve"),
    "no sound": (
        "from ser.audio.io import Sound; import numpy; return Sound(waveform=numpy.full(22050, numpy.nan, 'float32'), "
        "sample_rate=22050, duration=1.0, peak=0.5, clipped=False)",
        "a sound whose values is wrong",
    ),
}


@pytest.mark.parametrize(("act", "told"), BREAKS.values(), ids=BREAKS)
def test_a_failure_is_found_and_named_by_its_place(tmp_path, act, told):
    """Place 3 fails in the way that is tried; the files behind it are still judged."""
    program = f"""
from soak import sound_files
door = sound_files.read_sound
def read_sound(source, *, sample_rate, name):
    if "number-3." in name:
        {act}
    return door(source, sample_rate=sample_rate, name=name)
sound_files.read_sound = read_sound
sound_files.SECONDS = 3.0 if "sleep" in {act!r} else 20.0
if __name__ == "__main__":
    sys.exit(sound_files.main())
"""
    done, figures = run(tmp_path, "--count", "12", program=program)
    assert done.returncode == 1
    (failure,) = figures["details"]["failures"]
    assert (failure["seed"], failure["place"]) == (0, 3)
    assert told in failure["told"]
    assert sum(figures["details"]["counts"].values()) == 11


def test_a_file_is_the_same_whenever_it_is_asked_for(tmp_path):
    from soak.hostile_sounds import hostile_sound

    path = tmp_path / "again"
    for place in range(0, 60, 7):
        command = [sys.executable, str(SOAK / "hostile_sounds.py"), "5", str(place), str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        sound = hostile_sound(5, place)
        assert path.read_bytes() == sound.content
        assert done.stdout.strip() == sound.kind


def test_every_kind_is_made_and_what_is_not_spoilt_can_be_read():
    from ser.audio.io import read_sound
    from soak.hostile_flac import FLAC_MAKERS
    from soak.hostile_ogg import OGG_MAKERS
    from soak.hostile_sounds import hostile_sound
    from soak.hostile_wav import WAV_MAKERS

    made = {hostile_sound(0, place).kind for place in range(1_500)}
    assert {kind.partition(",")[0] for kind in made} == {*WAV_MAKERS, *FLAC_MAKERS, *OGG_MAKERS}
    assert {kind.partition(", ")[2] for kind in made} == {"", "bits flipped", "cut", "zeroed", "spliced", "lengthened"}
    for kind, make in (("FLAC", FLAC_MAKERS["FLAC"]), ("OGG", OGG_MAKERS["OGG"])):
        for seed in range(8):
            sound = read_sound(make(np.random.default_rng(seed)), sample_rate=22050, name=kind)
            assert 0.45 < sound.duration < 0.6
