"""The settings of a whole run: one table for each stage, owned by the stage."""

from pydantic import BaseModel, ConfigDict

from genomix.data.preprocess import PreprocessSettings
from genomix.nn.classifier import ModelSettings
from genomix.tokenizers import TokenizerSettings
from genomix.train.settings import TrainSettings


class RunSettings(BaseModel):
    """What `run.toml` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: PreprocessSettings = PreprocessSettings()
    tokenizer: TokenizerSettings = TokenizerSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
