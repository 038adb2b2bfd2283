"""What a model's metadata say of its speech encoder. Plain values only, no torch."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field

from ser.errors import SettingsError
from ser.features.settings import FeatureSettings
from ser.features.validation import settings_dataclass

SAMPLE_RATE = 16_000
"""Hz that all of these encoders were trained on."""
GROUPS = ("waveform",)
"""The features that an encoder takes."""

_CONVOLUTIONAL = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act", "hidden_dropout"),
    *("activation_dropout", "attention_dropout", "feat_proj_dropout", "layer_norm_eps", "feat_extract_norm"),
    *("feat_extract_activation", "conv_dim", "conv_stride", "conv_kernel", "conv_bias", "num_conv_pos_embeddings"),
    *("num_conv_pos_embedding_groups", "do_stable_layer_norm"),
)
CONFIG_KEYS: dict[str, tuple[str, ...]] = {
    "wav2vec2": _CONVOLUTIONAL,
    "hubert": (*_CONVOLUTIONAL, "feat_proj_layer_norm", "conv_pos_batch_norm"),
    "wavlm": (*_CONVOLUTIONAL, "num_buckets", "max_bucket_distance"),
    "whisper": (
        *("d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "num_mel_bins"),
        *("max_source_positions", "activation_function", "dropout", "attention_dropout", "activation_dropout"),
        "scale_embedding",
    ),
}
"""`model_type` of transformers -> the entries of its configuration that say what is computed; no other is read."""

WHISPER_STRIDE = 320
"""Samples from one state of Whisper's encoder to the next: two spectra of 160."""
_MAX_LAYERS = 256
"""Of transformer layers or of convolutions. A stranger's file may hold any number, and would be built for ever."""

Kind = Literal["wav2vec2", "hubert", "wavlm", "whisper"]


@settings_dataclass
class EncoderMetadata:
    """A speech encoder as transformers has it.

    Attributes
    ----------
    name : as the training was given it: of a repository on the Hugging Face hub, or of a folder.
    revision : the commit of that repository; "" for a folder.
    sha256 : hexadecimal, of the file of its pretrained weights.
    trainable : fine-tuned: then the weights are the model's own. Else they are not in its file, and whoever loads it
        brings the encoder.
    kind : transformers' `model_type`.
    config : entries of its configuration, those of `CONFIG_KEYS`.
    normalise : whether it takes waveforms of zero mean and unit variance.
    """

    name: str
    revision: str = ""
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    trainable: bool = False
    kind: Kind
    config: dict[str, Any]
    normalise: bool = False

    def __post_init__(self) -> None:
        known = CONFIG_KEYS[self.kind]
        if set(self.config) != set(known):
            wrong = sorted(set(self.config) ^ set(known))[0]
            raise SettingsError(f"config of a {self.kind} encoder lacks {wrong!r}, or has it and should not.")
        sizes = ("num_hidden_layers", "hidden_size", "encoder_layers", "d_model", "max_source_positions")
        for key in (key for key in sizes if key in self.config):
            _check_size(self.config[key], key, at_most=_MAX_LAYERS if key.endswith("layers") else 2**16)
        for key in (key for key in ("conv_dim", "conv_stride", "conv_kernel") if key in self.config):
            sizes_of = self.config[key]
            if not isinstance(sizes_of, list | tuple) or not 0 < len(sizes_of) <= _MAX_LAYERS:
                raise SettingsError(f"config.{key} should be a list of 1 to {_MAX_LAYERS} whole numbers.")
            for size in sizes_of:
                _check_size(size, key, at_most=2**16)

    @property
    def n_layers(self) -> int:
        """States of a frame: of the input of the first transformer layer, and of each layer's output."""
        layers: int = self.config["encoder_layers" if self.kind == "whisper" else "num_hidden_layers"]
        return layers + 1

    @property
    def n_hidden(self) -> int:
        """Numbers of a state."""
        size: int = self.config["d_model" if self.kind == "whisper" else "hidden_size"]
        return size

    @property
    def stride(self) -> int:
        """Samples from one state to the next."""
        return WHISPER_STRIDE if self.kind == "whisper" else math.prod(self.config["conv_stride"])

    @property
    def window(self) -> int:
        """Samples that one state is computed from, before the transformer."""
        size = 1
        for kernel, stride in zip(
            reversed(self.config["conv_kernel"]), reversed(self.config["conv_stride"]), strict=True
        ):
            size = (size - 1) * stride + kernel
        return size


def _check_size(value: object, key: str, *, at_most: int) -> None:
    if type(value) is not int or not 1 <= value <= at_most:
        raise SettingsError(f"config.{key} holds {value!r:.100}, but should hold whole numbers from 1 to {at_most}.")


def check_features(features: FeatureSettings, encoder: EncoderMetadata | None = None) -> None:
    """Check that features are the waveform that an encoder takes; None: one that is not known yet.

    Raises
    ------
    SettingsError : they are not; it names the key.
    """
    if features.groups != GROUPS or features.sample_rate != SAMPLE_RATE:
        raise SettingsError(
            f"model.encoder takes a waveform at {SAMPLE_RATE} Hz, but features.groups is {list(features.groups)} at "
            f"{features.sample_rate} Hz: give model=encoder, or features=waveform."
        )
    if encoder is None:
        return
    if features.hop_length != encoder.stride:
        raise SettingsError(
            f"features.hop_length is {features.hop_length}, but {encoder.name} has a state every {encoder.stride} "
            f"samples: give features.hop_length={encoder.stride}."
        )
    most = encoder.config.get("max_source_positions")
    if most is not None and features.max_length > most:
        raise SettingsError(
            f"features.max_length is {features.max_length}, but {encoder.name} takes {most} frames at most."
        )
