"""LoRA: low-rank adapters on the attention, trained on each fact and folded into the weights.

Hu et al. 2021 (arXiv 2106.09685), as EasyEdit and WikiBigEdit (Thede et al. 2025, arXiv
2503.05683) run it on streams of edits. Two ways to go on from one call to the next:

- `continue`: one adapter for the whole stream, W = W0 + s B A, of rank r however long it gets.
- `merge`: a fresh adapter each call, of which a share m stays: W <- W + m s B A.

Adapters are in the model only while they are trained. Between calls it is the plain model, with
its own parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ..tasks import EditRequest
from ..tasks.errors import InputError
from ._architecture import Architecture, oriented
from ._base import Editor, EditReport
from ._fine_tuning import FactLoss, TrainingHparams, descend
from ._trace import frozen

ADAPTER = "edit"


class LoRAHparams(TrainingHparams):
    variant: Literal["continue", "merge"] = "continue"
    targets: list[str] | None = Field(None, min_length=1)
    """Ends of the names of the modules that get adapters; null takes peft's for the family."""
    r: int = Field(8, ge=1)
    """Rank of an adapter."""
    alpha: float = Field(32.0, gt=0)
    """s = alpha / r scales B A."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Share of the adapters' inputs that is left out in training."""
    merge_weight: float = Field(1.0, gt=0, le=1)
    """m, the share of each adapter that `merge` folds in."""


class Factors(NamedTuple):
    """An adapter of one module."""

    a: Tensor
    """(r, d_in)"""
    b: Tensor
    """(d_out, r)"""


class LoRA(Editor):
    """Low-rank fine-tuning with peft; several facts of a call are one batch."""

    batched = True
    Hparams = LoRAHparams
    hparams: LoRAHparams

    def prepare(self) -> dict[str, Any]:
        peft = _peft()
        self._architecture = Architecture.of(self.model)
        targets = self.hparams.targets or _family_targets(peft, self._architecture.model_type)
        self._modules = {
            name: module
            for name, module in self.model.named_modules()
            if isinstance(module, (nn.Linear, Conv1D))
            and any(f".{name}".endswith(f".{target}") for target in targets)
        }
        if not self._modules:
            raise InputError(f"targets {targets}: no projection of this model has such a name")
        # One adapter for the stream is trained on what the model was before it.
        self._original = {
            name: oriented(module).detach().clone()
            for name, module in self._modules.items()
            if self.hparams.variant == "continue"
        }
        self._factors: dict[str, Factors] = {}
        self._generator = torch.Generator().manual_seed(self.seed)
        return {"targets": targets}

    def edited_parameters(self) -> list[str]:
        return [f"{name}.weight" for name in self._modules]

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        # First of all: it refuses facts without tokens, and nothing has changed yet.
        facts = FactLoss(self.model, self.tokenizer, self._architecture, requests)
        start = {name: oriented(m).detach().clone() for name, m in self._modules.items()}
        self._lay_bare(start)
        with frozen(self.model), self._random(), self._adapted() as adapters:
            parameters = [factor for each in adapters.values() for factor in each]
            reports = descend(parameters, facts, self.hparams)
            trained = {
                name: Factors(a.detach().clone(), b.detach().clone())
                for name, (a, b) in adapters.items()
            }
        self._fold(trained)
        norms = {
            f"{name}.weight": float((oriented(module).detach() - start[name]).norm())
            for name, module in self._modules.items()
        }
        return EditReport(tuple(reports), norms)

    def _change(self, factors: Factors) -> Tensor:
        """Return s B A, (d_out, d_in), in the adapter's own precision."""
        return self.hparams.alpha / self.hparams.r * (factors.b @ factors.a)

    @torch.no_grad()
    def _lay_bare(self, live: dict[str, Tensor]) -> None:
        """Take the stream's adapter out of the weights, to go on with its training.

        What else has happened to them stays: exactly nothing in a run, NaN in a broken model.
        """
        for name, factors in self._factors.items():
            original = self._original[name].to(live[name])  # float32 since, where it was half
            folded = original + self._change(factors).to(original)
            oriented(self._modules[name]).copy_(original + (live[name] - folded))

    @torch.no_grad()
    def _fold(self, trained: dict[str, Factors]) -> None:
        share = 1.0
        if self.hparams.variant == "merge":
            share = self.hparams.merge_weight
        else:
            self._factors = trained
        for name, factors in trained.items():
            weight = oriented(self._modules[name])
            weight += (share * self._change(factors)).to(weight)

    @contextmanager
    def _adapted(self) -> Iterator[dict[str, Factors]]:
        """Put adapters into the model, give their trainable factors, and take them out again."""
        peft = _peft()
        config = peft.LoraConfig(
            r=self.hparams.r,
            lora_alpha=self.hparams.alpha,
            lora_dropout=self.hparams.dropout,
            target_modules=list(self._modules),
            fan_in_fan_out=any(isinstance(each, Conv1D) for each in self._modules.values()),
        )
        try:
            peft.inject_adapter_in_model(config, self.model, ADAPTER)
            adapters = {}
            for name in self._modules:
                layer = self.model.get_submodule(name)
                a = layer.get_submodule(f"lora_A.{ADAPTER}").float().get_parameter("weight")
                b = layer.get_submodule(f"lora_B.{ADAPTER}").float().get_parameter("weight")
                adapters[name] = Factors(a, b)
            with torch.no_grad():
                for name, factors in self._factors.items():
                    for factor, known in zip(adapters[name], factors, strict=True):
                        factor.copy_(known)
            yield adapters
        finally:
            for name, module in self._modules.items():
                self.model.set_submodule(name, module)
            if hasattr(self.model, "peft_config"):
                del self.model.peft_config

    @contextmanager
    def _random(self) -> Iterator[None]:
        """Let this call's initial factors and dropout depend on nothing but the editor's seed."""
        seed = int(torch.randint(2**62, (), generator=self._generator))
        device = self.model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                torch.cuda.manual_seed(seed)
            yield

    def state_dict(self) -> dict[str, Tensor]:
        state = {"random": self._generator.get_state()}
        for name, factors in self._factors.items():
            state |= {f"{name}.A": factors.a.clone(), f"{name}.B": factors.b.clone()}
        return state

    def state_bytes(self, num_edits: int) -> int:
        widths = sum(sum(oriented(module).shape) for module in self._modules.values())
        return super().state_bytes(0) + 4 * self.hparams.r * widths

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._generator.set_state(state["random"].cpu())
        device = self.model.device
        self._factors = {
            name: Factors(
                state[f"{name}.A"].to(device, copy=True), state[f"{name}.B"].to(device, copy=True)
            )
            for name in self._modules
            if f"{name}.A" in state
        }


def _peft() -> ModuleType:
    try:
        import peft
    except ImportError as error:
        raise InputError(
            "the editor lora needs peft: pip install 'seqedit-bench[lora]', or pip install peft"
        ) from error
    return peft


def _family_targets(peft: ModuleType, model_type: str) -> list[str]:
    """Return the targets that peft's authors chose for a family; mostly queries and values."""
    known = peft.utils.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(model_type)
    if not isinstance(known, list):
        raise InputError(
            f"peft has no LoRA targets for model type {model_type!r}: "
            "--hparams 'targets=[q_proj, v_proj]', with names this model has"
        )
    return known
