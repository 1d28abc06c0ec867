"""The referee: what an entry must be like, so that everybody can believe it."""

from .folder import Validated, untouched, validate
from .problem import Problem

__all__ = ["Problem", "Validated", "untouched", "validate"]
