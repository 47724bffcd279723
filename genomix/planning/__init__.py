"""What a network needs, in bytes and seconds: measured on short records, extrapolated to long ones, held against what the machine has."""

from genomix.planning.choice import SHARE, Choice, choose, largest_update, parts_of
from genomix.planning.costs import Costs, measured_costs
from genomix.planning.memory import free_memory, process_memory, return_freed_memory
from genomix.planning.shortage import longest_prediction, shortage

__all__ = [
    "SHARE",
    "Choice",
    "Costs",
    "choose",
    "free_memory",
    "largest_update",
    "longest_prediction",
    "measured_costs",
    "parts_of",
    "process_memory",
    "return_freed_memory",
    "shortage",
]
