"""The whole network, from tokens to one score a class.

    tokens -> patch embedding (+ position table) -> stem (+ reading frames, + motifs) -> blocks -> pooling -> norm, dropout, linear (+ composition) -> logits

`ModelSettings` is the architecture; the published network and ours are two settings of the same parts.
"""

from collections.abc import Callable
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from genomix.nn.blocks import Block
from genomix.nn.composition import Composition
from genomix.nn.embedding import PatchEmbedding, RingConvolution
from genomix.nn.frames import FrameStem
from genomix.nn.mixers import Paramixer
from genomix.nn.motifs import MotifStem
from genomix.nn.pooling import FeatureNorm, FlattenPooling, MeanPooling
from genomix.nn.settings import ModelSettings


class Classifier(nn.Module):
    """Scores of `classes` classes for a batch of token sequences of any lengths up to `settings.max_tokens`.

    Args:
        vocabulary: token ids run from 0 to vocabulary - 1; -1 is padding.

    Attributes:
        BODY: the parts that `body` is made of, which pretraining trains and `train --init` takes.
        LATER: tensors that the state of a network saved by an earlier genomix may lack.
        recompute: keep for the backward pass what goes into each stage (what stands before the blocks, each block, pooling) and compute the rest again
            there, of a Paramixer's factors every second one once more: the same gradients, less memory, more time. Off at first.
    """

    BODY: ClassVar[tuple[str, ...]] = ("embedding", "position_table", "embedding_dropout", "stem", "frames", "motifs", "blocks")
    LATER: ClassVar[tuple[str, ...]] = ("composition.divisor",)

    def __init__(self, settings: ModelSettings, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.embedding = PatchEmbedding(vocabulary, settings.embedding, settings.patch)
        positions = self.embedding.positions(settings.max_tokens)
        self.position_table = nn.Parameter(torch.randn(settings.embedding, positions)) if settings.position_table else None
        self.embedding_dropout = nn.Dropout(settings.embedding_dropout)
        self.stem = RingConvolution(settings.embedding, settings.channels, settings.stem_kernel) if settings.stem_kernel else None
        self.frames = self._frames(vocabulary) if settings.codon else None
        self.motifs = self._motifs(vocabulary) if settings.motifs else None
        self.blocks = nn.ModuleList(Block(settings.channels, positions, settings.block) for _ in range(settings.blocks))
        self.pooling = self._pooling(positions)
        self.composition = Composition(vocabulary, classes) if settings.composition else None
        self.head = self._head(self.pooling.features, classes)
        self.recompute = False

    def forward(
        self,
        tokens: Int[Tensor, "batch token"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch class"]:
        """Logits.

        Args:
            tokens: ids, padded on the right with -1.
            lengths: tokens of each record, from 1.
            circular: whether the record's two ends are joined.
        """
        logits = self.head(self.pooled(tokens, lengths, circular))
        return logits if self.composition is None else logits + self.composition(tokens)

    @property
    def recompute(self) -> bool:
        return self._recompute

    @recompute.setter
    def recompute(self, again: bool) -> None:
        self._recompute = again
        for module in self.modules():
            if isinstance(module, Paramixer):
                module.recompute = again

    def pooled(
        self,
        tokens: Int[Tensor, "batch token"],
        lengths: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch feature"]:
        """What the head decides by. Records of a batch do not meet before the head, so an update's records may come here in parts."""
        positions = self.positions(lengths)
        return self.stage(self.pooling, self.body(tokens, positions, circular), positions)

    def positions(self, lengths: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """How many positions so many tokens make."""
        return torch.div(lengths + self.settings.patch - 1, self.settings.patch, rounding_mode="floor")

    def body(
        self,
        tokens: Int[Tensor, "batch token"],
        positions: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel position"]:
        """The last block's hidden layer; `positions` counts each record's patches.

        Raises:
            ValueError: there are no records, or one has more patches than the settings allow: there are no factors, places or weights for what lies beyond.
        """
        if not len(tokens):
            raise ValueError("a batch of no records")
        if self.embedding.positions(tokens.shape[1]) > self.embedding.positions(self.settings.max_tokens):
            raise ValueError(f"{tokens.shape[1]} tokens, and the network takes {self.settings.max_tokens}")
        hidden = self.stage(self._first_hidden, tokens, positions, circular)
        for block in self.blocks:
            hidden = self.stage(block, hidden, positions, circular)
        return hidden

    def stage(self, stage: Callable[..., Tensor], *inputs: Tensor, random: bool = True) -> Tensor:
        """What the stage gives; with `recompute` only its inputs are kept for the backward pass.

        Args:
            random: whether it draws random numbers, which must be the same when it is computed again.
        """
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(stage, *inputs, use_reentrant=False, preserve_rng_state=random)
        return stage(*inputs)

    def _first_hidden(self, tokens: Tensor, positions: Tensor, circular: Tensor) -> Float[Tensor, "batch channel position"]:
        hidden = self.embedding(tokens)
        if self.position_table is not None:
            hidden = hidden + self.position_table[:, : hidden.shape[2]]
        hidden = self.embedding_dropout(hidden)
        if self.stem is not None:
            hidden = self.stem(hidden, positions, circular)
        if self.frames is not None:
            hidden = hidden + self.frames(tokens, positions, circular)
        if self.motifs is not None:
            hidden = hidden + self.motifs(tokens, circular)
        return hidden

    def _frames(self, vocabulary: int) -> FrameStem:
        settings = self.settings
        return FrameStem(
            vocabulary,
            settings.patch,
            codon=settings.codon,
            channels=settings.frame_channels,
            layers=settings.frame_layers,
            outputs=settings.channels,
        )

    def _motifs(self, vocabulary: int) -> MotifStem:
        settings = self.settings
        return MotifStem(
            vocabulary,
            settings.patch,
            motifs=settings.motifs,
            width=settings.motif_width,
            outputs=settings.channels,
            both_strands=settings.motif_strand == "both",
        )

    def _pooling(self, positions: int) -> FlattenPooling | MeanPooling:
        if self.settings.pooling == "flatten":
            return FlattenPooling(self.settings.channels, positions)
        return MeanPooling(self.settings.channels, self.settings.pooled, peak=self.settings.peak)

    def _head(self, features: int, classes: int) -> nn.Sequential:
        norm = [FeatureNorm(features)] if self.settings.head_norm else []
        last = nn.Linear(features, classes)
        if self.settings.composition:  # the untrained network is the regression
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        return nn.Sequential(*norm, nn.Dropout(self.settings.head_dropout), last)


class CompositionAlone(nn.Module):
    """What a network answers where all of it but its composition branch says nothing: the branch's log probabilities.

    Args:
        network: with a composition branch; its own parts are used, not copies.
    """

    def __init__(self, network: Classifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Int[Tensor, "batch token"], *_: Tensor) -> Float[Tensor, "batch class"]:
        """What else a network is given, lengths and rings, the branch has no use for."""
        assert self.network.composition is not None
        said: Tensor = self.network.composition(tokens)
        return said
