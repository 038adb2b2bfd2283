"""The launcher of Ray without Ray: what it says where that is missing. With it: tests/slow/test_launchers.py."""

import sys

from tests.command_line import is_one_sentence, run_in_process


def test_where_ray_is_missing_one_sentence_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    done = run_in_process("train.py", "-m", "hydra/launcher=ray", "seed=1", folder=tmp_path)
    assert done.returncode == 1
    assert is_one_sentence(done.stderr, 'hydra/launcher=ray needs ray, which is not installed: pip install "ser[ray]".')
