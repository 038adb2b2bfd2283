import pytest
import torch
from torch.nn import functional as F

from ser.augment.spectrogram import SpectrogramAugmentSettings
from ser.errors import SettingsError
from ser.training.loss import CrossEntropy


@pytest.mark.parametrize(("power", "expected"), [(1.0, [2, 1, 2 / 3]), (0.5, [2**0.5, 1, 1.5**-0.5])])
def test_rare_classes_weigh_more(power, expected):
    loss = CrossEntropy(class_weight_power=power, class_counts=(4, 8, 12))
    torch.testing.assert_close(loss.class_weights, torch.tensor(expected).float())
    labels = torch.tensor([0, 2, 2])
    torch.testing.assert_close(loss.total_weight(labels), torch.tensor(expected)[labels].sum())
    assert loss.total_weight(torch.rand(5, 3)) == 5
    assert CrossEntropy(class_counts=(4, 8, 12)).class_weights is None


def test_a_class_without_samples_has_no_weight(classifier, batch):
    made = classifier(counts=(6, 6, 0), class_weight_power=1.0, label_smoothing=0.1)
    features, lengths, labels = batch
    assert torch.isfinite(made.training_step((features, lengths, labels.clamp(max=1)), 0))
    torch.testing.assert_close(made.loss.class_weights, torch.tensor([1.0, 1.0, 0.0]))


def test_the_loss_is_the_weighted_cross_entropy_of_smoothed_targets(classifier, batch):
    made = classifier(class_weight_power=1.0, label_smoothing=0.2, spectrogram=SpectrogramAugmentSettings(n_masks=1))
    features, lengths, labels = batch
    assert not made.spectrogram.changes_anything
    logits = made.recogniser(features, lengths)[0].log_softmax(dim=1)
    smoothed = 0.8 * F.one_hot(labels, 3) + 0.2 / 3
    weights = made.loss.class_weights
    torch.testing.assert_close(made.loss.validation(logits, labels), F.cross_entropy(logits, labels))
    expected = -(weights * smoothed * logits).sum() / weights[labels].sum()
    torch.testing.assert_close(made.training_step((features, lengths, labels), 0), expected)


@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("are_mixed", [False, True])
def test_with_all_classes_allowed_the_loss_is_the_plain_one(power, are_mixed):
    loss = CrossEntropy(0.2, class_weight_power=power, class_counts=(4, 8, 12))
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(6, 3, generator=draw), torch.tensor([0, 1, 2, 2, 1, 0])
    targets = torch.softmax(torch.randn(6, 3, generator=draw), dim=1) if are_mixed else labels
    torch.testing.assert_close(loss(logits, targets, allowed=torch.ones(6, 3, dtype=torch.bool)), loss(logits, targets))


def test_a_class_that_a_corpus_lacks_has_no_part_in_the_loss_of_its_recordings():
    """It is the loss of a network without that class, and its logit gets no gradient."""
    loss = CrossEntropy(0.2, class_weight_power=1.0, class_counts=(4, 8, 12))
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels, allowed = torch.tensor([0, 1, 1, 0, 1]), torch.tensor([[True, True, False]] * 5)
    found = loss(logits, labels, allowed=allowed)
    found.backward()
    expected = F.cross_entropy(logits[:, :2], labels, weight=loss.class_weights[:2], label_smoothing=0.2)
    torch.testing.assert_close(found, expected)
    assert (logits.grad[:, 2] == 0).all()
    assert (logits.grad[:, :2] != 0).all()


def test_a_training_step_leaves_out_what_a_corpus_lacks(classifier, batch):
    features, lengths, labels = batch
    labels = labels.clamp(max=1)
    for spectrogram in (None, SpectrogramAugmentSettings(mixup=0.4)):
        made = classifier(label_smoothing=0.1, spectrogram=spectrogram)
        made.draws = torch.Generator().manual_seed(0)
        allowed = torch.tensor([[True, True, False]] * len(labels))
        made.training_step((features, lengths, labels, allowed), 0).backward()
        bias = [p for p in made.recogniser.network.parameters() if p.shape == (3,)][-1]
        assert bias.grad[2] == 0
        assert (bias.grad[:2] != 0).all()


def test_the_metrics_of_validation_are_of_the_whole_recogniser(classifier, batch):
    made = classifier().eval()
    features, lengths, labels = batch
    made.validation_step((features, lengths, labels), 0)
    made.validation_step((features[:2], lengths[:2], labels[:2]), 1)
    logits = torch.cat([made.recogniser(features, lengths)[0], made.recogniser(features[:2], lengths[:2])[0]])
    truth = torch.cat([labels, labels[:2]])
    values = made.val_metrics.compute()
    assert values["loss"].item() == pytest.approx(F.cross_entropy(logits, truth).item(), rel=1e-5)
    assert values["accuracy"].item() == pytest.approx((logits.argmax(dim=1) == truth).float().mean().item())


def test_a_step_counts_the_online_models_logits_and_keeps_no_graph(classifier, batch):
    made = classifier(class_weight_power=1.0)
    loss = made.training_step(batch, 0)
    assert loss.requires_grad
    values = made.train_metrics.compute()
    assert values["loss"].item() == pytest.approx(loss.item())
    assert not values["loss"].requires_grad


def test_an_augmented_batch_follows_from_the_generator_alone(classifier, batch):
    strong = SpectrogramAugmentSettings(
        vtlp=0.1, speed=0.2, noise=0.5, n_masks=2, freq_mask=4, time_mask=6, mixup=0.3, mixup_probability=1.0
    )
    made = classifier(spectrogram=strong).train()
    losses = []
    for seed in (0, 0, 1):
        made.draws = torch.Generator().manual_seed(seed)
        torch.manual_seed(9)
        losses.append(made.training_step(batch, 0).item())
    assert losses[0] == losses[1] != losses[2]


class Number(torch.nn.Module):
    def forward(self, logits, targets):
        return 1.0


class Vector(torch.nn.Module):
    def forward(self, logits, targets):
        return logits[:, 0]


def test_a_loss_or_a_network_of_ones_own_of_the_wrong_kind_is_one_sentence(classifier, batch):
    made = classifier()
    made.loss = Vector()
    with pytest.raises(SettingsError, match=r"model\.loss returned \[6\], but should return the mean"):
        made.training_step(batch, 0)
    made.loss = Number()
    with pytest.raises(SettingsError, match=r"model\.loss returned float"):
        made.training_step(batch, 0)
    made.recogniser.network.classify = torch.nn.LazyLinear(5)
    with pytest.raises(
        SettingsError, match=r"model\.network is ResidualBiLstm, which returned logits .* \[6, 5\], .* \[batch, 3\]"
    ):
        made.training_step(batch, 0)


@pytest.mark.parametrize("kind", ["none", "frozen"])
def test_a_network_without_weights_to_train_is_one_sentence(kind, classifier):
    made = classifier()
    made.recogniser.network.requires_grad_(False)
    if kind == "none":
        made.recogniser.network = torch.nn.Flatten()
    name = type(made.recogniser.network).__name__
    with pytest.raises(
        SettingsError, match=rf"^model\.network is {name}, which has no weights to train; give it layers"
    ):
        made.configure_optimizers()


@pytest.mark.parametrize("output", [None, (torch.zeros(6, 3), None), {"logits": torch.zeros(6, 3)}])
def test_a_network_that_returns_no_logits_is_named(output, classifier, batch):
    made = classifier()
    made.recogniser.network.forward = lambda features, lengths: output
    sentence = rf"^model\.network is ResidualBiLstm, which returned a {type(output).__name__}, but should return logits"
    with pytest.raises(SettingsError, match=sentence):
        made.training_step(batch, 0)
