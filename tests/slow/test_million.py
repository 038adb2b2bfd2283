"""The benchmark of a million utterances, with few: it compares the rows of killed runs with those of others itself."""

import os
import re
import subprocess
import sys

from tests.command_line import ROOT


def test_a_killed_run_loses_and_doubles_nothing():
    command = [sys.executable, "benchmarks/million.py", "--count", "200", "--kills", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^\| (.+?) \| (\d+) \| \d+ \| \d+ \| (\d+) \| (\d+) \| (\d+) \|", done.stdout, flags=re.M)
    assert rows == [
        ("one worker", "40", "0", "0", "0"),
        ("two workers", "200", "0", "0", "0"),
        ("two, killed", "200", "2", "0", "0"),
    ]
