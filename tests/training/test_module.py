import pytest
import torch
from torch.nn import functional as F

from ser.augment.spectrogram import SpectrogramAugmentSettings
from ser.corpora.ravdess import EMOTIONS
from ser.features.extract import FeatureSettings
from ser.inference.checkpoint import fresh_recogniser
from ser.models.metadata import ModelMetadata
from ser.training.module import EmotionClassifier, ModelSettings
from ser.training.optimiser import OptimiserSettings

METADATA = ModelMetadata(
    architecture="residual_bilstm",
    network={"channels": (4, 4), "lstm_hidden": 4, "attention_hidden": 4, "dropout": 0.0, "block_dropout": 0.0},
    class_names=EMOTIONS[:3],
    features=FeatureSettings(groups=("logmel",), n_mels=20, max_length=64),
    protocol="made up",
)


def classifier(*, counts=(4, 8, 12), spectrogram=None, **settings):
    torch.manual_seed(0)
    made = EmotionClassifier(
        fresh_recogniser(METADATA),
        metadata=METADATA,
        settings=ModelSettings(name="residual_bilstm", **settings),
        seed=0,
        spectrogram=spectrogram,
        class_counts=counts,
    )
    made.draws = torch.Generator().manual_seed(0)
    return made


def batch():
    generator = torch.Generator().manual_seed(1)
    features = -40 + 10 * torch.randn(6, 20, 60, generator=generator)
    features[2:, :, 40:] = 0
    return features, torch.tensor([60, 60, 40, 40, 40, 40]), torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("class_weight_power", "expected"), [(0.0, [1, 1, 1]), (1.0, [2, 1, 2 / 3]), (0.5, [2**0.5, 1, 1.5**-0.5])]
)
def test_rare_classes_weigh_more(class_weight_power, expected):
    torch.testing.assert_close(
        classifier(class_weight_power=class_weight_power).class_weights, torch.tensor(expected).float()
    )


def test_a_class_that_is_not_there_spoils_nothing():
    made = classifier(counts=(6, 6, 0), class_weight_power=1.0, label_smoothing=0.1)
    features, lengths, labels = batch()
    assert torch.isfinite(made.training_step((features, lengths, labels.clamp(max=1)), 0))
    torch.testing.assert_close(made.class_weights, torch.tensor([1.0, 1.0, 0.0]))


def test_the_loss_is_the_weighted_cross_entropy_of_smoothed_targets():
    made = classifier(class_weight_power=1.0, label_smoothing=0.2, spectrogram=SpectrogramAugmentSettings(n_masks=1))
    features, lengths, labels = batch()
    assert not made.spectrogram.changes_anything
    logits = made.learner(features, lengths)[0].log_softmax(dim=1)
    smoothed = 0.8 * F.one_hot(labels, 3) + 0.2 / 3
    weights = made.class_weights
    expected = -(weights * smoothed * logits).sum() / weights[labels].sum()
    torch.testing.assert_close(made.training_step((features, lengths, labels), 0), expected)


def test_the_epochs_sums_are_of_its_own_answers_and_begin_again():
    made = classifier().eval()
    features, lengths, labels = batch()
    made.validation_step((features, lengths, labels), 0)
    made.validation_step((features[:2], lengths[:2], labels[:2]), 1)
    logits = torch.cat([made.recogniser(features, lengths)[0], made.recogniser(features[:2], lengths[:2])[0]])
    truth = torch.cat([labels, labels[:2]])
    sums = made._read_sums("val")
    assert sums["val/loss"] == pytest.approx(F.cross_entropy(logits, truth).item(), rel=1e-5)
    assert sums["val/accuracy"] == pytest.approx((logits.argmax(dim=1) == truth).float().mean().item())
    assert not made.val_confusion.any()


def test_what_is_validated_is_the_average_and_what_learns_is_another():
    made = classifier(optimiser=OptimiserSettings(ema_decay=0.9))
    assert made.learner is not made.recogniser
    assert not any(weight.requires_grad for weight in made.recogniser.parameters())
    assert {name.split(".")[0] for name, weight in made.named_parameters() if weight.requires_grad} == {"online_model"}
    assert classifier().learner is not None
    plain = classifier()
    assert plain.learner is plain.recogniser


def test_a_changed_batch_follows_from_the_generator_alone():
    strong = SpectrogramAugmentSettings(
        vtlp=0.1, speed=0.2, noise=0.5, n_masks=2, freq_mask=4, time_mask=6, mixup=0.3, mixup_probability=1.0
    )
    made = classifier(spectrogram=strong).train()
    losses = []
    for seed in (0, 0, 1):
        made.draws = torch.Generator().manual_seed(seed)
        torch.manual_seed(9)
        losses.append(made.training_step(batch(), 0).item())
    assert losses[0] == losses[1] != losses[2]
