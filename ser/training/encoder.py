"""The speech encoder of a run: read before the data, then run once over each sample, or trained with the network."""

import hashlib
import json
import logging
from importlib.metadata import version
from pathlib import Path

import torch

from ser.data.datamodule import EmotionData
from ser.features.validation import as_plain
from ser.models import encoder as encoder_module
from ser.models.encoder import Encoder, FrozenEncoder
from ser.models.encoder_files import described, load_encoder
from ser.models.encoder_metadata import check_features
from ser.training.config import RunSettings

log = logging.getLogger(__name__)

_LIBRARIES = ("torch", "transformers")


def read_encoder(settings: RunSettings) -> Encoder | None:
    """Return the encoder that the settings name; None where there is none.

    Raises
    ------
    CheckpointError, SettingsError : as `load_encoder`; or the features are not for it.
    """
    model = settings.model
    if model.encoder is None:
        return None
    encoder = load_encoder(model.encoder, revision=model.encoder_revision, trainable=model.encoder_trainable)
    check_features(settings.features, encoder.metadata)
    how = "fine-tuned" if model.encoder_trainable else "frozen"
    log.info("Encoder: %s, %s, %d layers", described(encoder.metadata), how, encoder.metadata.n_layers)
    return encoder


def use_encoder(data: EmotionData, encoder: Encoder, device: torch.device) -> None:
    """Let the states of a frozen encoder take the place of the waveforms of `data`; of another nothing changes."""
    if encoder.metadata.trainable:
        return
    metadata = encoder.metadata
    frozen = FrozenEncoder(encoder.to(device))
    data.use_states(frozen, key=_key(encoder), n_rows=metadata.n_layers * metadata.n_hidden)


def _key(encoder: Encoder) -> str:
    """Return what the states depend on, but for the sound: weights, sizes, code and libraries."""
    values = as_plain(encoder.metadata)
    facts = {key: values[key] for key in ("sha256", "kind", "config", "normalise")}
    code = hashlib.sha256(Path(encoder_module.__file__).read_bytes()).hexdigest()
    return json.dumps([facts, code, {name: version(name) for name in _LIBRARIES}], sort_keys=True)
