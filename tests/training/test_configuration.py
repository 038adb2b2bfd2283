"""A run's folder may come from a stranger too: its configuration is plain values or nothing."""

import pytest
from omegaconf import OmegaConf

from ser.errors import CheckpointError
from ser.training.configuration import read_configuration, resumed, write_configuration

BOMB = "b0: &b0 [x, x]\n" + "".join(f"b{k}: &b{k} [{', '.join([f'*b{k - 1}'] * 9)}]\n" for k in range(1, 5))


def test_what_was_written_is_read(tmp_path):
    write_configuration(tmp_path, {"seed": 7, "data": {"classes": ["sad"], "root": None}})
    assert read_configuration(tmp_path) == {"seed": 7, "data": {"classes": ["sad"], "root": None}}


@pytest.mark.parametrize(
    "content",
    [
        b"!!python/object/apply:os.mkdir ['victim']\n", b"model: !!python/object/apply:os.mkdir ['victim']\n",
        b"model: !!python/name:os.system\n", b"a: {b: \n", b"a: 1\na: 2\n", b"\xff\xfe\x00", b"? [1, 2]\n: x\n",
        b"- 1\n", BOMB.encode(), b"a: " + b"[" * 40 + b"]" * 40, b"a: " + b"x" * 2**20,
    ],
    ids=lambda content: content[:20].decode("latin-1"),
)  # fmt: skip
def test_anything_else_is_refused_by_name_and_runs_nothing(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"config\.yaml") as refused:
        resumed(OmegaConf.create({"ckpt_path": str(tmp_path)}), [])
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "victim").exists()


def test_a_configuration_without_its_paths_is_given_them(tmp_path):
    write_configuration(tmp_path, {"seed": 7})
    configuration = resumed(OmegaConf.create({"ckpt_path": str(tmp_path)}), [])
    assert configuration.paths.run_dir == configuration.ckpt_path == str(tmp_path)
