"""What is measured of every epoch: loss, accuracy, unweighted average recall, macro F1, and metrics of one's own."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

METRICS = ("loss", "accuracy", "uar", "macro_f1")
"""The metrics of every run."""


class UnweightedAverageRecall(Metric):
    """Mean recall over the classes that occur, in [0, 1] (scikit-learn's `balanced_accuracy_score`).

    Not torchmetrics' macro recall: that one also counts, with a recall of 0, a class that is predicted but never
    occurs, and it counts with `bincount`, for which a GPU has to be waited for in every step.

    Parameters
    ----------
    n_classes : how many classes the network has.
    """

    full_state_update = False
    higher_is_better = True
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


class MacroF1(UnweightedAverageRecall):
    """Mean F1 over the classes that occur or are predicted, in [0, 1] (scikit-learn's `f1_score`, average "macro")."""

    predicted: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__(n_classes)
        self.add_state("predicted", torch.zeros(n_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch: logits float32 [batch, classes], labels int64 [batch]."""
        super().update(preds, target)
        self.predicted.index_add_(0, preds.argmax(dim=1), torch.ones_like(target))

    def compute(self) -> Tensor:
        """Return the metric of all batches since the last reset, float64 []."""
        hits, either = self.hits.cpu(), (self.support + self.predicted).cpu()
        return (2 * hits[either > 0].double() / either[either > 0]).mean()


def epoch_metrics(n_classes: int, own: Mapping[str, Metric] | None = None) -> MetricCollection:
    """Return the metrics named in `METRICS` and those of `own`, to be updated with `preds`, `target` and `value`.

    `preds` are logits, float32 [batch, classes], `target` labels, int64 [batch], and `value` is the loss of each
    sample, float32 [batch]. An update makes a GPU wait for nothing: no value is checked, none is read back.
    """
    own = {name: metric.clone() for name, metric in (own or {}).items()}  # training and validation each have theirs
    return MetricCollection(
        {
            # With the check for NaN left out, `MeanMetric` also leaves out weights: so a value for each sample.
            "loss": MeanMetric(nan_strategy="disable"),
            "accuracy": MulticlassAccuracy(n_classes, average="micro", validate_args=False),
            "macro_f1": MacroF1(n_classes),
            "uar": UnweightedAverageRecall(n_classes),
            **own,
        },
        # Those of a group share their counts: the first of it is updated.
        compute_groups=[["loss"], ["accuracy"], ["macro_f1", "uar"], *([name] for name in own)],
    )
