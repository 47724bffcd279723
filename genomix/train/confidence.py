"""What a trained network's answers are worth, learned from the validation split once training has ended.

The temperature first, because the scores behind `--error` are probabilities at that temperature; then where the training records lie, and how far the
validation records are from them. docs/design/confidence.md says why the validation split may be used a second time, and what that costs.
"""

import logging
from dataclasses import replace

import numpy as np

from genomix.bundle import Bundle
from genomix.confidence import Confidence, Novelty, at_temperature, class_scores, fit_novelty, fit_temperature
from genomix.confidence.novelty import MOST_FEATURES
from genomix.data.balance import class_balance, class_weights, sampled, weights_for
from genomix.data.store import Dataset
from genomix.evaluate import split_probabilities
from genomix.nn.features import last_layer
from genomix.processes import Processes
from genomix.scorer import PredictSettings, Scorer, build_scorer
from genomix.train.settings import TrainSettings

_log = logging.getLogger(__name__)

_MOST_RECORDS = 4096
"""Training records that novelty is measured from, and validation records that it is ranked among: enough for a covariance and a rank."""
_OF_A_CLASS = 4
"""Training records of a class, where it has them, that its mean is taken of; of very many classes half as many."""


def with_confidence(
    bundle: Bundle, dataset: Dataset, settings: TrainSettings, predicting: PredictSettings, processes: Processes | None = None
) -> Bundle:
    """The bundle with what its training and validation split say of its answers; without a validation split only the class balance.

    Args:
        processes: that share the work; each gets the whole result.
    """
    training, validation = dataset.indices("train"), dataset.indices("validation")
    known = dataset.label_ids[training]
    balance = class_balance(known, class_weights(known, len(dataset.classes), settings.balance, settings.balance_limit))
    if not len(validation):
        _log.warning("no validation split: probabilities are as the network gives them, and predict has no --error and no --max-novelty")
        return replace(bundle, confidence=Confidence(balance=balance), novelty=None)
    labels = dataset.label_ids[validation]
    plain = build_scorer(replace(bundle, confidence=None), predicting, processes=processes)
    probabilities = split_probabilities(plain, dataset, validation)
    temperature = fit_temperature(labels, probabilities, weights_for(balance, labels))
    novelty, distances = _novelty(bundle, build_scorer(bundle, predicting, features=True, processes=processes), dataset, settings.seed)
    confidence = Confidence(
        balance=balance,
        records=len(validation),
        temperature=temperature,
        scores=class_scores(labels, at_temperature(probabilities, temperature), seed=settings.seed),
        distances=distances,
    )
    _log.info("temperature %.2f, fitted on %d validation records", temperature, len(validation))
    return replace(bundle, confidence=confidence, novelty=novelty)


def _novelty(bundle: Bundle, scorer: Scorer, dataset: Dataset, seed: int) -> tuple[Novelty | None, tuple[float, ...]]:
    """Where the training records are, and how far from them the validation records, ascending; neither for a network of too many features."""
    if last_layer(bundle.model).in_features > MOST_FEATURES:
        return None, ()
    training, validation = dataset.indices("train"), dataset.indices("validation")
    most = max(_MOST_RECORDS, _OF_A_CLASS // 2 * len(dataset.classes))
    training = training[sampled(dataset.label_ids[training], most, np.random.default_rng((seed, 2)), sure=_OF_A_CLASS)]
    # What new records are ranked among are drawn as new records come, whatever their class.
    validation = np.sort(np.random.default_rng((seed, 2)).permutation(validation)[:_MOST_RECORDS])
    novelty = fit_novelty(dataset.label_ids[training], _features(scorer, dataset, training))
    return novelty, tuple(np.sort(novelty.distances(_features(scorer, dataset, validation))).tolist())


def _features(scorer: Scorer, dataset: Dataset, records: np.ndarray) -> np.ndarray:
    """Features of records of the dataset, float64 [record, feature]."""
    return np.stack([scores.features for scores in scorer.score(dataset.codes(record) for record in records)])
