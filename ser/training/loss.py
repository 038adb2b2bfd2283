"""The loss of a batch.

Any module maps logits, float32 [batch, classes], and targets, int64 [batch] or, of mixed samples, float32
[batch, classes], to a mean over the batch, float32 []. Two more methods are used where a loss has them:
`validation(logits, labels)`, its plain form for validation, and `total_weight(targets)`, what its mean is divided by,
which processes that share a batch need to know; without it every sample weighs 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser.features.validation import Fraction, FractionBelowOne


class CrossEntropy(nn.Module):
    """Cross-entropy with label smoothing and class weights; without either in validation.

    Parameters
    ----------
    label_smoothing : fraction of the target that is spread over all classes, in [0, 1) (Szegedy et al. 2016,
        arXiv:1512.00567).
    class_weight_power : the loss of a class is weighted by (mean count / its count) to this power, in [0, 1]. 0: all
        classes weigh the same.
    class_counts : training samples of each class; None: as many of each.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        label_smoothing: FractionBelowOne = 0.0,
        class_weight_power: Fraction = 0.0,
        class_counts: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        weights = None
        if class_weight_power and class_counts:
            counts = torch.tensor(class_counts, dtype=torch.float32)
            weights = (counts[counts > 0].mean() / counts) ** class_weight_power
            # A class without training samples has no weight: smoothed targets would train it too.
            weights = weights.where(counts > 0, 0)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing)

    def validation(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the plain cross-entropy, which runs with other weights can be compared by."""
        return F.cross_entropy(logits, labels)

    def total_weight(self, targets: Tensor) -> Tensor:
        """Return what PyTorch divides by: the targets' class weights, of soft targets the number of samples."""
        if self.class_weights is None or targets.is_floating_point():
            return torch.tensor(float(len(targets)), device=targets.device)
        return self.class_weights[targets].sum()


def total_weight(loss: nn.Module, targets: Tensor) -> Tensor:
    """Return what the loss of these targets is divided by, float32 []."""
    method = getattr(loss, "total_weight", None)
    weight: Tensor = method(targets) if method else torch.tensor(float(len(targets)), device=targets.device)
    return weight
