"""Tiny speech encoders of transformers' own classes, with random weights, saved as those on the hub are."""

import json
from pathlib import Path
from typing import Any

import torch

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
