"""Each benchmark compares the answers of its two sides itself, so that one that ends well has checked them."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ser.models.precision import computes_in_bf16

pytestmark = pytest.mark.timeout(900)  # some twenty starts of Python, most with torch: a busy machine needs long

PROJECT = Path(__file__).resolve().parents[2]

TITLES = (
    "187 features",
    "Time stretch",
    "Pitch shift",
    "Whole preparation of 10 recordings and 8 copies",
    "Peak memory",
    "Second start",
    "One epoch at batch 8",
    "Prediction of 4 s, warm, one thread, search apart, PyTorch",
    "Prediction of 4 s, warm, one thread, search apart, ONNX Runtime",
    "Scoring a folder of 12, two processes, PyTorch",
    "Scoring a folder of 12, two processes, ONNX Runtime",
    "`python train.py --help`",
    "Importing the predictor",
    *(
        f"A prediction of 4 s by ser-voices, one thread, speech search apart, against: {side}"
        for package, sides in (
            ("opensmile", ("openSMILE eGeMAPSv02, 88", "openSMILE ComParE_2016, 6373")),
            ("transformers", ("encoder of the size of wav2vec2-base",)),
        )
        for side in sides
        if importlib.util.find_spec(package)
    ),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a quick run of all benchmarks, on synthetic sound."""
    output = tmp_path_factory.mktemp("benchmarks") / "benchmarks.md"
    command = [sys.executable, "benchmarks/all.py", "--quick", "--output", str(output)]
    environment = {name: value for name, value in os.environ.items() if name != "RAVDESS_ROOT"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return output.read_text(encoding="utf-8")


def lines_of_table(page, heading):
    table = page[page.index(heading) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_table_has_a_line_with_a_figure_for_each_of_the_issues(page):
    lines = lines_of_table(page, "| figure | command |")
    assert len(lines) == len(TITLES)
    for title, (figure, command, _, measured, bounds, reached) in zip(TITLES, lines, strict=True):
        assert figure.startswith(title)
        assert (PROJECT / command.strip("`").removeprefix("python ")).is_file()
        assert float(re.match(r"[\d.]+", measured)[0]) > 0
        assert re.match(r"[\d.]+ / [\d.]+", bounds)
        assert reached in ("aim", "must", "**no**")


def test_the_errors_of_every_group_and_of_the_tuning_are_told(page):
    errors = dict(lines_of_table(page, "| group | largest difference |"))
    assert list(errors) == ["mfcc", "delta", "delta2", "chroma", "mel", "zcr", "contrast"]
    assert errors["zcr"] == "none, to the bit"
    assert "0 of 3 tuning estimates differ." in page
    assert len(lines_of_table(page, "| change | ser, dB |")) == 2


def test_machine_versions_and_notes_are_there(page):
    assert re.search(r"cores, \d+ GiB of memory", page)
    assert re.search(r"librosa \d+\.", page)
    assert "synthetic sound" in page
    assert "## What was tried" in page
    assert "$" not in page


def test_the_plan_for_a_million_utterances_has_the_tables_of_the_simulation():
    command = [sys.executable, "benchmarks/cluster.py"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (PROJECT / "docs" / "explanations" / "a_million_utterances.md").read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n)+", done.stdout, re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        assert table in page, "copy the tables that the command prints into the page, and read its text again"


def test_the_gpu_benchmark_can_be_rehearsed_and_says_where_there_is_no_gpu():
    command = [sys.executable, "benchmarks/gpu.py", "--samples=64", "--epochs=1", "--threads=1"]
    done = subprocess.run([*command, "--device=cpu"], cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split("|")[1:3] for line in done.stdout.splitlines() if line.startswith("| ")][1:]
    assert [[cell.strip() for cell in row] for row in rows] == [
        [recipe, f"cpu, {precision}"]
        for recipe in ("baseline", "logmel_resbilstm", "voices")
        for precision in ("32-true", *["bf16-mixed"] * computes_in_bf16(torch.device("cpu")))
    ]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=PROJECT, env=hidden, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no GPU that PyTorch can use here")
