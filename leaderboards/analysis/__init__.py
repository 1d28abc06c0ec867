"""From a run's journal to the paper's finding: two phases, a point of collapse, what broke it."""

from .constants import Constants
from .records import Analysis

__all__ = ["Analysis", "Constants"]
