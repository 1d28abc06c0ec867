"""Results: their schema, what is computed from a run's journal, and how they are compared."""

from .results import SCHEMA_VERSION, Result, ResultError, read_result

__all__ = ["SCHEMA_VERSION", "Result", "ResultError", "read_result"]
