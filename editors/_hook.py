"""Lasting changes of what a module gives out; `_trace` has those of single passes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_installed: weakref.WeakKeyDictionary[nn.Module, RemovableHandle] = weakref.WeakKeyDictionary()


def install(module: nn.Module, change: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Let a method of an editor change a module's output in every forward pass.

    The hook goes when the editor does. A module has one at a time: a second editor on the same
    model takes the first one's place.

    Args:
        module: What to hook; gives out a bare tensor.
        change: A bound method, called with the module's input and output.
    """
    if (earlier := _installed.pop(module, None)) is not None:
        earlier.remove()
    method: Any = weakref.WeakMethod(change)

    def hook(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        alive = method()
        return output if alive is None else alive(inputs[0], output)

    handle = module.register_forward_hook(hook)
    _installed[module] = handle
    weakref.finalize(change.__self__, handle.remove)  # pyright: ignore[reportFunctionMemberAccess]


def compute_in_float32(module: nn.Module, outside: torch.dtype) -> None:
    """Let a module of float32 parameters work inside a model of another type.

    Args:
        module: Reads one tensor and gives one.
        outside: The model's type, which its output is turned back into.
    """
    module.register_forward_pre_hook(_widen)
    module.register_forward_hook(partial(_turn_back, outside))


def only_turns_types(module: nn.Module) -> bool:
    """Return whether all hooks of a module's forward pass, if any, are `compute_in_float32`'s."""
    hooks = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return all(getattr(hook, "func", hook) in (_widen, _turn_back) for hook in hooks)


def _widen(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return inputs[0].float(), *inputs[1:]


def _turn_back(
    outside: torch.dtype, _: nn.Module, inputs: tuple[Any, ...], output: Tensor
) -> Tensor:
    return output.to(outside)
