"""The composition's fit, kept beside a run's checkpoints: with hundreds of classes it takes minutes, which a run that is stopped and resumed would pay each time."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from genomix.nn.composition import Composition
from genomix.train.checkpoint import read_checked, write_checked
from genomix.train.state import require_same_origin

_log = logging.getLogger(__name__)

COMPOSITION_FILE = "composition.pt"


def kept_or_fitted(
    path: Path, branch: Composition, origin: Mapping[str, str], fit: Callable[[], Tensor | None], *, resume: bool
) -> Tensor | None:
    """What `fit` gives and leaves in `branch`, or gave and left there when this run was begun.

    Args:
        origin: the data and settings that the fit belongs to.
        resume: whether `path` is of this run.

    Raises:
        DataError: it is of other data or settings.
    """
    found = read_checked(path) if resume and path.exists() else None
    if found is not None:
        require_same_origin(found["origin"], origin, path.parent)
        _log.info("composition: as it was fitted when the run was begun")
        branch.load_state_dict(found["branch"])
        return found["answers"]
    answers = fit()
    write_checked(path, {"origin": dict(origin), "branch": branch.state_dict(), "answers": answers})
    return answers
