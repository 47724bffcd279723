"""How good a classifier's probabilities are: the figures of a split, their bootstrap intervals, and the gain over the baselines.

Arrays in, plain numbers out; no file, no network. A figure that is not defined (ROC AUC of one class) is None, which JSON writes as null, never NaN.
"""

from genomix.metrics.bootstrap import bootstrap_intervals, paired_gain
from genomix.metrics.by_similarity import accuracy_by_similarity
from genomix.metrics.comparison import BASELINE_TITLES, FIGURE_TITLES, GAIN_METRIC, SHORT_TITLES, compare, summary_lines
from genomix.metrics.figures import FIGURES, confusion, headline, log_loss, macro_f1, per_class, reliability

__all__ = [
    "BASELINE_TITLES",
    "FIGURES",
    "FIGURE_TITLES",
    "GAIN_METRIC",
    "SHORT_TITLES",
    "accuracy_by_similarity",
    "bootstrap_intervals",
    "compare",
    "confusion",
    "headline",
    "log_loss",
    "macro_f1",
    "paired_gain",
    "per_class",
    "reliability",
    "summary_lines",
]
