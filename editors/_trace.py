"""The one place that reaches into a forward pass.

`Trace` keeps or changes what single modules take in or give out, `record` does so in a pass that
ends as soon as it can, `start_at` runs a model from a layer upwards. All leave the model as it was.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from ._architecture import Architecture


class _Stop(Exception):
    """Ends a forward pass once everything asked for has been seen."""


def _first(output: Any) -> Tensor:
    # Some layers return (hidden, attention), others a bare tensor.
    return output[0] if isinstance(output, tuple) else output


def _with_first(output: Any, value: Tensor) -> Any:
    return (value, *output[1:]) if isinstance(output, tuple) else value


def by_row(states: Tensor, rows: int) -> Tensor:
    """Return states as (rows, positions, width): OPT flattens a batch around its MLP."""
    return states.reshape(rows, -1, states.shape[-1])


class Trace:
    """Keep the inputs or outputs of some modules during a forward pass, or change the outputs.

    Args:
        modules: What to watch, by a name of your choice.
        keep: Which side to keep in `kept`; for outputs that are tuples, their first element.
        edit: Called with (name, output) of each module; what it returns goes on through the model.

    Example:
        with Trace({"mlp": layer.mlp}, keep="output") as trace:
            model(ids)
        trace.kept["mlp"]  # (batch, positions, d_model)
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        *,
        keep: Literal["input", "output"] = "output",
        edit: Callable[[str, Tensor], Tensor] | None = None,
    ) -> None:
        self.kept: dict[str, Tensor] = {}
        self._modules = modules
        self._keep = keep
        self._edit = edit
        self._handles: list[Any] = []

    def __enter__(self) -> Trace:
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(name)))
        return self

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            if self._edit is not None:
                output = _with_first(output, self._edit(name, _first(output)))
            self.kept[name] = inputs[0] if self._keep == "input" else _first(output)
            self._seen()
            return output

        return hook

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for handle in self._handles:
            handle.remove()

    def _seen(self) -> None:
        """Do nothing after each module; `_Recording` ends the pass here."""


class _Recording(Trace):
    def _seen(self) -> None:
        if len(self.kept) == len(self._modules):
            raise _Stop


def record(
    model: PreTrainedModel,
    modules: Mapping[str, nn.Module],
    *,
    keep: Literal["input", "output"] = "output",
    **inputs: Any,
) -> dict[str, Tensor]:
    """Run a model until every module has been seen, without gradients; return what it saw.

    Args:
        model: The model; layers above the last module are not run.
        modules: What to watch, by a name of your choice.
        keep: Which side to return.
        inputs: What the model is called with.

    Returns:
        What was seen, on the model's first device, wherever the modules are.
    """
    recording = _Recording(modules, keep=keep)
    with recording, torch.no_grad(), contextlib.suppress(_Stop):
        model(**inputs, use_cache=False)
    return {name: seen.to(model.device) for name, seen in recording.kept.items()}


def cache_argument(model: PreTrainedModel, cache: Cache | None) -> dict[str, Any]:
    """Return the argument that hands keys and values to a model: transformers 5.24 renamed it."""
    return {_cache_name(type(model.base_model)): cache}


@functools.cache
def _cache_name(cls: type[nn.Module]) -> str:
    return "cache" if "cache" in inspect.signature(cls.forward).parameters else "past_key_values"


_TUPLES: dict[type[nn.Module], bool] = {}
"""Classes of layers whose output has been seen, and whether it is a tuple."""


class _Probe(Trace):
    """Notes what kind of output a module has, and ends the pass there."""

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], Any]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            _TUPLES[type(module)] = isinstance(output, tuple)
            raise _Stop

        return hook


def _returns_tuple(model: PreTrainedModel, layer: nn.Module) -> bool:
    """Return whether a layer gives (hidden, ...) rather than a bare tensor.

    The same class does one in some versions of transformers and the other in later ones (GPT-J's
    since 5.24), so the first layer is asked, once, with one token.
    """
    if type(layer) not in _TUPLES:
        with _Probe({"layer": layer}), torch.no_grad(), contextlib.suppress(_Stop):
            model.base_model(input_ids=torch.zeros(1, 1).long().to(model.device), use_cache=False)
    return _TUPLES[type(layer)]


@contextlib.contextmanager
def start_at(
    model: PreTrainedModel, architecture: Architecture, start: int, hidden: Tensor | None
) -> Iterator[None]:
    """Run a model from layer `start` upwards: the layers below just hand `hidden` on.

    Everything around the layers (masks, positions, final norm) runs as always, so this holds for
    any family. `start` = number of layers runs only what follows the last one; 0 changes nothing.

    Args:
        model: The model.
        architecture: Where it keeps its layers.
        start: First layer that computes.
        hidden: Its input, (batch, positions, d_model); not needed where `start` is 0.
    """
    skipped = list(architecture.layers(model))[:start]
    result = (hidden, None) if skipped and _returns_tuple(model, skipped[0]) else hidden

    def hand_on(*args: Any, **kwargs: Any) -> Any:
        return result

    # An instance may have a forward of its own: accelerate's, where a model is spread over devices.
    own = [vars(layer).get("forward") for layer in skipped]
    for layer in skipped:
        layer.forward = hand_on
    try:
        yield
    finally:
        for layer, forward in zip(skipped, own, strict=True):
            del layer.forward
            if forward is not None:
                layer.forward = forward


@contextlib.contextmanager
def frozen(model: PreTrainedModel) -> Iterator[None]:
    """Turn gradients of all parameters off, and back to what they were."""
    before = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.requires_grad_(False)
        yield
    finally:
        for parameter, flag in before:
            parameter.requires_grad_(flag)
