"""What a run begins with: a recogniser whose statistics and utterance-level head are fitted, or a trained one."""

import dataclasses
import logging
from pathlib import Path

import torch

from ser.data.datamodule import EmotionData
from ser.models.metadata import ModelMetadata
from ser.models.networks.context_bilstm import ContextBiLstm
from ser.models.recogniser import Recogniser
from ser.models.registry import build_recogniser
from ser.models.utterance_heads import KernelHead
from ser.training.config import RunSettings
from ser.training.context import expected_shares, fit_statistics
from ser.training.fine_tuning import (
    describe_fine_tuning,
    freeze_weights,
    frozen_names,
    initial_of_resumed,
    load_initial,
    take_weights,
)
from ser.training.utterance_head import Weighting, adapt_functionals, fit_functionals, fit_kernel

log = logging.getLogger(__name__)


def initialise(
    settings: RunSettings, data: EmotionData, metadata: ModelMetadata, *, resumes: Path | None = None
) -> tuple[Recogniser, ModelMetadata]:
    """Return the recogniser that the trainer is given, and its metadata.

    From random weights, normalisation and utterance-level head are fitted on the training part. With `init_from`,
    weights and normalisation are those of the initial model, whose linear head is adapted to the training part; a
    kernel head, which compares with utterances of training, is fitted anew.

    Parameters
    ----------
    data : set up.
    metadata : of the run, without what it says of an initial model.
    resumes : the checkpoint that the trainer will load weights, normalisation and head from, so that none is fitted
        and no initial model is needed.

    Raises
    ------
    CheckpointError : as `load_initial`, `initial_of_resumed` and `take_weights`.
    """
    own, groups = settings.own_networks, settings.features.own_groups
    recogniser = build_recogniser(metadata, own)
    metadata = dataclasses.replace(metadata, context=recogniser.n_summary)
    if settings.init_from is None:
        if isinstance(recogniser.network, ContextBiLstm):
            if resumes is None:
                _fit_statistics(data, recogniser.network)
        elif metadata.encoder is None:  # the states of an encoder are normalised one by one
            shape = recogniser.normalisation.mean.shape
            columns = (torch.from_numpy(column[: shape.numel()]) for column in (data.scaler.mean_, data.scaler.scale_))
            recogniser.normalisation.set_statistics(*(column.reshape(shape) for column in columns))
    else:
        if resumes is None:
            initial = load_initial(settings.init_from, networks=own, feature_groups=groups)
            take_weights(recogniser, metadata, initial, own)
            if isinstance(recogniser.network, ContextBiLstm):
                _expect_classes(data, recogniser.network)
            entry = initial.entry
        else:
            entry = initial_of_resumed(resumes, groups)
        protocol = describe_fine_tuning(entry, metadata.protocol)
        metadata = dataclasses.replace(metadata, init_from=entry, protocol=protocol)
        freeze_weights(recogniser.network, frozen_names(metadata, settings.model.frozen, own))
    if recogniser.utterance_head is not None and resumes is None:
        log.info("Fitting the utterance-level head")
        _fit_head(settings, data, recogniser)
    return recogniser, metadata


def _fit_statistics(data: EmotionData, network: ContextBiLstm) -> None:
    rows = data.rows_to_fit()
    features, lengths, labels = data.tensors("train", rows)
    speakers, draws = data.speakers("train"), data.draws("train")
    if rows is not None:
        speakers, draws = speakers[rows], None if draws is None else draws[rows]
    fit_statistics(network, features, lengths, speakers, labels, draws)


def _expect_classes(data: EmotionData, network: ContextBiLstm) -> None:
    """Set the shares of the classes that answers are expected to have: the initial model may have had other classes."""
    labels, draws = data.labels("train"), data.draws("train")
    weights = torch.ones(len(labels), dtype=torch.float64) if draws is None else draws
    network.class_shares.copy_(expected_shares(labels, weights, n_classes=len(network.class_shares)))


def _fit_head(settings: RunSettings, data: EmotionData, recogniser: Recogniser) -> None:
    head = recogniser.utterance_head
    rows = data.rows_to_fit()
    features, lengths, labels = data.tensors("train", rows)
    of_corpora = Weighting(draws=data.draws("train"), allowed=data.allowed("train")).of(rows)
    if isinstance(head, KernelHead):
        groups = data.groups("train")
        groups = groups if rows is None else groups[rows]
        fit_kernel(head, features, lengths, labels, groups, of_corpora, seed=settings.seed)
    elif head is not None:
        fit = fit_functionals if settings.init_from is None else adapt_functionals
        fit(
            head,
            features,
            lengths,
            labels,
            of_corpora,
            feature_settings=settings.features,
            spectrogram=settings.spectrogram,
            seed=settings.seed,
        )
