"""Speech encoders that others have trained: WavLM, HuBERT, wav2vec 2.0, and the encoder of Whisper.

The classes are those of transformers, which is imported where an encoder is built. Their states are what the project's
own networks take the place of acoustic features by: one every 20 ms, of the input and of each layer.
"""

from textwrap import shorten
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ser.errors import SettingsError, missing_package
from ser.models.encoder_metadata import SAMPLE_RATE, EncoderMetadata

_LEAST_VARIANCE = 1e-7
"""Of a waveform: that of transformers' own feature extractor."""
_MEL_HOP = 160
"""Samples from one spectrum of Whisper to the next."""


class LayerMix(nn.Module):
    """A learnt mean of an encoder's layers, with softmax weights (Peters et al. 2018, arXiv:1802.05365).

    Parameters
    ----------
    n_layers : of which a frame has a state each.
    """

    def __init__(self, n_layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(n_layers))

    @property
    def weights(self) -> Tensor:
        """Return float32 [layers], not negative, summing to 1."""
        return torch.softmax(self.scores, dim=0)

    def forward(self, states: Tensor) -> Tensor:
        """Return float32 [batch, hidden, frames] of float [batch, layers * hidden, frames]."""
        layers = states.reshape(len(states), len(self.scores), -1, states.shape[2]).unbind(
            dim=1
        )  # each [b, hidden, frames]
        mixed = torch.zeros_like(layers[0], dtype=torch.float32)
        for weight, layer in zip(self.weights, layers, strict=True):  # one by one: halves become floats without a copy
            mixed = mixed + weight * layer.float()
        return mixed


class Encoder(nn.Module):
    """A waveform in frames in, the states of all layers out.

    A recording goes through without any padding but the zeros that fill its last frame, so its states are the same in
    any batch: group normalisation, which the smaller encoders begin with, would take padding for sound. Each state is
    normalised to zero mean and unit variance, so that layers of different scale can be mixed, and half precision holds
    them. Fine-tuned, the convolutions stay what they are (Baevski et al. 2020, arXiv:2006.11477), no layers are dropped
    and nothing is masked; dropout is that of the encoder's own configuration.

    Parameters
    ----------
    metadata : the kind and the sizes.
    model : the module of transformers with pretrained weights; None: a fresh one.

    Raises
    ------
    SettingsError : transformers is not installed, or has no such encoder.
    """

    def __init__(self, metadata: EncoderMetadata, model: nn.Module | None = None) -> None:
        super().__init__()
        self.metadata = metadata
        self.model = build_model(metadata) if model is None else model
        if metadata.kind != "whisper":
            # Not of the weights alone: else each sample would be a variable, with gradients of its own.
            self.model.feature_extractor._freeze_parameters()  # type: ignore[union-attr, operator]

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Return the states, float32 [batch, layers * hidden, frames], 0 where padded.

        Parameters
        ----------
        features : float32 [batch, stride, frames], the waveform (`ser.features.extract`, group "waveform").
        lengths : int64 [batch], frames of each recording before the padding.
        """
        waveforms = features.transpose(1, 2).flatten(1)  # [b, frames * stride]
        n_rows = self.metadata.n_layers * self.metadata.n_hidden
        states = features.new_zeros(len(features), n_rows, features.shape[2])
        for length in torch.unique(lengths).tolist():
            chosen = (lengths == length).nonzero().squeeze(1)
            layers = self._layers(waveforms[chosen, : length * self.metadata.stride])  # each [n, length, hidden]
            normalised = [F.layer_norm(layer[:, :length], (self.metadata.n_hidden,)) for layer in layers]
            states[chosen, :, :length] = torch.cat(normalised, dim=2).transpose(1, 2)
        return states

    def _layers(self, waveforms: Tensor) -> list[Tensor]:
        """Return the states of float32 [batch, frames * stride], for each layer [batch, frames or more, hidden]."""
        inputs = self._spectra(waveforms) if self.metadata.kind == "whisper" else self._samples(waveforms)
        output = self.model(inputs, output_hidden_states=True)
        # The last one is taken before the last normalisation where that is a layer of its own.
        return [*output.hidden_states[:-1], output.last_hidden_state]

    def _samples(self, waveforms: Tensor) -> Tensor:
        if self.metadata.normalise:
            mean, variance = waveforms.mean(dim=1, keepdim=True), waveforms.var(dim=1, correction=0, keepdim=True)
            waveforms = (waveforms - mean) / (variance + _LEAST_VARIANCE).sqrt()
        # A state's window is longer than its stride: with these zeros, each frame has a state.
        return F.pad(waveforms, (0, self.metadata.window - self.metadata.stride))

    def _spectra(self, waveforms: Tensor) -> Tensor:
        from transformers import WhisperFeatureExtractor

        config = self.metadata.config
        seconds = config["max_source_positions"] * self.metadata.stride / SAMPLE_RATE
        extractor = WhisperFeatureExtractor(
            feature_size=config["num_mel_bins"],
            sampling_rate=SAMPLE_RATE,
            hop_length=_MEL_HOP,
            chunk_length=round(seconds),
        )
        found = extractor(
            list(waveforms.cpu().numpy()), sampling_rate=SAMPLE_RATE, return_tensors="pt", device=str(waveforms.device)
        )
        spectra: Tensor = found["input_features"]
        return spectra.to(waveforms.device)


class FrozenEncoder:
    """An encoder that is not trained, with its states in half precision: in the cache and in prediction alike.

    Parameters
    ----------
    encoder : put in evaluation mode for good.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder.eval().requires_grad_(False)
        self.metadata = encoder.metadata

    def __call__(self, features: NDArray[np.float32], lengths: NDArray[np.int64]) -> NDArray[np.float16]:
        """Return the states, float16 [batch, layers * hidden, frames]; the parameters are those of `Encoder`."""
        device = next(self.encoder.parameters()).device
        with torch.inference_mode():
            inputs = torch.from_numpy(features).to(device), torch.from_numpy(lengths).to(device)
            states: NDArray[np.float16] = self.encoder(*inputs).half().cpu().numpy()
        return states


def model_class(kind: str) -> tuple[Any, Any]:
    """Return transformers' classes of an encoder's configuration and module; of Whisper the module has no decoder.

    Raises
    ------
    SettingsError : transformers is not installed.
    """
    try:
        import transformers  # seconds
        from transformers.models.whisper.modeling_whisper import WhisperEncoder
    except ImportError as error:
        raise SettingsError(f"{missing_package(error, 'An encoder')}.") from error
    if kind == "whisper":
        return transformers.WhisperConfig, WhisperEncoder
    stem = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[kind]
    return getattr(transformers, f"{stem}Config"), getattr(transformers, f"{stem}Model")


def build_config(kind: str, entries: dict[str, Any]) -> Any:
    """Return transformers' configuration of an encoder, with nothing dropped or masked at random but by dropout.

    Raises
    ------
    SettingsError : as `model_class`, or transformers refuses an entry.
    """
    config, _ = model_class(kind)
    # Masks are drawn by a generator of NumPy that no checkpoint holds.
    fixed = {"encoder_layerdrop": 0.0} if kind == "whisper" else {"layerdrop": 0.0}
    fixed |= {"apply_spec_augment": False, "mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    try:
        made = config(**entries, **fixed)
    except Exception as error:  # transformers' own, of several kinds
        raise SettingsError(f"encoder.config is refused by transformers: {shorten(str(error), 200)}") from error
    # No file chooses how attention is computed: a name there may be that of code on the hub.
    made._attn_implementation = "eager"
    return made


def build_model(metadata: EncoderMetadata) -> nn.Module:
    """Return the module of transformers with fresh weights; errors as `build_config`."""
    config = build_config(metadata.kind, metadata.config)
    _, model = model_class(metadata.kind)
    try:
        made: nn.Module = model(config)
    except Exception as error:  # sizes that do not divide, an activation that there is none of
        reason = f"{type(error).__name__}: {shorten(str(error), 200)}"
        raise SettingsError(f"encoder.config makes no {metadata.kind} encoder ({reason}).") from error
    return made
