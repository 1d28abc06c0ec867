"""GRACE: a codebook beside the weights answers for edited prompts (Hartvigsen et al. 2023).

Where the input of one projection at a prompt's last token lies in a stored ball, the projection's
output is replaced by that ball's value, which was learnt to bring out the target. No weight
changes, and whatever is in no ball is answered exactly as before.

Where a prompt ends is never guessed: the LM wrapper says so before each pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from ..tasks import EditRequest
from ..tasks.tokenization import Pair, encode_pair
from ._architecture import Architecture, oriented
from ._base import Editor, EditReport, Hparams, ModelShape
from ._codebook import Action, Codebook
from ._head import output_logits
from ._hook import install
from ._trace import by_row, frozen, record, start_at


class GRACEHparams(Hparams):
    layers: list[int] = Field(min_length=1, max_length=1)
    """The one layer that is hooked."""
    module: Literal["mlp_out", "mlp_in"] = "mlp_out"
    """Its projection whose output is replaced."""
    num_steps: int = Field(50, ge=1)
    lr: float = Field(1.0, gt=0)
    radius: float = Field(1.0, gt=0)
    """Of a new ball, in the units of the projection's input."""
    value_init: Literal["cold", "warm"] = "cold"
    """A value starts uniform in [0, 1), or as the output that it replaces."""
    replace: Literal["last", "prompt", "all"] = "last"
    """Where: at the last prompt token, at those before it (as first published), or everywhere."""
    expand: Literal["coverage", "moving_average"] = "coverage"
    match: Literal["boundary", "any"] = "boundary"
    """What looks for a ball: the last prompt token, or every token for itself."""

    @model_validator(mode="after")
    def _any_token_replaces_itself(self) -> GRACEHparams:
        if self.match == "any" and self.replace != "last":
            raise ValueError("match=any goes with replace=last: a token replaces its own output")
        return self

    @classmethod
    def derive(cls, shape: ModelShape) -> dict[str, Any]:
        # Published choices lie between 0.64 (Qwen, 18 of 28) and 0.93 (GPT-J, 25 of 28).
        return {"layers": [min(round(0.8 * shape.depth), shape.depth - 1)]}


class GRACE(Editor):
    """General Retrieval Adaptors for Continual Editing, one fact a call."""

    kind = "hooks"
    Hparams = GRACEHparams
    hparams: GRACEHparams

    def prepare(self) -> dict[str, Any]:
        self._architecture = Architecture.of(self.model)
        self._layer = self.hparams.layers[0]
        self._architecture.mlp_out(self.model, self._layer)  # is there such a layer?
        names = {
            "mlp_out": self._architecture.mlp_out_name,
            "mlp_in": self._architecture.mlp_in_name,
        }
        name = names[self.hparams.module](self._layer)
        self._module = self.model.get_submodule(name)
        d_out, d_in = oriented(self._module).shape
        # A model may be spread over devices: the hook works where its module is.
        self._device = self._module.get_parameter("weight").device
        self._codebook = Codebook(d_in, d_out, self._device)
        self._random = torch.Generator().manual_seed(self.seed)
        self._ends = torch.zeros(0, dtype=torch.long, device=self._device)
        self._chosen = torch.zeros(0, dtype=torch.long, device=self._device)
        self._announced = False
        self._learning: Tensor | None = None
        self.shares_prefixes = self.hparams.replace == "last"
        install(self._module, self._change)
        return {"module": name}

    def edit(self, requests: Sequence[EditRequest]) -> EditReport:
        (request,) = requests
        hparams = self.hparams
        pair = encode_pair(self.tokenizer, request.text, request.target_new)
        end = len(pair.context) - 1
        ids = torch.tensor([pair.context + pair.continuation[:-1]], device=self.model.device)
        key = self._at_module(ids, "input")[end]
        placed = self._codebook.place(
            key, tuple(pair.continuation), radius=hparams.radius, expand=hparams.expand
        )
        if placed.action is Action.EXPAND:
            start = self._codebook.values[placed.entry].clone()
        elif hparams.value_init == "warm":
            start = self._at_module(ids, "output")[end].float()
        else:
            start = torch.rand(self._codebook.values.shape[1], generator=self._random).to(
                key.device
            )
        value, report = self._learn(start, ids, pair)
        self._codebook.values[placed.entry] = value
        report |= {"action": float(placed.action), "entries": float(len(self._codebook))}
        if placed.distance < float("inf"):
            report["nearest"] = placed.distance
        return EditReport((report,))

    def _at_module(self, ids: Tensor, keep: Literal["input", "output"]) -> Tensor:
        """Return what the hooked module reads or gives for one row, (positions, width)."""
        kept = record(self.model, {"module": self._module}, keep=keep, input_ids=ids)
        return by_row(kept["module"], 1)[0].to(self._device)

    def _learn(self, start: Tensor, ids: Tensor, pair: Pair) -> tuple[Tensor, dict[str, float]]:
        """Descend from a value to one that brings out the target, through the hook itself."""
        value = start.clone().requires_grad_(True)
        # Adam starts afresh with every edit, as published.
        optimiser = torch.optim.Adam([value], lr=self.hparams.lr)
        end = len(pair.context) - 1
        below = None
        if self._layer > 0:
            module = self._architecture.layers(self.model)[self._layer - 1]
            below = record(self.model, {"below": module}, input_ids=ids)["below"]
        losses = []
        with frozen(self.model), self._everywhere(value):
            for _ in range(self.hparams.num_steps):
                self.next_rows(torch.tensor([end]))
                with start_at(self.model, self._architecture, self._layer, below):
                    hidden = self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
                logits = output_logits(self.model, hidden[0, end:]).float()
                labels = torch.tensor(pair.continuation, device=logits.device)
                loss = functional.cross_entropy(logits, labels)
                losses.append(loss.item())
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        report = {"loss_first": losses[0], "loss": losses[-1], "steps": float(len(losses))}
        return value.detach(), report

    @contextmanager
    def _everywhere(self, value: Tensor) -> Iterator[None]:
        """Let the hook give this value out for every announced row."""
        self._learning = value
        try:
            yield
        finally:
            self._learning = None

    def next_rows(self, ends: Tensor | None) -> None:
        if ends is None:
            self._ends = torch.full_like(self._ends, -1)
        else:
            self._ends = ends.to(self._device)
            self._chosen = torch.full_like(self._ends, -1)
        self._announced = True

    def hit_rows(self) -> list[bool]:
        return (self._chosen >= 0).tolist()

    def _change(self, read: Tensor, given: Tensor) -> Tensor:
        """Return the module's output with values in their places.

        Args:
            read: The module's input, (rows, positions, d_in); OPT flattens the first two.
            given: Its output, (rows, positions, d_out).
        """
        # A pass that nobody announced is none of a measurement's.
        announced, self._announced = self._announced, False
        if self.hparams.match == "any" and self._learning is None:
            return self._replace_any(read, given, announced)
        if not announced:
            return given
        rows = len(self._ends)
        inside = self._ends >= 0
        if bool(inside.any()):
            every = torch.arange(rows, device=read.device)
            found = self._look_up(by_row(read, rows)[every, self._ends.clamp(min=0)])
            self._chosen = torch.where(inside, found, self._chosen)
        if not bool((self._chosen >= 0).any()):
            return given
        outputs = by_row(given, rows)
        columns = torch.arange(outputs.shape[1], device=read.device)
        places = {
            "last": columns == self._ends[:, None],
            "prompt": columns < self._ends[:, None],
            "all": torch.ones(rows, len(columns), dtype=torch.bool, device=read.device),
        }[self.hparams.replace]
        places = places & (self._chosen >= 0)[:, None]
        values = self._values()[self._chosen.clamp(min=0)][:, None]
        return torch.where(places[..., None], values.to(given.dtype), outputs).reshape(given.shape)

    def _look_up(self, queries: Tensor) -> Tensor:
        if self._learning is not None:
            return torch.zeros(len(queries), dtype=torch.long, device=queries.device)
        return self._codebook.look_up(queries)

    def _values(self) -> Tensor:
        return self._codebook.values if self._learning is None else self._learning[None]

    def _replace_any(self, read: Tensor, given: Tensor, announced: bool) -> Tensor:
        """Replace the output of every token that is in a ball; pads are tokens like others."""
        found = self._codebook.look_up(read.reshape(-1, read.shape[-1]))
        if announced:
            best = found.reshape(len(self._ends), -1).amax(1)
            self._chosen = torch.maximum(self._chosen, best)
        hit = found >= 0
        if not bool(hit.any()):
            return given
        values = self._codebook.values[found.clamp(min=0)].to(given.dtype)
        flat = given.reshape(-1, given.shape[-1])
        return torch.where(hit[:, None], values, flat).reshape(given.shape)

    def state_dict(self) -> dict[str, Tensor]:
        return {**self._codebook.state_dict(), "random": self._random.get_state()}

    def state_bytes(self, num_edits: int) -> int:
        return super().state_bytes(0) + num_edits * self._codebook.bytes_of_an_entry

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self._codebook.load_state_dict(state)
        self._random.set_state(state["random"])
