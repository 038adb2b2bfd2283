import warnings

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from torch.nn import functional as F

from ser.training.metrics import METRICS, UnweightedAverageRecall, epoch_metrics


def logits_and_labels(seed, *, n_samples=200, classes=range(5)):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor(list(classes))[torch.randint(len(classes), (n_samples,), generator=generator)]
    return F.one_hot(labels, 5) + 1.2 * torch.randn(n_samples, 5, generator=generator), labels


# The second: class 3 is predicted but never occurs. torchmetrics' own macro recall counts it as 0.
@pytest.mark.parametrize("classes", [range(5), (0, 1, 2, 4), (2,)])
def test_the_metrics_of_an_epoch_are_scikit_learns(classes):
    logits, labels = logits_and_labels(0, classes=classes)
    assert (logits.argmax(dim=1) == 3).any()
    metrics = epoch_metrics(5)
    for part in torch.arange(len(labels)).split(64):  # the last batch is smaller
        loss = F.cross_entropy(logits[part], labels[part])
        metrics.update(preds=logits[part], target=labels[part], value=loss.expand(len(part)))
    values = metrics.compute()
    assert set(values) == set(METRICS)
    predicted = logits.argmax(dim=1)
    assert values["accuracy"].item() == pytest.approx(accuracy_score(labels, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of a class that is predicted but does not occur
        assert values["uar"].item() == pytest.approx(balanced_accuracy_score(labels, predicted), rel=1e-12)
    assert values["loss"].item() == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)


def test_an_epoch_begins_from_zero():
    metrics = epoch_metrics(5)
    for seed in (1, 2):
        logits, labels = logits_and_labels(seed)
        metrics.reset()
        metrics.update(preds=logits, target=labels, value=torch.zeros(len(labels)))
    assert metrics.compute()["accuracy"].item() == pytest.approx((logits.argmax(dim=1) == labels).float().mean().item())


def test_no_metric_is_in_a_checkpoint_and_all_follow_their_device():
    metrics = epoch_metrics(5)
    assert not metrics.state_dict()
    recall = UnweightedAverageRecall(5).to("meta")
    assert recall.hits.device.type == recall.support.device.type == "meta"
