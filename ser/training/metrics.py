"""What is measured of every training and validation epoch: loss, accuracy, unweighted average recall."""

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

METRICS = ("loss", "accuracy", "uar")


class UnweightedAverageRecall(Metric):
    """Mean recall over the classes that occur, in [0, 1] (scikit-learn's `balanced_accuracy_score`).

    Not torchmetrics' macro recall: that one also counts, with a recall of 0, a class that is predicted but never
    occurs, and it counts with `bincount`, for which a GPU has to be waited for in every step.

    Parameters
    ----------
    n_classes : how many classes the network has.
    """

    full_state_update = False
    hits: Tensor
    support: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        for name in ("hits", "support"):
            self.add_state(name, torch.zeros(n_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch: logits float32 [batch, classes], labels int64 [batch]."""
        self.hits.index_add_(0, target, (preds.argmax(dim=1) == target).long())
        self.support.index_add_(0, target, torch.ones_like(target))

    def compute(self) -> Tensor:
        """Return the metric of all batches since the last reset, float64 []."""
        hits, support = self.hits.cpu(), self.support.cpu()  # float64 is not on every device
        return (hits[support > 0].double() / support[support > 0]).mean()


def epoch_metrics(n_classes: int) -> MetricCollection:
    """Return the metrics named in `METRICS`, to be updated with `preds`, `target` and `value`.

    `preds` are logits, float32 [batch, classes], `target` labels, int64 [batch], and `value` is the loss of each
    sample, float32 [batch]. An update makes a GPU wait for nothing: no value is checked, none is read back.
    """
    return MetricCollection(
        {
            # With the check for NaN left out, `MeanMetric` also leaves out weights: so a value for each sample.
            "loss": MeanMetric(nan_strategy="disable"),
            "accuracy": MulticlassAccuracy(n_classes, average="micro", validate_args=False),
            "uar": UnweightedAverageRecall(n_classes),
        },
        compute_groups=False,
    )
