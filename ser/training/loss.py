"""The loss of a batch.

Any module maps logits, float32 [batch, classes], and targets, int64 [batch] or, of mixed samples, float32
[batch, classes], to a mean over the batch, float32 []. Where corpora lack classes, it is called with `allowed` too,
bool [batch, classes], the classes that the corpus of each sample has.

Two more methods are used where a loss has them: `validation(logits, labels)`, its plain form for validation, and
`total_weight(targets)`, what its mean is divided by, which processes that share a batch need to know; without it every
sample weighs 1.
"""

import inspect
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ser.features.validation import Fraction, FractionBelowOne


class CrossEntropy(nn.Module):
    """Cross-entropy with label smoothing and class weights; without either in validation.

    A class that is not allowed for a sample has no part in its loss: neither probability nor smoothed target.

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

    def forward(self, logits: Tensor, targets: Tensor, allowed: Tensor | None = None) -> Tensor:
        if allowed is None:
            return F.cross_entropy(logits, targets, weight=self.class_weights, label_smoothing=self.label_smoothing)
        log_p = F.log_softmax(logits.masked_fill(~allowed, -torch.inf), dim=1).masked_fill(~allowed, 0.0)  # [b, c]
        soft = targets if targets.is_floating_point() else F.one_hot(targets, logits.shape[1])
        even = allowed / allowed.sum(dim=1, keepdim=True)
        smoothed = (1 - self.label_smoothing) * soft + self.label_smoothing * even
        weighted = smoothed if self.class_weights is None else smoothed * self.class_weights
        loss: Tensor = -(weighted * log_p).sum() / self.total_weight(targets)
        return loss

    def validation(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the plain cross-entropy, which runs with other weights can be compared by."""
        return F.cross_entropy(logits, labels)

    def total_weight(self, targets: Tensor) -> Tensor:
        """Return what PyTorch divides by: the targets' class weights, of soft targets the number of samples."""
        if self.class_weights is None or targets.is_floating_point():
            return torch.tensor(float(len(targets)), device=targets.device)
        return self.class_weights[targets].sum()


def takes_allowed(loss: Callable[..., Tensor]) -> bool:
    """Whether a loss can be told the classes that the corpus of each sample has."""
    function = loss.forward if isinstance(loss, nn.Module) else loss
    return "allowed" in inspect.signature(function).parameters


def total_weight(loss: nn.Module, targets: Tensor) -> Tensor:
    """Return what the loss of these targets is divided by, float32 []."""
    method = getattr(loss, "total_weight", None)
    weight: Tensor = method(targets) if method else torch.tensor(float(len(targets)), device=targets.device)
    return weight
