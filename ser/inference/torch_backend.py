"""The model on PyTorch."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ser.errors import CheckpointError, SettingsError
from ser.inference.checkpoint import Networks, load_recogniser
from ser.inference.metadata_file import SAFETENSORS
from ser.inference.pretrained import load_pretrained
from ser.inference.scorer import Scored
from ser.models.context import no_context
from ser.models.encoder import FrozenEncoder
from ser.models.encoder_files import described, load_named_encoder
from ser.models.metadata import FeatureGroups, ModelMetadata
from ser.models.recogniser import Recogniser

_AT_ONCE = 8
"""Recordings that an encoder's states are held of at a time: they take 1 MB a second in a `base` size."""


class TorchScorer:
    """Features to probabilities; see `ser.inference.scorer.Scorer`.

    Parameters
    ----------
    temperature : the logits are divided by it.
    encoder : the frozen one that the recogniser was trained on; None: there is none, or the features are its states.
    """

    def __init__(
        self, recogniser: Recogniser, *, temperature: float = 1.0, encoder: FrozenEncoder | None = None
    ) -> None:
        self.recogniser = recogniser.eval()
        self.temperature = temperature
        self.encoder = encoder

    def __call__(
        self, features: NDArray[np.float32], lengths: NDArray[np.int64], context: NDArray[np.float32] | None = None
    ) -> Scored:
        if self.encoder is not None or self.recogniser.encoder is not None:
            parts = [slice(start, start + _AT_ONCE) for start in range(0, len(features), _AT_ONCE)]
            scored = [self._score(features[part], lengths[part], None) for part in parts]
            return Scored(*(np.concatenate(each) for each in zip(*scored, strict=True)))
        return self._score(features, lengths, context)

    def _score(
        self, features: NDArray[np.float32], lengths: NDArray[np.int64], context: NDArray[np.float32] | None
    ) -> Scored:
        inputs = features if self.encoder is None else self.encoder(features, lengths)
        known = no_context(len(features), self.recogniser.n_summary) if context is None else torch.from_numpy(context)
        with torch.inference_mode():
            logits, attention, summary = self.recogniser.with_summary(
                torch.from_numpy(inputs), torch.from_numpy(lengths), known
            )
            probabilities = torch.softmax(logits.float() / self.temperature, dim=1)
            return Scored(probabilities.numpy(), attention.float().numpy(), summary.float().numpy())

    def of_summaries(self, summaries: NDArray[np.float32], contexts: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return probabilities, or None where the network has no `of_summary`; see `ser.inference.scorer`."""
        of_summary = getattr(self.recogniser.network, "of_summary", None)
        if of_summary is None:
            return None
        with torch.inference_mode():
            logits = of_summary(torch.from_numpy(summaries), torch.from_numpy(contexts))
            probabilities: NDArray[np.float32] = torch.softmax(logits.float() / self.temperature, dim=1).numpy()
            return probabilities


def load_torch_scorer(
    path: Path,
    *,
    networks: Networks | None = None,
    feature_groups: FeatureGroups | None = None,
    encoder: Path | str | None = None,
) -> tuple[TorchScorer, ModelMetadata]:
    """Read a checkpoint, the best one of a run's folder, or a .safetensors file; `networks` and so on are one's own.

    Parameters
    ----------
    encoder : the frozen encoder of the model, a folder or a name on the hub.

    Raises
    ------
    CheckpointError : as `load_recogniser` and `load_pretrained`; or the model needs an encoder, and none is given or
        another one.
    SettingsError : it needs none.
    """
    load = load_pretrained if path.suffix == SAFETENSORS else load_recogniser
    recogniser, metadata = load(path, networks=networks, feature_groups=feature_groups)
    frozen = _frozen_encoder(path, metadata, encoder)
    return TorchScorer(recogniser, temperature=metadata.temperature, encoder=frozen), metadata


def _frozen_encoder(path: Path, metadata: ModelMetadata, source: Path | str | None) -> FrozenEncoder | None:
    wanted = metadata.encoder
    if wanted is None or wanted.trainable:
        if source is not None:
            why = "was trained without one" if wanted is None else "has its own in its file"
            raise SettingsError(f"encoder is {str(source)!r}, but {path} {why}; leave it out.")
        return None
    if source is None:  # nothing is fetched that nobody asked for
        raise CheckpointError(
            f"{path} needs the frozen encoder {described(wanted)}, which is not in its file: give its folder or name "
            "as encoder=..., --encoder, or to `ser evaluate` as encoder=...."
        )
    return FrozenEncoder(load_named_encoder(source, wanted, of=path))
