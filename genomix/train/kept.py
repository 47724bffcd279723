"""What begins a run and took long to find, kept beside its checkpoints: with hundreds of classes the composition's fit takes minutes, and a run that is stopped
and resumed, again and again, would pay them each time."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

from genomix.nn.composition import Composition
from genomix.train.checkpoint import read_checked, write_checked

_log = logging.getLogger(__name__)

COMPOSITION_FILE = "composition.pt"


def kept_or_fitted(
    path: Path, branch: Composition, origin: Mapping[str, str], fit: Callable[[], Tensor | None], *, resume: bool
) -> Tensor | None:
    """What `fit` gives and leaves in `branch`, or gave and left there when this run was begun.

    Args:
        origin: the data and settings that the fit belongs to.
        resume: whether `path` may be of this run.
    """
    found = read_checked(path) if resume and path.exists() else None
    if found is not None and found["origin"] == origin:
        _log.info("composition: as it was fitted when the run was begun")
        branch.load_state_dict(found["branch"])
        return found["answers"]
    answers = fit()
    write_checked(path, {"origin": dict(origin), "branch": branch.state_dict(), "answers": answers})
    return answers
