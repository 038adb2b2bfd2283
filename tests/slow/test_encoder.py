"""A resumed fine-tuning ends like an unbroken one, bit for bit: dropout in the encoder draws from torch alone."""

import torch

from ser.inference.checkpoint import read_checkpoint
from ser.training.run import train
from tests.encoders import FINE_TUNED, save_encoder, settings_of, tiny_encoder


def test_a_resumed_run_ends_like_one_that_never_stopped(tmp_path, tiny_corpus):
    encoder = save_encoder(tiny_encoder("WavLM"), tmp_path / "encoder")

    def run(folder, *overrides):
        place = tmp_path / folder
        constant = ("model/scheduler=constant", *overrides)
        train(*settings_of(place, tmp_path / "cache", tiny_corpus, encoder, *FINE_TUNED, *constant))
        return read_checkpoint(place / "checkpoints" / "last.ckpt")["state_dict"]

    whole = run("whole", "trainer.max_epochs=2")
    run("half")
    resumed = run("half", "trainer.max_epochs=2", f"ckpt_path={tmp_path / 'half'}")
    assert whole.keys() == resumed.keys()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
