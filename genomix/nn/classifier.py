"""The whole network, from tokens to one score a class.

    tokens -> patch embedding (+ position table) -> stem -> blocks -> pooling -> (+ skip) -> norm, dropout, linear -> logits

`ModelSettings` is the architecture; the published network and ours are two settings of the same parts.
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from genomix.nn.blocks import Block, BlockSettings
from genomix.nn.embedding import PatchEmbedding, Stem
from genomix.nn.pooling import FeatureNorm, FlattenPooling, MeanPooling


class ModelSettings(BaseModel):
    """Shape of the network."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int = Field(default=524_288, ge=1)
    """Tokens of the longest record that goes through whole; it sets the number of factors. Training lowers it to what its records need."""
    patch: int = Field(default=32, ge=1)
    """Tokens averaged to one position."""
    embedding: int = Field(default=256, ge=1)
    """Channels of a token's embedding."""
    channels: int = Field(default=64, ge=1)
    """Channels of the blocks."""
    stem_kernel: int = Field(default=5, ge=0)
    """Positions that the stem's convolution sees, an odd number; 0 leaves the stem out (then embedding and channels are equal)."""
    position_table: bool = False
    """Learn an embedding of the absolute position, as published."""
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout after the embedding."""
    blocks: int = Field(default=1, ge=1)
    """How many blocks follow each other."""
    block: BlockSettings = BlockSettings()
    pooling: Literal["mean", "flatten"] = "mean"
    """Positions to one vector: a masked mean, or all of them side by side as published."""
    pooled: int = Field(default=256, ge=1)
    """Channels of the mean pooling."""
    skip: bool = True
    """Give the head the record's mean embedding too: its k-mer composition."""
    head_norm: bool = True
    """Standardise the pooled channels over the batch (running averages when predicting)."""
    head_dropout: float = Field(default=0.5, ge=0, lt=1)
    """Dropout before the last layer."""

    @model_validator(mode="after")
    def _fits_together(self) -> "ModelSettings":
        if self.stem_kernel == 0 and self.embedding != self.channels:
            raise ValueError(f"without a stem, embedding ({self.embedding}) and channels ({self.channels}) must be equal")
        if self.stem_kernel and self.stem_kernel % 2 == 0:
            raise ValueError(f"stem_kernel must be odd, got {self.stem_kernel}")
        if self.channels % self.block.mixer.heads:
            raise ValueError(f"channels ({self.channels}) must be a multiple of block.mixer.heads ({self.block.mixer.heads})")
        return self

    @property
    def fixed_length(self) -> bool:
        """Whether weights are tied to absolute positions, so that the network must not be resized."""
        return self.position_table or self.pooling == "flatten"


class Classifier(nn.Module):
    """Scores of `classes` classes for a batch of token sequences of any lengths up to `settings.max_tokens`.

    Args:
        vocabulary: token ids run from 0 to vocabulary - 1; -1 is padding.

    Attributes:
        BODY: the parts that `body` and the embedding before it are made of, which pretraining trains and `train --init` takes.
    """

    BODY: ClassVar[tuple[str, ...]] = ("embedding", "position_table", "embedding_dropout", "stem", "blocks")

    def __init__(self, settings: ModelSettings, vocabulary: int, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.embedding = PatchEmbedding(vocabulary, settings.embedding, settings.patch)
        positions = self.embedding.positions(settings.max_tokens)
        self.position_table = nn.Parameter(torch.randn(settings.embedding, positions)) if settings.position_table else None
        self.embedding_dropout = nn.Dropout(settings.embedding_dropout)
        self.stem = Stem(settings.embedding, settings.channels, settings.stem_kernel) if settings.stem_kernel else None
        self.blocks = nn.ModuleList(Block(settings.channels, positions, settings.block) for _ in range(settings.blocks))
        self.pooling = self._pooling(positions)
        features = settings.pooled if settings.pooling == "mean" else settings.channels * positions
        features += settings.embedding if settings.skip else 0
        self.head = self._head(features, classes)

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
        embedded = self.embedding(tokens)
        positions = self.positions(lengths)
        hidden = self.body(embedded, positions, circular)
        pooled = self.pooling(hidden, positions)
        if self.settings.skip:
            pooled = torch.cat([pooled, self._composition(embedded, lengths)], dim=1)
        return self.head(pooled)

    def positions(self, lengths: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """How many positions so many tokens make."""
        return torch.div(lengths + self.settings.patch - 1, self.settings.patch, rounding_mode="floor")

    def body(
        self,
        embedded: Float[Tensor, "batch embedding position"],
        positions: Int[Tensor, " batch"],
        circular: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch channel position"]:
        """What the network knows of each position, before it becomes one vector a record."""
        hidden = embedded if self.position_table is None else embedded + self.position_table[:, : embedded.shape[2]]
        hidden = self.embedding_dropout(hidden)
        if self.stem is not None:
            hidden = self.stem(hidden, positions, circular)
        for block in self.blocks:
            hidden = block(hidden, positions, circular)
        return hidden

    def _composition(
        self, embedded: Float[Tensor, "batch channel position"], lengths: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch channel"]:
        """The mean embedding of a record's tokens: a last patch counts by the tokens that it has."""
        patch = self.settings.patch
        first = torch.arange(embedded.shape[2], device=lengths.device) * patch
        tokens = (lengths[:, None] - first).clamp(0, patch).to(embedded.dtype)
        return torch.matmul(embedded, tokens[:, :, None]).squeeze(2) / lengths[:, None]

    def _pooling(self, positions: int) -> nn.Module:
        if self.settings.pooling == "flatten":
            return FlattenPooling(positions)
        return MeanPooling(self.settings.channels, self.settings.pooled)

    def _head(self, features: int, classes: int) -> nn.Sequential:
        norm = [FeatureNorm(features)] if self.settings.head_norm else []
        return nn.Sequential(*norm, nn.Dropout(self.settings.head_dropout), nn.Linear(features, classes))
