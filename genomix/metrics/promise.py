"""What a number of calibration records allows to be promised."""

import math


def lowest_error(records: int) -> float:
    """The smallest error rate that a conformal threshold from so many validation records can keep, rounded up to two digits at least."""
    digits = max(3, len(str(records)) + 1)
    return math.ceil(10**digits / (records + 1)) / 10**digits
