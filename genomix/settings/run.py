"""The settings of a whole run: one table for each stage, owned by the stage."""

from pydantic import BaseModel, ConfigDict

from genomix.data.augment import AugmentSettings
from genomix.data.masking import MaskingSettings
from genomix.data.preprocess import PreprocessSettings
from genomix.nn.settings import ModelSettings
from genomix.tokenizers import TokenizerSettings
from genomix.train.settings import TrainSettings


class RunSettings(BaseModel):
    """What `run.toml` holds.

    Its own default: a classifier learns at a third of the rate that pretraining does (docs/design/recipe.md has the figures).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: PreprocessSettings = PreprocessSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings(learning_rate=1e-3)


class PretrainRunSettings(RunSettings):
    """What the `run.toml` of a pretraining run holds. What [train] says of labels (weights of classes, smoothing) has no meaning there.

    Its own default: records are shown as they are, without substitutions (docs/design/pretraining.md has the figures).
    """

    train: TrainSettings = TrainSettings(augment=AugmentSettings(substitutions=0.0))
    masking: MaskingSettings = MaskingSettings()
