"""Pretraining's network: the body of a classifier, and a head that guesses the words hidden at each position."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.nn.classifier import Classifier, ModelSettings
from genomix.nn.embedding import PatchEmbedding
from genomix.nn.layers import ChannelNorm, Perceptron


class Reconstructor(nn.Module):
    """Scores of every word at every position.

    A position stands for a patch of tokens, so it answers with one distribution: how often each word occurs in its patch.

    Args:
        vocabulary: token ids run from 0 to vocabulary - 1; -1 is padding.
        frequencies: of the words, float [word]; the head starts with these at every position.

    Attributes:
        network: a classifier without what comes after its body.
    """

    def __init__(self, settings: ModelSettings, vocabulary: int, frequencies: Float[Tensor, " word"]) -> None:
        super().__init__()
        self.network = Classifier(settings, vocabulary, classes=1)
        for name in {name for name, _ in self.network.named_children()} - set(Classifier.BODY):
            delattr(self.network, name)
        hidden, guess = 2 * settings.channels, len(frequencies)
        perceptron = Perceptron(settings.channels, hidden, guess)
        self.head, last = nn.Sequential(ChannelNorm(settings.channels), perceptron), perceptron.last
        nn.init.normal_(last.weight, std=0.1 / hidden**0.5)
        with torch.no_grad():
            last.bias.copy_(frequencies.log())

    @property
    def embedding(self) -> PatchEmbedding:
        return self.network.embedding

    def forward(
        self,
        tokens: Int[Tensor, "batch token"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch word position"]:
        """Logits; the arguments are those of `Classifier`."""
        return self.head(self.network.body(tokens, self.network.positions(lengths), circular))


class HiddenWordLoss(nn.Module):
    """Mean negative log-likelihood of the hidden words, in nats a word: the cross-entropy of each patch's word frequencies, weighted by its words."""

    def forward(self, logits: Float[Tensor, "batch word position"], words: Int[Tensor, "batch base"]) -> Float[Tensor, ""]:
        """The loss; 0 where nothing is hidden.

        Args:
            words: the word that starts at each base, -1 where none is asked for; the same number of bases for each position.
        """
        asked = words.view(len(words), logits.shape[2], -1)
        wanted = asked >= 0
        likelihood = F.log_softmax(logits, dim=1).transpose(1, 2).gather(2, asked.clamp(min=0))
        return -likelihood.masked_fill(~wanted, 0).sum() / wanted.sum().clamp(min=1)
