"""What a model's answers are worth: calibrated probabilities, sets of labels at a promised error rate, how unlike the training records a record is.

Arrays and plain numbers; no network, no file but a table of priors. All of it is learned once, when training ends, and kept with the model:
docs/design/confidence.md has the reasons and the measurements.
"""

from genomix.confidence.conformal import class_scores, label_thresholds
from genomix.confidence.decision import Answer, Decision, build_decision
from genomix.confidence.figures import confidence_figures
from genomix.confidence.novelty import Novelty, fit_novelty
from genomix.confidence.prior import read_prior, reweighted
from genomix.confidence.stored import Confidence
from genomix.confidence.temperature import at_temperature, fit_temperature

__all__ = [
    "Answer",
    "Confidence",
    "Decision",
    "Novelty",
    "at_temperature",
    "build_decision",
    "class_scores",
    "confidence_figures",
    "fit_novelty",
    "fit_temperature",
    "label_thresholds",
    "read_prior",
    "reweighted",
]
