"""What is asked: edit requests, their data, and lm-evaluation-harness tasks in YAML."""

from .errors import InputError, RequestError
from .requests import EditCase, EditRequest

__all__ = ["EditCase", "EditRequest", "InputError", "RequestError"]
