"""Pretraining's network: the body of a classifier, and a head that guesses the words hidden at each position."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from genomix.nn.classifier import Classifier, ModelSettings
from genomix.nn.embedding import PatchEmbedding
from genomix.nn.layers import ChannelNorm, Perceptron

_SCORES_AT_ONCE = 1 << 19
"""Of words at positions: 2 MiB, which bounds what the head works with for records of any length, and is enough for a GPU to be busy."""


class Reconstructor(nn.Module):
    """How unlikely it finds the words that are hidden from it.

    A position stands for a patch of tokens, so it answers with one distribution: how often each word occurs in its patch. Only positions that are asked for
    answer, a chunk of them at a time, since the scores of all words are far more numbers than the body has channels.

    Args:
        vocabulary: token ids run from 0 to vocabulary - 1; -1 is padding.
        frequencies: of the words, float [word]; the head starts with these at every position.

    Attributes:
        network: a classifier without what comes after its body; where it computes its stages again in the backward pass, so does the head each chunk.
        chunk: positions that answer at once.
    """

    def __init__(self, settings: ModelSettings, vocabulary: int, frequencies: Float[Tensor, " word"]) -> None:
        super().__init__()
        self.network = Classifier(settings, vocabulary, classes=1)
        for name in {name for name, _ in self.network.named_children()} - set(Classifier.BODY):
            delattr(self.network, name)
        hidden, guess = 2 * settings.channels, len(frequencies)
        perceptron = Perceptron(settings.channels, hidden, guess)
        self.head, last = nn.Sequential(ChannelNorm(settings.channels), perceptron), perceptron.last
        self.chunk = max(1, _SCORES_AT_ONCE // guess)
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
        words: Int[Tensor, "batch base"],
    ) -> Float[Tensor, " batch"]:
        """The sum over each record's hidden words of their negative log-likelihoods, in nats: 0 where nothing is hidden.

        Args:
            tokens: these three are those of `Classifier`.
            words: the word that starts at each base, -1 where none is asked for; the same number of bases for each position.
        """
        hidden = self.network.body(tokens, self.network.positions(lengths), circular).transpose(1, 2)
        words = words.view(*hidden.shape[:2], -1)
        asked = (words >= 0).any(2)
        asked[0, 0] = True  # so that there is an answer, and a gradient of 0, also where nothing is hidden
        answers = zip(hidden[asked].split(self.chunk), words[asked].split(self.chunk), strict=True)
        found = torch.cat([self.answer(*chunk) for chunk in answers])
        return found.new_zeros(asked.shape).masked_scatter(asked, found).sum(1)

    def answer(self, hidden: Float[Tensor, "position channel"], words: Int[Tensor, "position base"]) -> Float[Tensor, " position"]:
        """What a chunk of positions adds to the sum."""
        return self.network.stage(self._unlikely, hidden, words, random=False)

    def _unlikely(self, hidden: Tensor, words: Tensor) -> Tensor:
        return unlikely(self.head(hidden.T[None].contiguous()), words[None])[0]


def unlikely(logits: Float[Tensor, "batch word position"], words: Int[Tensor, "batch position base"]) -> Float[Tensor, "batch position"]:
    """The negative log-likelihood of each position's words: the cross-entropy of its word frequencies, times its words."""
    likelihood = F.log_softmax(logits, dim=1).transpose(1, 2).gather(2, words.clamp(min=0))
    return -likelihood.masked_fill(words < 0, 0).sum(2)
