"""Editors side by side, with the doubt there is about each number and each difference."""

from .comparison import Comparison, compare
from .metrics import Metric, catalogue
from .sources import Run, read_runs

__all__ = ["Comparison", "Metric", "Run", "catalogue", "compare", "read_runs"]
