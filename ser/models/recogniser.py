"""The recogniser: normalisation, a network, and where there is one an utterance-level head, fused late.

Where a speech encoder takes the place of acoustic features, a learnt mix of its layers comes first. A network that
takes speaker context normalises by it, and gets features that are not normalised.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from ser.errors import SettingsError
from ser.models.context import no_context
from ser.models.encoder import Encoder, LayerMix
from ser.models.normalisation import Normalisation
from ser.models.utterance_heads import FunctionalsHead, KernelHead


class Recogniser(nn.Module):
    """Features that are not normalised in, logits and attention weights out.

    Parameters
    ----------
    network : maps normalised features and lengths to logits, alone or with attention weights (`ser.models.networks`).
    utterance_head : another classifier of the same features, which then end with the rows of `ser.features.pitch`;
        the network gets the rows before them.
    fusion_weight : of the utterance-level head in the result, 0 to 1.
    layer_mix : makes the network's features of an encoder's states, float [batch, layers * hidden, frames].
    encoder : one that is fine-tuned, which makes these states of a waveform in frames. Of a frozen one, which is no
        part of the model, the states come in as features.
    """

    def __init__(
        self,
        normalisation: Normalisation,
        network: nn.Module,
        *,
        utterance_head: FunctionalsHead | KernelHead | None = None,
        fusion_weight: float = 0.0,
        layer_mix: LayerMix | None = None,
        encoder: Encoder | None = None,
    ) -> None:
        super().__init__()
        self.normalisation = normalisation
        self.network = network
        self.utterance_head = utterance_head
        self.fusion_weight = fusion_weight
        self.layer_mix = layer_mix
        self.encoder = encoder

    @property
    def n_summary(self) -> int:
        """Values of the summary of a recording (`ser.models.context`); 0: the network takes no speaker context."""
        return int(getattr(self.network, "n_summary", 0))

    def with_summary(self, features: Tensor, lengths: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits and attention weights as `forward` does, and the summaries float32 [batch, n_summary].

        Parameters
        ----------
        context : float32 [batch, 1 + 2 * n_summary], of each recording's speaker (`ser.models.context`).
        """
        if self.n_summary:
            logits, weights, summary = self.network(features, lengths, context)
            return logits, weights, summary
        logits, weights = self(features, lengths)
        return logits, weights, features.new_zeros(len(features), 0)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [batch, classes] and attention weights [batch, frames'], both float32; without speaker context.

        Late fusion is the weighted mean of the log-probabilities of network and head.

        Parameters
        ----------
        features : float32 [batch, features, frames].
        lengths : int64 [batch], frames of each recording before the padding.
        """
        if self.n_summary:
            logits, weights, _ = self.network(features, lengths, no_context(len(features), self.n_summary).to(features))
            return logits, weights
        logits, weights = self.network_logits(features, lengths)  # [b, classes], [b, frames']
        if self.utterance_head is None:
            return logits, weights
        both = logits, self.utterance_head(features, lengths)
        of_network, of_head = (F.log_softmax(one, dim=1) for one in both)  # [b, classes]
        return (1 - self.fusion_weight) * of_network + self.fusion_weight * of_head, weights

    def network_logits(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and attention weights of the network alone; shapes as of `forward`."""
        if self.encoder is not None:
            features = self.encoder(features, lengths)  # [b, layers * hidden, frames]
        if self.layer_mix is not None:
            features = self.layer_mix(features)  # [b, hidden, frames]
        return self.normalised_logits(self.normalisation(self.network_features(features), lengths), lengths)

    def normalised_logits(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network makes of features that are normalised already.

        Raises
        ------
        SettingsError : a network of one's own returns something else than logits, or logits and weights.
        """
        output = self.network(features, lengths)
        if isinstance(output, Tensor):  # a network without attention: every frame counts alike
            return output, features.new_full((len(features), features.shape[2]), 1 / features.shape[2])
        is_pair = isinstance(output, tuple | list) and len(output) == 2
        if not (is_pair and all(isinstance(each, Tensor) for each in output)):
            raise SettingsError(
                f"model.network is {type(self.network).__name__}, which returned a {type(output).__name__}, but should "
                "return logits [batch, classes], alone or with attention weights [batch, frames']."
            )
        logits, weights = output
        return logits, weights

    def network_features(self, features: Tensor) -> Tensor:
        """Return the rows of the features that the network gets."""
        return features if self.utterance_head is None else features[:, : self.utterance_head.n_bands]
