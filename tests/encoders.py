"""Tiny speech encoders of transformers' own classes, with random weights, saved as those on the hub are."""

import json
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ser.cli.command import CONF_FOLDER
from ser.cli.hydra_command import _run_folder
from ser.training.config import read_run_settings
from ser.training.configuration import plain

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
OF_WHISPER: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 16,
    "max_source_positions": 100,  # 2 s
    "vocab_size": 8,
    "pad_token_id": 1,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "decoder_start_token_id": 2,
}


FROZEN = ("data.augment_count=1", "data.batch_size=16", "trainer.max_epochs=2", "model.lr=0.01")
FINE_TUNED = (
    "model.encoder_trainable=true", "model/network=encoder_bilstm_luong", "model.network.lstm_hidden=8",
    "data.augment_count=0", "data.batch_size=16", "trainer.max_epochs=1", "model.lr=0.001",
)  # fmt: skip
LIGHT = (
    "model=encoder", "features.max_length=150", "data.workers=1", "augment.stretch_low=1", "augment.stretch_high=1",
    "augment.pitch_semitones=0", "logger=none", "~callbacks.progress_bar", "trainer=cpu",
)  # fmt: skip


def tiny_encoder(kind: str, *, seed: int = 0, **config: Any) -> Any:
    """Return a model of transformers: WavLM, Hubert, Wav2Vec2 or Whisper."""
    import transformers

    sizes = OF_WHISPER if kind == "Whisper" else SIZES
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**{**sizes, **config}))
    return made.eval()


def save_encoder(model: Any, folder: Path, *, do_normalize: bool = False) -> Path:
    """Save a model and its preprocessor's file; return the folder."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    values = {"do_normalize": do_normalize, "sampling_rate": 16_000}
    (folder / "preprocessor_config.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def settings_of(run_dir: Path, cache_dir: Path, corpus: Path, encoder: Path | str, *overrides: str) -> tuple[Any, Any]:
    """Return the settings of a light run on an encoder, and its configuration."""
    OmegaConf.register_new_resolver("run_folder", _run_folder, replace=True)
    places = [f"paths.run_dir={run_dir}", f"paths.cache_dir={cache_dir}", f"data.root={corpus}"]
    with initialize_config_dir(str(CONF_FOLDER), version_base="1.3"):
        found = plain(compose("train", [*places, f"model.encoder={encoder}", *LIGHT, *overrides]))
    return read_run_settings(found), found
